"""Reading shards of features: one array of all their recordings, or parts as they are needed.

Training holds all codes in memory (`read_shards`); prediction reads spans of a soundscape, which
may last for days, from the disk (`MelShard.part`).
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from birdcore.features.front_end import FrontEnd, from_settings, to_settings
from birdcore.features.scale import AnyScale, Codes, scale_from
from birdcore.features.shard import FORMAT, METADATA_KEY

Ints = npt.NDArray[np.int64]

PART_FRAMES = 1 << 14


@dataclass(frozen=True)
class Mels:
    """The mels of many recordings in one array.

    codes: (frames, bins), contiguous; recording r, named `recordings[r]`, is rows `starts[r]`
    to `starts[r + 1]` of it. starts: int64 (R + 1,). peaks: float32 (R,), what the samples were
    divided by: energies times `peak ** spec.power` are at the recording's own level.
    """

    codes: Codes
    recordings: tuple[str, ...]
    starts: Ints
    peaks: npt.NDArray[np.float32]
    spec: FrontEnd
    scale: AnyScale


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
    codes = np.empty((int(starts[-1]), first.spec.bins), first.scale.dtype)
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
    spec: FrontEnd
    scale: AnyScale
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
            spec=from_settings(meta["spec"]),
            scale=scale_from(meta["scale"]),
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
        """Frames first to stop, at least one, of the recording at a position: (t, bins)."""
        size, row = self.block_frames, int(self.rows[recording])
        begin, end = row + first // size, row + -(-stop // size)
        first_group, last_group = np.searchsorted(self.groups, [begin, end - 1], "right") - 1
        codes: Codes = np.concatenate(
            [self._codes(group) for group in range(first_group, last_group + 1)]
        )
        skipped = (row - int(self.groups[first_group])) * size
        return codes[skipped + first : skipped + stop]

    def parts(self, recording: int, most: int = PART_FRAMES) -> Iterator[Codes]:
        """All frames of a recording, at most so many at a time."""
        length = int(self.lengths[recording])
        for first in range(0, length, most):
            yield self.part(recording, first, min(first + most, length))

    @cached_property
    def _codes(self) -> Callable[[int], Codes]:
        """Codes (frames, bins) of a row group with their padding; the last two are kept."""

        @lru_cache(maxsize=2)
        def read(group: int) -> Codes:
            with pq.ParquetFile(self.path, metadata=self.metadata) as file:
                column = file.read_row_group(group, columns=["codes"])["codes"]
            return np.concatenate([self._array(chunk) for chunk in column.chunks])

        return read

    def _array(self, chunk: pa.Array) -> Codes:
        assert chunk.offset == 0, "a column's chunk begins with its buffer"
        data = memoryview(chunk.buffers()[1] or b"")
        codes: Codes = np.frombuffer(data, self.scale.dtype).reshape(-1, self.spec.bins)
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


def _difference(a: MelShard, b: MelShard) -> str:
    """What differs between two shards, as "n_mels 96 and 128, ..."."""
    left, right = (to_settings(head.spec) | asdict(head.scale) for head in (a, b))
    return ", ".join(f"{k} {left[k]} and {right.get(k)}" for k in left if left[k] != right.get(k))
