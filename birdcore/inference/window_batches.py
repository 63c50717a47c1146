"""Windows of many recordings, packed into batches, and the means of what they overlap in.

Short recordings have a window or two each: a batch of windows of several keeps an engine as busy
as a long recording does.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from birdcore.features.recordings import Recordings, Soundscapes
from birdcore.inference.windows import average_overlaps, cell_centres, window_starts
from birdcore.models.input import InputSpec, model_input

CELL_FRAMES = 8
"""Probabilities are kept for every eighth frame: a backbone answers more coarsely than that."""

Floats: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True)
class RecordingCells:
    """The moments of one recording for which there are probabilities.

    Attributes:
        name: What the recording is called.
        frames: How long it is.
        frame_rate: Frames a second.
        duration_s: How long it is in seconds.
    """

    name: str
    frames: int
    frame_rate: float
    duration_s: float

    @property
    def count(self) -> int:
        """How many cells there are; the last one may be cut."""
        return -(-self.frames // CELL_FRAMES)

    @property
    def rate(self) -> float:
        """Cells a second."""
        return self.frame_rate / CELL_FRAMES

    @cached_property
    def centres(self) -> NDArray[np.float64]:
        """The middles of the cells, in frames."""
        return cell_centres(self.frames, CELL_FRAMES)


class Recording(NamedTuple):
    """One recording that is to be predicted.

    Attributes:
        soundscapes: The features of some.
        row: Which of them it is.
        exact_s: Its seconds, where they are known better than by its frames.
    """

    soundscapes: Soundscapes
    row: int = 0
    exact_s: float | None = None

    @property
    def cells(self) -> RecordingCells:
        """Its cells; without `exact_s`, a recording of a single frame lasts that frame."""
        frames = int(self.soundscapes.lengths[self.row])
        rate = self.soundscapes.spec.frame_rate
        seconds = max(frames - 1, 1) / rate if self.exact_s is None else self.exact_s
        return RecordingCells(self.soundscapes.names[self.row], frames, rate, seconds)


@dataclass(frozen=True, eq=False)  # told apart from those of any other recording
class RecordingWindows:
    """The windows over one recording: its cells, and the first frames of its windows (W,)."""

    cells: RecordingCells
    starts: NDArray[np.int64]


class Piece(NamedTuple):
    """Windows `first` to `stop` of a recording, and the features that they are cut from."""

    windows: RecordingWindows
    first: int
    stop: int
    features: Recordings


def pack(
    recordings: Iterable[Recording], spec: InputSpec, step_s: float, size: int
) -> Iterator[list[Piece]]:
    """Batches of `size` windows, the last one smaller, in the order of recordings and windows.

    Args:
        recordings: What is divided.
        spec: What a window is.
        step_s: Seconds from window to window, at most the length of one.
        size: Windows of a batch.

    Raises:
        ValueError: A recording has features of another front end.
    """
    batch: list[Piece] = []
    room = size
    for recording in recordings:
        soundscapes, cells = recording.soundscapes, recording.cells
        if spec.mel != soundscapes.spec.at_speed(spec.mel.speed):
            raise ValueError("the model was trained on another mel than that of the soundscapes")
        step = min(spec.frames, max(1, round(step_s * spec.mel.frame_rate)))
        windows = RecordingWindows(cells, window_starts(cells.frames, spec.frames, step))
        first = 0
        while first < len(windows.starts):
            stop = min(first + room, len(windows.starts))
            # Read here and not in the threads: reading a shard is in order, and it is one file.
            span = (
                int(windows.starts[first]),
                min(int(windows.starts[stop - 1]) + spec.frames, cells.frames),
            )
            features = soundscapes.span(recording.row, *span, with_floor=spec.over_floor)
            batch.append(Piece(windows, first, stop, features))
            room, first = room - (stop - first), stop
            if not room:
                yield batch
                batch, room = [], size
    if batch:
        yield batch


def batch_input(batch: Sequence[Piece], spec: InputSpec) -> Tensor:
    """The model's input (B, C, F, T) for the windows of a batch."""
    parts = []
    for piece in batch:
        starts = piece.windows.starts[piece.first : piece.stop]
        offsets = torch.from_numpy(starts - starts[0]).to(piece.features.device)
        rows = torch.zeros_like(offsets)
        power = piece.features.power(rows, offsets, spec.frames, with_floor=spec.over_floor)
        parts.append(model_input(power, spec))
    return torch.cat(parts)


def by_piece(
    batches: Iterable[tuple[Sequence[Piece], Sequence[Floats]]],
) -> Iterator[tuple[Piece, list[Floats]]]:
    """Each piece of batches with its part of the outputs, which have a row for each window."""
    for batch, outputs in batches:
        first = 0
        for piece in batch:
            stop = first + piece.stop - piece.first
            yield piece, [of_model[first:stop] for of_model in outputs]
            first = stop


def average_windows(
    pieces: Iterable[tuple[Piece, Sequence[Floats]]], window_frames: int
) -> Iterator[list[Floats]]:
    """Means over the windows of one recording, in blocks, as its windows are computed.

    Args:
        pieces: All of the recording's, first to last, each with its outputs (W, T', K) by each of
            P models.
        window_frames: Length of a window.

    Yields:
        Probabilities (cells, K) of cells of `CELL_FRAMES` frames, by each of P models.
    """
    cell = 0
    kept: list[Floats] = []
    for piece, outputs in pieces:
        windows = piece.windows
        centres = windows.cells.centres
        both = zip(kept or [of_model[:0] for of_model in outputs], outputs, strict=True)
        kept = [np.concatenate(earlier_and_new) for earlier_and_new in both]
        covering = windows.starts[: piece.stop][-len(kept[0]) :]
        # Cells before the next window are covered by these alone.
        more = piece.stop < len(windows.starts)
        end = int(np.searchsorted(centres, windows.starts[piece.stop])) if more else len(centres)
        frames, between = windows.cells.frames, (cell, end)
        yield [
            average_overlaps(of_model, covering, window_frames, frames, CELL_FRAMES, between)
            for of_model in kept
        ]
        if more:
            still = covering + window_frames > centres[end]
            cell, kept = end, [of_model[still] for of_model in kept]
