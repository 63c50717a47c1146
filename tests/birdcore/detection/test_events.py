"""Events: hysteresis, windows, and that no division into blocks changes them."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdcore.detection.events import (
    Events,
    EventSettings,
    find_events,
    window_events,
    window_peaks,
    window_starts_s,
)

LEVELS = (0.05, 0.2, 0.4, 0.6, 0.9)


@st.composite
def cells_and_cuts(draw: st.DrawFn) -> tuple[np.ndarray, list[int]]:
    count, classes = draw(st.integers(1, 40)), draw(st.integers(1, 3))
    values = draw(
        st.lists(st.sampled_from(LEVELS), min_size=count * classes, max_size=count * classes)
    )
    cuts = draw(st.lists(st.integers(0, count), max_size=6))
    return np.array(values, np.float32).reshape(count, classes), sorted(cuts)


def rows(events: Events) -> list[tuple[float, ...]]:
    return [
        tuple(map(float, row))
        for row in zip(events.start_s, events.end_s, events.label, events.confidence, strict=True)
    ]


def by_hand(cells: np.ndarray, on: float, settings: EventSettings) -> list[tuple[float, ...]]:
    """Events at one cell a second, class by class and cell by cell."""
    found: list[tuple[float, ...]] = []
    for label, column in enumerate(cells.T):
        runs: list[list[float]] = []
        for at, value in enumerate(column):
            if value >= on * settings.off_ratio:
                if runs and runs[-1][1] == at:
                    runs[-1] = [runs[-1][0], at + 1, max(runs[-1][2], value)]
                else:
                    runs.append([at, at + 1, value])
        merged: list[list[float]] = []
        for run in (run for run in runs if run[2] >= on):
            if merged and run[0] - merged[-1][1] <= settings.merge_s:
                merged[-1] = [merged[-1][0], run[1], max(merged[-1][2], run[2])]
            else:
                merged.append(run)
        least = min(settings.min_s, len(cells))
        found += [(a, b, label, float(p)) for a, b, p in merged if b - a >= least]
    return sorted(found)


@given(
    cells_and_cuts(),
    st.sampled_from([0.3, 0.6]),
    st.builds(
        EventSettings,
        off_ratio=st.sampled_from([0.5, 1.0]),
        min_s=st.integers(0, 3).map(float),
        merge_s=st.integers(0, 3).map(float),
    ),
)
def test_events_are_those_by_hand_however_cells_are_divided(
    given: tuple[np.ndarray, list[int]], on: float, settings: EventSettings
) -> None:
    cells, cuts = given
    blocks = np.split(cells, cuts)
    whole = rows(find_events([cells], 1.0, len(cells), on, settings))
    assert rows(find_events(blocks, 1.0, len(cells), on, settings)) == whole
    assert sorted(whole) == by_hand(cells, on, settings)


@given(cells_and_cuts(), st.integers(1, 5), st.integers(0, 4))
def test_windows_are_the_same_however_cells_are_divided(
    given: tuple[np.ndarray, list[int]], window: int, overlap: int
) -> None:
    cells, cuts = given
    overlap = min(overlap, window - 1)
    blocks = np.split(cells, cuts)
    starts, peaks = window_peaks(blocks, len(cells), 1.0, len(cells), window, overlap)
    assert list(starts) == list(window_starts_s(len(cells), window, overlap))
    for first, peak in zip(starts.astype(int), peaks, strict=True):
        np.testing.assert_array_equal(peak, cells[first : first + window].max(axis=0))


def found(probabilities: Sequence[Sequence[float]], **options: int) -> list[tuple[float, ...]]:
    table = np.array(probabilities, np.float32)
    starts = np.arange(len(table)) * 3.0
    halves = [(starts[:1], table[:1]), (starts[1:], table[1:])]
    return [
        (*row[:3], round(row[3], 2))
        for row in rows(window_events(halves, 3.0, 8.0, 0.5, **options))
    ]


def test_window_events_above_threshold_end_with_the_recording() -> None:
    assert found([[0.6, 0.1], [0.7, 0.1], [0.8, 0.9]]) == [
        (0.0, 3.0, 0.0, 0.6), (3.0, 6.0, 0.0, 0.7), (6.0, 8.0, 0.0, 0.8), (6.0, 8.0, 1.0, 0.9),
    ]  # fmt: skip


def test_merge_joins_at_most_so_many_windows() -> None:
    probabilities = [[0.6], [0.7], [0.8]]
    assert found(probabilities, merge=2) == [(0.0, 6.0, 0.0, 0.7), (6.0, 8.0, 0.0, 0.8)]
    assert found(probabilities, merge=3) == [(0.0, 8.0, 0.0, 0.8)]


def test_top_n_ignores_the_threshold() -> None:
    assert found([[0.1, 0.2, 0.3], [0.9, 0.8, 0.7]], top_n=1) == [
        (0.0, 3.0, 2.0, 0.3), (3.0, 6.0, 0.0, 0.9),
    ]  # fmt: skip


def test_thresholds_are_of_each_class_and_ends_are_within_the_recording() -> None:
    cells = np.full((3, 2), 0.5)
    events = find_events([cells], 2.0, 1.4, [0.4, 0.6])
    assert rows(events) == [(0.0, 1.4, 0.0, 0.5)]


def test_nothing_is_found_in_silence() -> None:
    assert len(find_events([np.zeros((5, 2))], 1.0, 5.0, 0.5)) == 0
    assert len(find_events([], 1.0, 5.0, 0.5)) == 0
    assert len(window_events([], 3.0, 5.0, 0.5)) == 0


def test_overlap_of_a_whole_window_is_refused() -> None:
    with pytest.raises(ValueError, match="an overlap of 3 s does not fit windows of 3 s"):
        window_starts_s(9.0, 3.0, 3.0)
