"""Windows cover a recording to its end, and their outputs come back to where they were heard."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from birdcore.inference.windows import (
    average_overlaps,
    segment_ends,
    segment_max,
    segment_mean,
    window_starts,
)


@st.composite
def layouts(draw: st.DrawFn) -> tuple[int, int, int]:
    total, window = draw(st.integers(1, 120)), draw(st.integers(1, 50))
    return total, window, draw(st.integers(1, window))


@settings(deadline=None)
@given(layouts())
def test_windows_reach_both_ends_and_leave_no_gap(layout: tuple[int, int, int]) -> None:
    total, window, step = layout
    starts = window_starts(total, window, step)
    assert starts.dtype == np.int64
    assert starts[0] == 0
    assert starts[-1] + window == max(total, window)
    gaps = np.diff(starts)
    assert (gaps > 0).all()
    assert (gaps <= min(window, np.ceil(1.1 * step))).all()
    covered = np.zeros(total, int)
    for start in starts:
        covered[start : start + window] += 1
    assert covered.min() >= 1


def test_window_starts_by_hand() -> None:
    assert window_starts(60, 5, 5).tolist() == list(range(0, 60, 5))
    assert window_starts(62, 20, 10).tolist() == [0, 8, 17, 25, 34, 42]
    assert window_starts(30, 50, 10).tolist() == [0]
    # one frame beyond the grid is no reason for one more window
    assert len(window_starts(3001, 500, 250)) == len(window_starts(3000, 500, 250))


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((0, 10, 5), "no frames"),
        ((50, 10, 11), "step of 11"),
        ((50, 10, 0), "step of 0"),
    ],
)
def test_window_sizes_without_sense_are_refused(sizes: tuple[int, int, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        window_starts(*sizes)


def slow_average(
    probabilities: np.ndarray, starts: np.ndarray, window: int, total: int, cell: int
) -> np.ndarray:
    outputs = probabilities.shape[1]
    rows = []
    for lower in range(0, total, cell):
        centre = (lower + min(lower + cell, total)) / 2
        heard = [
            probabilities[w, int((centre - start) * outputs / window)]
            for w, start in enumerate(starts)
            if start <= centre < start + window
        ]
        rows.append(np.mean(heard, axis=0))
    return np.array(rows)


@settings(deadline=None, max_examples=50)
@given(layouts(), st.integers(1, 7), st.integers(1, 9), st.sampled_from([np.float32, np.float64]))
def test_average_overlaps_equals_a_slow_loop(
    layout: tuple[int, int, int], outputs: int, cell: int, dtype: type[np.float32]
) -> None:
    total, window, step = layout
    starts = window_starts(total, window, step)
    generator = np.random.default_rng(0)
    probabilities = generator.random((len(starts), outputs, 2)).astype(dtype)
    ours = average_overlaps(probabilities, starts, window, total, cell)
    assert ours.dtype == dtype
    np.testing.assert_allclose(
        ours, slow_average(probabilities, starts, window, total, cell), rtol=1e-5
    )
    middle = len(ours) // 3
    parts = [
        average_overlaps(probabilities, starts, window, total, cell, part)
        for part in ((0, middle), (middle, None))
    ]
    np.testing.assert_array_equal(np.concatenate(parts), ours)
    constant = np.full_like(probabilities, 0.3)
    averaged = average_overlaps(constant, starts, window, total, cell)
    assert averaged.shape == (-(-total // cell), 2)
    np.testing.assert_allclose(averaged, constant[0, 0, 0], rtol=1e-6)


def test_outputs_land_on_their_span_and_the_padding_on_nothing() -> None:
    probabilities = np.array([[[9.0], [1.0]], [[2.0], [3.0]], [[4.0], [9.0]]])
    ours = average_overlaps(probabilities, [-2, 2, 6], 4, 8, 1)
    assert ours.ravel().tolist() == [1, 1, 2, 2, 3, 3, 4, 4]
    halved = average_overlaps(np.array([[[1.0]], [[2.0]]]), [0, 2], 4, 6, 2)
    assert halved.ravel().tolist() == [1, 1.5, 2]


def test_uncovered_frames_and_unlike_windows_are_refused() -> None:
    with pytest.raises(ValueError, match="from frame 4 on"):
        average_overlaps(np.zeros((2, 1, 1)), [0, 6], 4, 10, 1)
    with pytest.raises(ValueError, match="2 windows, but starts"):
        average_overlaps(np.zeros((2, 1, 1)), [0], 4, 4)


@pytest.mark.parametrize(
    ("duration", "rows"),
    [(0.01, 1), (3, 1), (5, 1), (5.05, 1), (60, 12), (60.01, 12), (60.2, 13), (62, 13)],
)
def test_segments_of_a_recording(duration: float, rows: int) -> None:
    ends = segment_ends(duration)
    assert ends.dtype == np.int64
    assert ends.tolist() == list(range(5, 5 * rows + 1, 5))
    frames = np.zeros((max(round(duration * 62.5), 1), 3))
    assert segment_max([frames], len(frames), 62.5, duration).shape == (rows, 3)


def test_segments_without_sense_are_refused() -> None:
    for duration in (0, -1, float("nan")):
        with pytest.raises(ValueError, match="has no segments"):
            segment_ends(duration)
    with pytest.raises(ValueError, match="whole seconds"):
        segment_ends(60, 2.5)


@settings(deadline=None)
@given(st.integers(1, 300), st.sampled_from([2.0, 7.3, 31.25, 62.5]), st.sampled_from([1, 2.5, 5]))
def test_segment_max_and_mean_equal_a_slow_loop(count: int, rate: float, length: float) -> None:
    generator = np.random.default_rng(0)
    frames = generator.random((count, 2)).astype(np.float32)
    duration = count / rate
    centres = (np.arange(count) + 0.5) / rate
    ours = segment_max([frames], count, rate, duration, length)
    starts = np.arange(len(ours)) * length
    means = segment_mean([frames], count, rate, starts, starts + length)
    assert (ours.dtype, means.dtype) == (np.float32, np.float64)
    blocks = np.split(frames, range(7, count, 7))
    np.testing.assert_array_equal(ours, segment_max(blocks, count, rate, duration, length))
    in_blocks = segment_mean(blocks, count, rate, starts, starts + length)
    np.testing.assert_array_equal(means, in_blocks)
    for i, start in enumerate(starts):
        end = np.inf if i == len(starts) - 1 else start + length
        inside = (centres >= start - 1e-9) & (centres < end - 1e-9)
        within = inside & (centres < start + length - 1e-9)
        if not within.any():  # a last part shorter than a frame takes the last frame
            inside[-1] = within[-1] = True
        np.testing.assert_array_equal(ours[i], frames[inside].max(axis=0))
        np.testing.assert_allclose(means[i], frames[within].mean(axis=0), rtol=1e-5)


def test_segment_max_takes_the_frames_beyond_the_last_row() -> None:
    frames = np.zeros((121, 1))
    frames[120] = 1  # a codec's padding: 60.5 s of frames at 2 per second, 60.05 s by its header
    ours = segment_max([frames], 121, 2.0, 60.05)
    assert ours.ravel().tolist() == [0] * 11 + [1]


def test_segment_max_refuses_frames_of_another_recording() -> None:
    with pytest.raises(ValueError, match=r"frames last 15 s, the recording 60 s"):
        segment_max([np.zeros((900, 1))], 900, 60.0, 60.0)
    with pytest.raises(ValueError, match="no frames"):
        segment_max([np.zeros((0, 1))], 0, 60.0, 3.0)


def test_segment_mean_of_overlapping_segments() -> None:
    frames = np.arange(10.0)[:, None]
    ours = segment_mean([frames], 10, 1.0, [0, 5, 2, 9, 0.6], [10, 15, 4, 10, 0.7])
    assert ours.ravel().tolist() == [4.5, 7, 2.5, 9, 1]
    constant = segment_mean([np.full((50, 1), 0.1)], 50, 10.0, [0, 1.3, 4.9], [5, 2.7, 7])
    np.testing.assert_allclose(constant, 0.1, rtol=1e-12)


def test_many_segments_in_any_order_and_blocks_of_any_size() -> None:
    rng = np.random.default_rng(0)
    frames = rng.random((1_000, 3)).astype(np.float32)
    starts = rng.uniform(0, 99, 300)
    ends = starts + rng.uniform(0.1, 20, 300)
    whole = segment_mean([frames], 1_000, 10.0, starts, ends)
    in_blocks = segment_mean(np.split(frames, range(13, 1_000, 13)), 1_000, 10.0, starts, ends)
    np.testing.assert_array_equal(in_blocks, whole)
    for start, end, mean in zip(starts[:5], ends[:5], whole, strict=False):
        centres = (np.arange(1_000) + 0.5) / 10
        inside = (centres >= start) & (centres < end)
        if inside.any():
            np.testing.assert_allclose(mean, frames[inside].mean(axis=0), rtol=1e-5)


@pytest.mark.parametrize(("start", "end"), [(-1, 2), (3, 3), (4, 2), (10, 12)])
def test_segment_mean_refuses_segments_outside(start: float, end: float) -> None:
    with pytest.raises(ValueError, match="is empty or outside"):
        segment_mean([np.zeros((10, 1))], 10, 1.0, [0, start], [5, end])
