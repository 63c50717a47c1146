"""Pseudo-labels by hand and against slow loops."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from birdcore.label.soft import (
    drop_small,
    high_low_mask,
    keep_segments,
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
