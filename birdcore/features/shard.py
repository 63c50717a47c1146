"""Features of many recordings in Parquet: the format, and writing it (`shard_reader.py` reads it).

A row is a block of BLOCK_FRAMES consecutive frames of one recording, time-major, so the blocks of
a recording laid end to end are its features; the last one is padded with code 0. FixedSizeBinary,
no compression, no dictionary and no statistics make reading little more than copying; zstd would
save a quarter of the bytes and read several times slower. Every row carries the peak that its
recording's samples were divided by, so the level can be recovered.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from birdcore.audio.blocks import Reader
from birdcore.features.front_end import FrontEnd, to_settings
from birdcore.features.scale import AnyScale, Codes

FORMAT = 1
METADATA_KEY = b"birdflow.mel"
BLOCK_FRAMES = 128
"""2 s and 16 KiB of config_128: reads as fast as longer blocks, with less padding."""
ROW_GROUP = 128


class ShardWriter:
    """Writes one shard to `path`, holding a row group of codes in memory.

    A context manager; leaving it by an exception removes the file. `write` takes one recording:
    codes (frames, bins) of `scale.dtype` in blocks of any lengths, and the peak its samples were
    divided by.
    """

    def __init__(self, path: Path, spec: FrontEnd, scale: AnyScale) -> None:
        self.path, self.spec, self.scale = path, spec, scale
        self._blocks = np.zeros((ROW_GROUP, BLOCK_FRAMES, spec.bins), scale.dtype)
        self._rows: list[tuple[str, int, int, float]] = []
        self._seen: set[str] = set()
        self._schema = _schema(spec, scale)
        self._file = pq.ParquetWriter(
            path,
            self._schema,
            compression="none",
            use_dictionary=["recording"],
            write_statistics=["recording", "block"],
        )

    def write(self, recording: str, codes: Iterable[Codes], peak: float) -> None:
        """Append a recording.

        Raises ValueError for codes of another shape or type, for none, and for a recording that
        the shard has already; what was written of it by then makes the file unusable.
        """
        if recording in self._seen:
            raise ValueError(f"recording {recording!r} is in {self.path} already: write it once")
        reader = Reader(self._checked(recording, codes))
        for block in count():
            row = self._blocks[len(self._rows)]
            frames = 0
            for part in reader.parts(BLOCK_FRAMES):
                row[frames : frames + len(part)] = part
                frames += len(part)
            if not frames:
                break
            row[frames:] = 0
            self._rows.append((recording, block, frames, peak))
            if len(self._rows) == ROW_GROUP:
                self._flush()
        if not reader.position:
            raise ValueError(f"codes of {recording!r} have no frame")
        self._seen.add(recording)

    def _checked(self, recording: str, codes: Iterable[Codes]) -> Iterator[Codes]:
        for block in codes:
            if block.ndim != 2 or block.shape[1] != self.spec.bins:
                raise ValueError(
                    f"codes of {recording!r} have shape {block.shape}: "
                    f"expected (frames, {self.spec.bins})"
                )
            if block.dtype != self.scale.dtype:
                raise ValueError(
                    f"codes of {recording!r} are {block.dtype}, but the scale is {self.scale.dtype}"
                )
            yield block

    def _flush(self) -> None:
        names, blocks, frames, peaks = zip(*self._rows, strict=True)
        size = self._blocks[0].nbytes
        codes = pa.FixedSizeBinaryArray.from_buffers(
            pa.binary(size), len(names), [None, pa.py_buffer(self._blocks.data)]
        )
        columns = [
            pa.array(names, pa.string()).dictionary_encode(),
            pa.array(blocks, pa.int32()),
            pa.array(frames, pa.int32()),
            pa.array(peaks, pa.float32()),
            codes,
        ]
        self._file.write_table(pa.Table.from_arrays(columns, schema=self._schema))
        self._rows.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None and self._rows:
                self._flush()
        finally:
            self._file.close()
            if kind is not None:
                self.path.unlink(missing_ok=True)


def _schema(spec: FrontEnd, scale: AnyScale) -> pa.Schema:
    codes = pa.binary(BLOCK_FRAMES * spec.bins * np.dtype(scale.dtype).itemsize)
    meta = {
        "format": FORMAT,
        "block_frames": BLOCK_FRAMES,
        "spec": to_settings(spec),
        "scale": asdict(scale),
    }
    return pa.schema(
        [
            pa.field("recording", pa.dictionary(pa.int32(), pa.string()), nullable=False),
            pa.field("block", pa.int32(), nullable=False),
            pa.field("frames", pa.int32(), nullable=False),
            pa.field("peak", pa.float32(), nullable=False),
            pa.field("codes", codes, nullable=False),
        ],
        metadata={METADATA_KEY: json.dumps(meta).encode()},
    )
