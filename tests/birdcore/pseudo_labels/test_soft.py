"""Pseudo-labels by hand and against slow loops."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from birdcore.pseudo_labels.soft import (
    cap_sum,
    drop_small,
    high_low_mask,
    keep_segments,
    keep_top,
    minmax_by_class,
    power_transform,
    soundscape_weights,
)

ROWS = np.array([[0.0, 0.1, 0.3], [0.31, 0.5, 0.69], [0.7, 0.05, 1.0]])


def test_high_low_mask_takes_the_sure_classes() -> None:
    assert high_low_mask(ROWS).tolist() == [[True] * 3, [False] * 3, [True] * 3]
    assert high_low_mask(ROWS, 0.5, 0.0).tolist() == [
        [True, False, False],
        [False, True, True],
        [True, False, True],
    ]
    with pytest.raises(ValueError, match=r"low threshold 0\.8 is above"):
        high_low_mask(ROWS, 0.7, 0.8)


def test_power_transform_keeps_order_and_ends() -> None:
    sharp = power_transform(ROWS, 1.54)
    assert (sharp[0, 0], sharp[2, 2]) == (0, 1)
    assert sharp[1, 1] == pytest.approx(0.5**1.54)
    assert (np.argsort(sharp.ravel()) == np.argsort(ROWS.ravel())).all()
    np.testing.assert_array_equal(power_transform(ROWS, 1), ROWS)
    for power in (0, -1, float("nan")):
        with pytest.raises(ValueError, match="power must be positive"):
            power_transform(ROWS, power)


def test_keep_segments_and_drop_small() -> None:
    assert keep_segments(ROWS, 0.69).tolist() == [False, True, True]
    assert keep_segments(ROWS, 0).all()
    assert drop_small(ROWS, 0.1).tolist() == [[0, 0.1, 0.3], [0.31, 0.5, 0.69], [0.7, 0, 1]]
    assert drop_small(ROWS.astype(np.float32)).dtype == np.float32


@settings(deadline=None)
@given(st.lists(st.integers(0, 6), max_size=20), st.integers(0, 2**32 - 1))
def test_soundscape_weights_equal_a_slow_loop(index: list[int], seed: int) -> None:
    probabilities = np.random.default_rng(seed).random((len(index), 4))
    ours = soundscape_weights(probabilities, np.array(index, np.int64))
    assert len(ours) == max(index, default=-1) + 1
    for number, weight in enumerate(ours):
        rows = [p for p, i in zip(probabilities, index, strict=True) if i == number]
        assert weight == pytest.approx(sum(np.max(rows, axis=0)) if rows else 0)


@pytest.mark.parametrize(
    "function",
    [
        high_low_mask,
        keep_segments,
        drop_small,
        lambda p: power_transform(p, 2),
        lambda p: soundscape_weights(p, np.zeros(len(p), int)),
    ],
)
def test_logits_and_nan_are_refused(function: Callable[[np.ndarray], np.ndarray]) -> None:
    for bad in (-0.1, 1.1, np.nan):
        with pytest.raises(ValueError, match="not probabilities"):
            function(np.array([[0.5, bad]]))
    with pytest.raises(ValueError, match=r"\(segments, classes\)"):
        function(np.zeros(3))


def test_soundscape_weights_need_a_recording_for_each_segment() -> None:
    with pytest.raises(ValueError, match="3 segments"):
        soundscape_weights(ROWS, [0, 0])


def test_minmax_stretches_each_class() -> None:
    assert minmax_by_class(ROWS).tolist() == [
        pytest.approx([0, 0.05 / 0.45, 0]),
        pytest.approx([0.31 / 0.7, 1, 0.39 / 0.7]),
        pytest.approx([1, 0, 1]),
    ]
    same = np.full((3, 2), 0.2, np.float32)
    np.testing.assert_array_equal(minmax_by_class(same), same)
    assert minmax_by_class(same[:0]).shape == (0, 2)


def test_keep_top_takes_the_highest_sums() -> None:
    assert keep_top(ROWS, 0.34).tolist() == [False, False, True]
    assert keep_top(ROWS, 0.67).tolist() == [False, True, True]
    assert keep_top(ROWS, 0.01).sum() == 1
    assert keep_top(np.zeros((5, 2)), 0.4).tolist() == [True, True, False, False, False]
    for share in (0.0, 1.1, float("nan")):
        with pytest.raises(ValueError, match="above 0 and at most 1"):
            keep_top(ROWS, share)


def test_cap_sum_scales_only_what_is_above() -> None:
    capped = cap_sum(ROWS, 0.75)
    np.testing.assert_array_equal(capped[0], ROWS[0])
    np.testing.assert_allclose(capped[1:].sum(axis=1), 0.75)
    np.testing.assert_allclose(capped[1], ROWS[1] / 2)
    np.testing.assert_array_equal(cap_sum(np.zeros((1, 3)), 0.75), np.zeros((1, 3)))
    with pytest.raises(ValueError, match="above 0"):
        cap_sum(ROWS, 0)


@given(st.floats(0.05, 3), st.integers(0, 2**32 - 1))
def test_no_sum_is_above_its_cap(cap: float, seed: int) -> None:
    labels = np.random.default_rng(seed).random((6, 4)).astype(np.float32)
    capped = cap_sum(labels, cap)
    assert (capped.sum(axis=1) <= cap * (1 + 1e-5)).all()
    assert (capped <= labels).all()
    assert capped.dtype == np.float32
