"""Windows over a recording, and from their framewise outputs back to rows of five seconds.

A model sees windows of `window_frames` mel frames that overlap, and answers each with fewer
outputs than frames, since its backbone strides. Every output speaks for its span of the window.
On one grid over the recording the outputs of all windows are summed and divided by how many
there are (1st place 2025: worth .002 to .003), then each segment takes its maximum or mean.
Times belong to the segment in which the centre of their frame or cell lies.
"""

from collections.abc import Callable, Iterable
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array

from birdcore.audio.blocks import Reader

Floating = TypeVar("Floating", np.float32, np.float64)
SEGMENTS_AT_ONCE = 64
CODEC_PADDING_S = 0.1  # lossy codecs append a little silence, which gets no row of its own


def window_starts(total_frames: int, window_frames: int, step_frames: int) -> NDArray[np.int64]:
    """First frames of the windows over a recording, (W,), the first and last window at its ends.

    Windows lie evenly, at most `step_frames` apart (where that saves one, a little more: a tenth
    of a step over all of them; never more than a window). A recording shorter than one window
    gets one. Raises ValueError for sizes that leave frames out or make empty windows.
    """
    if total_frames < 1:
        raise ValueError("the recording has no frames")
    if not 1 <= step_frames <= window_frames:
        raise ValueError(f"a step of {step_frames} frames is not in 1 to {window_frames} (window)")
    room = max(total_frames - window_frames, 0)
    steps = max(np.ceil(room / step_frames - 0.1), np.ceil(room / window_frames))
    return np.linspace(0, room, int(steps) + 1).round().astype(np.int64)


def average_overlaps(
    window_probabilities: NDArray[Floating],
    starts: ArrayLike,
    window_frames: int,
    total_frames: int,
    cell_frames: int = 4,
    cells: tuple[int, int | None] = (0, None),
) -> NDArray[Floating]:
    """Mean over the windows of one recording on a grid of cells: (W, T, C) to (cells, C).

    `cells` selects some of them: the first and one past the last; the windows may be those that
    cover these alone.

    Cell i stands for frames i·cell_frames to (i + 1)·cell_frames of the recording, the last one
    may be cut: the result has the mel's frame rate / cell_frames. Larger cells are cheaper; an
    output of a backbone spans some 32 frames. In each window that covers its centre a cell takes
    the output in whose T-th of the window the centre lies. Outputs outside the recording are
    left out. Raises ValueError where no window covers a cell.
    """
    first = np.asarray(starts, np.int64)
    windows, outputs, classes = window_probabilities.shape
    if first.shape != (windows,):
        raise ValueError(f"{windows} windows, but starts of shape {first.shape}")
    begin_cell, end_cell = cells
    stop = total_frames if end_cell is None else min(end_cell * cell_frames, total_frames)
    lower = np.arange(begin_cell * cell_frames, stop, cell_frames)
    centres = _centres(lower, total_frames, cell_frames)
    # Each window covers a run of cells; a table of all windows by all cells would be gigabytes.
    begin, end = np.searchsorted(centres, [first, first + window_frames])
    window = np.repeat(np.arange(windows), end - begin)
    cell = np.arange(len(window)) + np.repeat(end - np.cumsum(end - begin), end - begin)
    coverage = np.bincount(cell, minlength=len(lower))
    if not coverage.all():
        frame = lower[np.argmin(coverage)]
        raise ValueError(f"no window covers the recording from frame {frame} on")
    output = ((centres[cell] - first[window]) * outputs / window_frames).astype(np.int64)
    ones = np.ones(len(cell), window_probabilities.dtype)
    place = (cell, window * outputs + output)
    pick = csr_array((ones, place), shape=(len(lower), windows * outputs))
    sums = pick @ window_probabilities.reshape(-1, classes)
    return np.asarray(sums / coverage[:, None], window_probabilities.dtype)


def cell_centres(total_frames: int, cell_frames: int) -> NDArray[np.float64]:
    """Frames at which the cells of a recording have their middle, (cells,)."""
    return _centres(np.arange(0, total_frames, cell_frames), total_frames, cell_frames)


def _centres(lower: NDArray[np.int64], total_frames: int, cell_frames: int) -> NDArray[np.float64]:
    centres: NDArray[np.float64] = (lower + np.minimum(lower + cell_frames, total_frames)) / 2
    return centres


def segment_ends(duration_s: float, segment_s: float = 5.0) -> NDArray[np.int64]:
    """End seconds of a recording's rows, (S,): 5, 10, … A last part counts as a segment.

    A tenth of a second beyond a segment is an encoder's padding and makes none. Raises
    ValueError where `segment_s` is not whole seconds or the recording is empty.
    """
    if segment_s < 1 or segment_s % 1:
        raise ValueError(f"row ids need segments of whole seconds, not {segment_s:g}")
    return np.arange(1, _segments(duration_s, segment_s) + 1) * int(segment_s)


def segment_max(
    blocks: Iterable[NDArray[Floating]],
    count: int,
    frame_rate: float,
    duration_s: float,
    segment_s: float = 5.0,
) -> NDArray[Floating]:
    """Maximum in each segment of a recording: `count` frames at `frame_rate` per second, in blocks
    (F, C), to (S, C).

    Rows are those of `segment_ends`; the last one takes the frames to the end. Raises
    ValueError where frames and duration differ by a segment or more.
    """
    starts = np.arange(_segments(duration_s, segment_s), dtype=np.float64) * segment_s
    if abs(count / frame_rate - duration_s) >= segment_s:
        raise ValueError(f"frames last {count / frame_rate:g} s, the recording {duration_s:g} s")
    ends = np.append(starts[1:], np.float64(np.inf))
    return interval_max(blocks, count, frame_rate, starts, ends)


def interval_max(
    blocks: Iterable[NDArray[Floating]],
    count: int,
    frame_rate: float,
    starts_s: ArrayLike,
    ends_s: ArrayLike,
) -> NDArray[Floating]:
    """Maximum in intervals that may overlap, `count` frames in blocks (F, C) to (S, C); starts and
    ends in seconds, (S,).

    An interval without a frame's centre takes the nearest frame. Raises ValueError where there is
    no frame.
    """
    starts, ends = np.asarray(starts_s, float), np.asarray(ends_s, float)
    first, last = _frames_of(count, frame_rate, starts, ends)
    return _reduced(np.maximum.reduceat, blocks, first, last)


def segment_mean(
    blocks: Iterable[NDArray[Floating]],
    count: int,
    frame_rate: float,
    starts_s: ArrayLike,
    ends_s: ArrayLike,
) -> NDArray[np.float64]:
    """Mean in segments that may overlap, `count` frames in blocks (F, C) to (S, C); starts and
    ends in seconds, (S,).

    A segment without a frame's centre takes the nearest frame. Raises ValueError for a segment
    that is empty or begins outside the frames.
    """
    starts, ends = np.asarray(starts_s, float), np.asarray(ends_s, float)
    outside = (ends <= starts) | (starts < 0) | (starts >= count / frame_rate)
    for i in np.flatnonzero(outside)[:1]:
        raise ValueError(f"segment {starts[i]:g} to {ends[i]:g} s is empty or outside the frames")
    first, last = _frames_of(count, frame_rate, starts, ends)
    exact = (block.astype(np.float64) for block in blocks)
    sums = _reduced(np.add.reduceat, exact, first, last)
    return sums / (last - first)[:, None]


def _segments(duration_s: float, segment_s: float) -> int:
    if not duration_s > 0:
        raise ValueError(f"a recording of {duration_s:g} s has no segments")
    return max(int(np.ceil((duration_s - CODEC_PADDING_S) / segment_s)), 1)


def _frames_of(
    count: int, frame_rate: float, starts_s: NDArray[np.float64], ends_s: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The frames with centres in [start, end), at least one: the first and one past the last."""
    if not count:
        raise ValueError("no frames")
    # frame f has its centre at (f + ½) / rate; a hair off so that rounding drops no frame
    first = np.ceil(starts_s * frame_rate - 0.5 - 1e-6).clip(0, count - 1).astype(np.int64)
    last = np.ceil(ends_s * frame_rate - 0.5 - 1e-6).clip(0, count).astype(np.int64)
    return first, np.maximum(last, first + 1)


def _reduced(
    reduceat: Callable[..., NDArray[Floating]],
    blocks: Iterable[NDArray[Floating]],
    first: NDArray[np.int64],
    last: NDArray[np.int64],
) -> NDArray[Floating]:
    """Frames first[i] to last[i] of all blocks reduced to a row each, (S, C)."""
    reader, near = Reader(blocks), None
    order = np.argsort(first, kind="stable")
    reduced = []
    for some in np.array_split(order, -(-len(order) // SEGMENTS_AT_ONCE)):
        begin, end = int(first[some[0]]), int(last[some].max())
        if near is not None:
            near = near[max(0, len(near) - (reader.position - begin)) :]
        reader.skip(begin - reader.position)
        more = reader.take(end - reader.position)
        near = more if near is None else np.concatenate([near, more])
        # reduceat takes bounds in pairs; the extra row lets a bound be the end
        padded = np.concatenate([near, near[-1:]])
        bounds = np.stack([first[some], last[some]], axis=1).ravel() - begin
        reduced.append(reduceat(padded, bounds, axis=0)[::2])
    return np.concatenate(reduced)[np.argsort(order, kind="stable")]
