"""From probabilities over time to events: who was heard from when to when, and how surely.

Two ways. `find_events` follows probabilities cell by cell: an event begins and ends where they
cross a lower threshold and reaches an upper one in between (hysteresis), so that one song with a
faint middle is one event. `window_events` looks at windows of fixed length, as BirdNET does. Both
read a recording in blocks, and how it is divided into blocks never changes what they find.

Shapes: K classes, E events, W windows; a cell is a moment of the recording.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field

from birdcore.inference.windows import interval_max

Floats: TypeAlias = NDArray[np.floating]
Windows: TypeAlias = Iterable[tuple[NDArray[np.float64], Floats]]
"""Starts (W,), seconds, and probabilities (W, K) of some windows, in the order of time."""

ROUNDING = 1e-6
"""Cells by which a time may lie off a cell's border and still be taken for it."""


class EventSettings(BaseModel):
    """How cells become events.

    Attributes:
        off_ratio: The lower threshold, as a share of a class's own.
        min_s: Events shorter than this are dropped: one cell above the threshold is often noise.
        merge_s: Events of one class at most this far apart are one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    off_ratio: float = Field(default=0.5, gt=0, le=1)
    min_s: float = Field(default=0.25, ge=0)
    merge_s: float = Field(default=0.5, ge=0)


@dataclass(frozen=True)
class Events:
    """E events of one recording, by start, end and class.

    Attributes:
        start_s: (E,), seconds from the recording's beginning.
        end_s: (E,), seconds.
        label: (E,), the index of the class.
        confidence: (E,), the highest probability within.
    """

    start_s: NDArray[np.float64]
    end_s: NDArray[np.float64]
    label: NDArray[np.int64]
    confidence: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.start_s)


@dataclass(frozen=True)
class _Runs:
    """Runs of cells, or of windows, of one class each: first, one past the last, and maximum."""

    label: NDArray[np.int64]
    first: NDArray[np.int64]
    stop: NDArray[np.int64]
    peak: NDArray[np.float32]

    def where(self, kept: NDArray[np.bool_]) -> "_Runs":
        return _Runs(self.label[kept], self.first[kept], self.stop[kept], self.peak[kept])


def find_events(
    blocks: Iterable[Floats],
    cell_rate: float,
    duration_s: float,
    thresholds: ArrayLike,
    settings: EventSettings | None = None,
) -> Events:
    """Events by hysteresis.

    Args:
        blocks: Probabilities of one recording, (cells, K) each, in order.
        cell_rate: Cells a second.
        duration_s: Length of the recording; no event ends later.
        thresholds: Of each class (K,), or one for all.
        settings: Lower threshold, shortest event, and which events are one.

    Example:
        >>> cells = np.array([[0.1], [0.4], [0.9], [0.4], [0.1]])
        >>> events = find_events([cells], 1.0, 5.0, 0.8)
        >>> events.start_s, events.end_s, events.confidence
        (array([1.]), array([4.]), array([0.9], dtype=float32))
    """
    settings = settings or EventSettings()
    on = np.asarray(thresholds, np.float64)
    off, position, parts = on * settings.off_ratio, 0, []
    for block in blocks:
        if not len(block):
            continue
        runs = _runs(block, off)
        # A run within a block that stays below the threshold can't grow into an event. It would
        # take memory, as a day of a low threshold has millions of them.
        at_edge = (runs.first == 0) | (runs.stop == len(block))
        runs = runs.where(at_edge | _reaches(runs, on))
        parts.append(_Runs(runs.label, runs.first + position, runs.stop + position, runs.peak))
        position += len(block)
    runs = _joined(_concatenated(parts), 0)
    runs = runs.where(_reaches(runs, on))
    runs = _joined(runs, int(settings.merge_s * cell_rate + ROUNDING))
    # A recording that is shorter than the shortest event may still be one from end to end.
    least = min(settings.min_s * cell_rate, position) - ROUNDING
    runs = runs.where(runs.stop - runs.first >= least)
    end_s = np.minimum(runs.stop / cell_rate, duration_s)
    return _sorted(runs.first / cell_rate, end_s, runs.label, runs.peak)


def window_peaks(
    blocks: Iterable[Floats],
    count: int,
    cell_rate: float,
    duration_s: float,
    window_s: float,
    overlap_s: float = 0.0,
) -> tuple[NDArray[np.float64], Floats]:
    """Windows of fixed length over one recording: their starts (W,), seconds, and the maxima of
    their cells (W, K).

    Args:
        blocks: Probabilities of one recording, (cells, K) each, in order.
        count: How many cells there are in all, one or more.
        cell_rate: Cells a second.
        duration_s: Length of the recording.
        window_s: Length of a window; the last one may end with the recording.
        overlap_s: How much of a window the next one has too; less than its length.
    """
    starts_s = window_starts_s(duration_s, window_s, overlap_s)
    return starts_s, interval_max(blocks, count, cell_rate, starts_s, starts_s + window_s)


def window_starts_s(duration_s: float, window_s: float, overlap_s: float) -> NDArray[np.float64]:
    """Starts of windows over a recording, seconds; each begins before the recording ends.

    Raises:
        ValueError: Windows overlap by their whole length.

    Example:
        >>> window_starts_s(7.0, 3.0, 1.0)
        array([0., 2., 4.])
    """
    step = window_s - overlap_s
    if not 0 < step <= window_s:
        raise ValueError(f"an overlap of {overlap_s:g} s does not fit windows of {window_s:g} s")
    # What lies in the window before needs none of its own.
    count = int(np.ceil((duration_s - overlap_s) / step - ROUNDING))
    return np.arange(max(count, 1), dtype=np.float64) * np.float64(step)


def window_events(
    windows: Windows,
    window_s: float,
    duration_s: float,
    thresholds: ArrayLike,
    top_n: int = 0,
    merge: int = 1,
) -> Events:
    """Events that are windows of fixed length.

    Args:
        windows: Their starts and probabilities.
        window_s: Their length; an event ends with the recording at the latest.
        duration_s: Length of the recording.
        thresholds: Of each class (K,), or one for all.
        top_n: Instead of those above the threshold, the surest so many of each window.
        merge: Up to so many windows of a class, one after another, become one event.
    """
    starts: list[NDArray[np.float64]] = [np.empty(0)]
    parts: list[_Runs] = []
    position, on = 0, np.asarray(thresholds, np.float64)
    for begin, probabilities in windows:
        found = probabilities >= on
        if top_n:
            order = np.argsort(-probabilities, axis=1, kind="stable")[:, :top_n]
            found = np.zeros_like(found)
            np.put_along_axis(found, order, True, axis=1)
        window, label = np.nonzero(found)
        at = window + position
        peak = probabilities[window, label].astype(np.float32)
        parts.append(_Runs(label, at, at + 1, peak))
        starts.append(begin)
        position += len(begin)
    start_s = np.concatenate(starts)
    runs = _joined(_concatenated(parts), 0, merge)
    end_s = np.minimum(start_s[runs.stop - 1] + window_s, duration_s)
    return _sorted(start_s[runs.first], end_s, runs.label, runs.peak)


def _runs(block: Floats, off: NDArray[np.float64]) -> _Runs:
    """Runs of cells at or above the lower thresholds."""
    above = (block >= off).T
    edges = np.diff(above, axis=1, prepend=False, append=False)
    label, at = np.nonzero(edges)  # by class, then by time: begin and end by turns
    label, first, stop = label[::2], at[::2], at[1::2]
    columns = np.ascontiguousarray(block.T)
    flat = np.stack([label * len(block) + first, label * len(block) + stop], axis=1).ravel()
    # The last run may end with the array, which `reduceat` takes for no index.
    padded = np.append(columns.ravel(), columns.ravel()[-1:])
    peak = np.maximum.reduceat(padded, flat)[::2] if len(flat) else np.empty(0)
    return _Runs(label, first, stop, peak.astype(np.float32))


def _reaches(runs: _Runs, on: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.asarray(runs.peak >= (on[runs.label] if on.ndim else on))


def _concatenated(parts: list[_Runs]) -> _Runs:
    none = np.empty(0, np.int64)
    parts = [_Runs(none, none, none, np.empty(0, np.float32)), *parts]
    return _Runs(
        np.concatenate([part.label for part in parts]),
        np.concatenate([part.first for part in parts]),
        np.concatenate([part.stop for part in parts]),
        np.concatenate([part.peak for part in parts]),
    )


def _joined(runs: _Runs, gap: int, most: int = 0) -> _Runs:
    """Runs of a class with at most `gap` between them as one; of `most` runs at most, 0: of all."""
    if not len(runs.label):
        return runs
    order = np.lexsort((runs.first, runs.label))
    label, first = runs.label[order], runs.first[order]
    stop, peak = runs.stop[order], runs.peak[order]
    new = np.ones(len(label), bool)
    new[1:] = (label[1:] != label[:-1]) | (first[1:] - stop[:-1] > gap)
    if most:
        within = np.arange(len(new)) - np.flatnonzero(new)[np.cumsum(new) - 1]
        new |= within % most == 0
    begin = np.flatnonzero(new)
    last = np.append(begin[1:], len(new)) - 1
    return _Runs(label[begin], first[begin], stop[last], np.maximum.reduceat(peak, begin))


def _sorted(
    start_s: NDArray[np.float64],
    end_s: NDArray[np.float64],
    label: NDArray[np.int64],
    confidence: NDArray[np.float32],
) -> Events:
    order = np.lexsort((label, end_s, start_s))
    return Events(start_s[order], end_s[order], label[order], confidence[order])
