"""Smoothing against slow loops and scipy's own definition."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from birdcore.inference.smooth import delta_shift, file_maximum, gaussian, neighbours

SMOOTHERS = [lambda rows: gaussian(rows, 1.3), neighbours, delta_shift]


def slow(rows: np.ndarray, kernel: list[float]) -> np.ndarray:
    """Weighted mean around each row, where indices beyond an end mean the end."""
    half = len(kernel) // 2
    steps = range(-half, half + 1)
    last = len(rows) - 1
    return np.array(
        [
            sum(w * rows[min(max(i + d, 0), last)] for w, d in zip(kernel, steps, strict=True))
            for i in range(len(rows))
        ]
    )


@settings(deadline=None)
@given(st.integers(1, 15), st.integers(0, 2**32 - 1))
def test_neighbours_and_delta_shift_equal_a_slow_loop(count: int, seed: int) -> None:
    rows = np.random.default_rng(seed).random((count, 3))
    np.testing.assert_allclose(neighbours(rows), slow(rows, [0.1, 0.2, 0.4, 0.2, 0.1]))
    np.testing.assert_allclose(delta_shift(rows), slow(rows, [0.25, 0, 0.5, 0, 0.25]))
    np.testing.assert_allclose(delta_shift(rows, 0.8), slow(rows, [0.1, 0, 0.8, 0, 0.1]))


def test_gaussian_equals_its_formula() -> None:
    rows = np.random.default_rng(0).random((12, 2))
    bell = np.exp(-0.5 * (np.arange(-4, 5) / 1.0) ** 2)  # scipy cuts at 4 sigma
    np.testing.assert_allclose(gaussian(rows, 1.0), slow(rows, list(bell / bell.sum())))
    np.testing.assert_array_equal(gaussian(rows, 0), rows)


@pytest.mark.parametrize("smooth", SMOOTHERS)
def test_constants_stay_and_classes_do_not_mix(smooth: Callable[[np.ndarray], np.ndarray]) -> None:
    rows = np.tile(np.array([0.2, 0, 1], np.float32), (7, 1))
    smoothed = smooth(rows)
    assert smoothed.dtype == np.float32
    np.testing.assert_allclose(smoothed, rows, rtol=1e-6)


def test_file_maximum_pulls_each_class_towards_its_own() -> None:
    rows = np.array([[0.1, 0.2], [0.9, 0.0], [0.5, 0.4]])
    pulled = file_maximum(rows, 0.2)
    assert np.allclose(pulled, [[0.26, 0.24], [0.9, 0.08], [0.58, 0.4]])
    assert (file_maximum(rows, 0.0) == rows).all()
