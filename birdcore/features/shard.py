"""Mels of many recordings in Parquet, and back into one array.

A row is a block of BLOCK_FRAMES consecutive frames of one recording, time-major, so the blocks of
a recording laid end to end are its mel; the last one is padded with code 0. FixedSizeBinary, no
compression, no dictionary and no statistics make reading little more than copying; zstd would
save a quarter of the bytes and read several times slower. Every row carries the peak that its
recording's samples were divided by, so the level can be recovered.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from birdcore.audio.blocks import Reader
from birdcore.features.mels import Ints, Mels
from birdcore.features.scale import Codes, Scale
from birdcore.features.spec import MelSpec

FORMAT = 1
METADATA_KEY = b"birdflow.mel"
BLOCK_FRAMES = 128
"""2 s and 16 KiB of config_128: reads as fast as longer blocks, with less padding."""
ROW_GROUP = 128
PART_FRAMES = 1 << 14


class ShardWriter:
    """Writes one shard to `path`, holding a row group of codes in memory.

    A context manager; leaving it by an exception removes the file. `write` takes one recording:
    codes (frames, n_mels) of `scale.dtype` in blocks of any lengths, and the peak its samples were
    divided by.
    """

    def __init__(self, path: Path, spec: MelSpec, scale: Scale) -> None:
        self.path, self.spec, self.scale = path, spec, scale
        self._blocks = np.zeros((ROW_GROUP, BLOCK_FRAMES, spec.n_mels), scale.dtype)
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
            if block.ndim != 2 or block.shape[1] != self.spec.n_mels:
                raise ValueError(
                    f"codes of {recording!r} have shape {block.shape}: "
                    f"expected (frames, {self.spec.n_mels})"
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


def read_shards(paths: Sequence[Path]) -> Mels:
    """Read shards, in order, into one array.

    Raises ValueError when there is no path, a file is no shard, or two files disagree on spec or
    scale or hold the same recording.
    """
    if not paths:
        raise ValueError("no mel shards to read")
    heads = [MelShard.open(path) for path in paths]
    first = heads[0]
    owner: dict[str, Path] = {}
    for head in heads:
        if (head.spec, head.scale) != (first.spec, first.scale):
            raise ValueError(
                f"{first.path} and {head.path} hold different mels "
                f"({_difference(first, head)}): make both with the same spec and scale"
            )
        for name in head.recordings:
            if name in owner:
                raise ValueError(f"recording {name!r} is in {owner[name]} and in {head.path}")
            owner[name] = head.path
    lengths = np.concatenate([head.lengths for head in heads])
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    codes = np.empty((int(starts[-1]), first.spec.n_mels), first.scale.dtype)
    position = 0
    for head in heads:
        for piece in head.pieces():
            codes[position : position + len(piece)] = piece
            position += len(piece)
    assert position == len(codes)
    return Mels(
        codes=codes,
        recordings=tuple(owner),
        starts=starts,
        peaks=np.concatenate([head.peaks for head in heads]),
        spec=first.spec,
        scale=first.scale,
    )


@dataclass(frozen=True)
class MelShard:
    """All of a shard but its codes, which are read as they are asked for.

    recordings: their names, R of them; lengths: their frames (R,); peaks: what their samples were
    divided by (R,). rows: the row at which each begins (R,); frames: valid frames of each row;
    groups: the rows at which row groups begin, and their number in all.
    """

    path: Path
    spec: MelSpec
    scale: Scale
    block_frames: int
    recordings: tuple[str, ...]
    lengths: Ints
    peaks: npt.NDArray[np.float32]
    rows: Ints
    frames: Ints
    groups: Ints
    metadata: pq.FileMetaData

    @classmethod
    def open(cls, path: Path) -> Self:
        """Raises ValueError where the file is no shard, or one of another format."""
        try:
            with pq.ParquetFile(path, memory_map=True) as file:
                metadata = file.metadata
                meta = json.loads((file.schema_arrow.metadata or {})[METADATA_KEY])
                table = file.read(columns=["recording", "block", "frames", "peak"])
        except (pa.ArrowInvalid, KeyError) as error:
            raise ValueError(f"{path} is not a mel shard, or is cut: make it again") from error
        if meta["format"] != FORMAT:
            raise ValueError(f"{path} has mel format {meta['format']}, not {FORMAT}: make it again")
        frames = table["frames"].to_numpy().astype(np.int64)
        firsts = np.flatnonzero(table["block"].to_numpy() == 0)
        names = table["recording"].take(firsts).to_pylist()
        return cls(
            path=path,
            spec=MelSpec(**meta["spec"]),
            scale=Scale(**meta["scale"]),
            block_frames=meta["block_frames"],
            recordings=tuple(map(str, names)),
            lengths=np.add.reduceat(frames, firsts) if len(firsts) else np.zeros(0, np.int64),
            peaks=table["peak"].to_numpy()[firsts],
            rows=firsts,
            frames=frames,
            groups=np.cumsum(
                [0, *(metadata.row_group(g).num_rows for g in range(metadata.num_row_groups))]
            ),
            metadata=metadata,
        )

    @cached_property
    def index(self) -> dict[str, int]:
        """The position of each recording's name in `recordings`."""
        return {name: r for r, name in enumerate(self.recordings)}

    def part(self, recording: int, first: int, stop: int) -> Codes:
        """Frames first to stop, at least one, of the recording at a position: (t, n_mels)."""
        size, row = self.block_frames, int(self.rows[recording])
        begin, end = row + first // size, row + -(-stop // size)
        one, last = np.searchsorted(self.groups, [begin, end - 1], "right") - 1
        codes: Codes = np.concatenate([self._codes(group) for group in range(one, last + 1)])
        skipped = (row - int(self.groups[one])) * size
        return codes[skipped + first : skipped + stop]

    def parts(self, recording: int, most: int = PART_FRAMES) -> Iterator[Codes]:
        """All frames of a recording, at most so many at a time."""
        length = int(self.lengths[recording])
        for first in range(0, length, most):
            yield self.part(recording, first, min(first + most, length))

    @cached_property
    def _codes(self) -> Callable[[int], Codes]:
        """Codes (frames, n_mels) of a row group with their padding; the last two are kept."""

        @lru_cache(maxsize=2)
        def read(group: int) -> Codes:
            with pq.ParquetFile(self.path, metadata=self.metadata) as file:
                column = file.read_row_group(group, columns=["codes"])["codes"]
            return np.concatenate([self._array(chunk) for chunk in column.chunks])

        return read

    def _array(self, chunk: pa.Array) -> Codes:
        assert chunk.offset == 0, "a column's chunk begins with its buffer"
        data = memoryview(chunk.buffers()[1] or b"")
        codes: Codes = np.frombuffer(data, self.scale.dtype).reshape(-1, self.spec.n_mels)
        return codes

    def pieces(self) -> Iterator[Codes]:
        """The shard's frames in order, without padding, in views as long as padding allows."""
        with pq.ParquetFile(self.path, memory_map=True) as file:
            row = 0
            for group in range(file.num_row_groups):
                for chunk in file.read_row_group(group, columns=["codes"])["codes"].chunks:
                    frames = self.frames[row : row + len(chunk)]
                    row += len(chunk)
                    yield from self._without_padding(self._array(chunk), frames)

    def _without_padding(self, flat: Codes, frames: Ints) -> Iterator[Codes]:
        cut = np.flatnonzero(frames < self.block_frames).tolist()
        first = 0
        for last in [*cut, len(frames) - 1]:
            if first <= last:
                stop = last * self.block_frames + int(frames[last])
                yield flat[first * self.block_frames : stop]
            first = last + 1


def _schema(spec: MelSpec, scale: Scale) -> pa.Schema:
    codes = pa.binary(BLOCK_FRAMES * spec.n_mels * np.dtype(scale.dtype).itemsize)
    meta = {
        "format": FORMAT,
        "block_frames": BLOCK_FRAMES,
        "spec": spec.model_dump(),
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


def _difference(a: MelShard, b: MelShard) -> str:
    """What differs between two shards, as "n_mels 96 and 128, ..."."""
    left, right = (head.spec.model_dump() | asdict(head.scale) for head in (a, b))
    return ", ".join(f"{k} {left[k]} and {right[k]}" for k in left if left[k] != right[k])
