"""Smoothing of a recording's rows: a bird that sings is likely to go on singing.

All functions take the (S, C) probabilities of one recording's segments in time order and give
the same shape. Beyond the first and the last row these are repeated, in every function.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d, gaussian_filter1d

from birdcore.config import Predict


def smooth_recording(rows: NDArray[np.floating], settings: Predict) -> NDArray[np.floating]:
    """All smoothing that a recipe's [predict] asks for, in its order."""
    rows = gaussian(rows, settings.gaussian)
    if settings.delta_shift:
        rows = delta_shift(rows, 1 - settings.delta_shift)
    if settings.neighbours:
        rows = neighbours(rows)
    return file_maximum(rows, settings.file_maximum)


def gaussian(rows: NDArray[np.floating], sigma: float) -> NDArray[np.floating]:
    """Gaussian over time, `sigma` in rows; 0 changes nothing."""
    if sigma < 0:
        raise ValueError(f"sigma must not be negative, not {sigma:g}")
    return np.asarray(gaussian_filter1d(rows, sigma, axis=0, mode="nearest")) if sigma else rows


def neighbours(
    rows: NDArray[np.floating], kernel: Sequence[float] = (0.1, 0.2, 0.4, 0.2, 0.1)
) -> NDArray[np.floating]:
    """Weighted mean of each row and its neighbours (1st place 2025).

    `kernel` runs from the past to the future with the row itself in the middle, and is scaled to
    sum 1. Raises ValueError for an even length or weights that are negative or all zero.
    """
    weights = np.asarray(kernel, np.float64)
    if len(weights) % 2 == 0:
        raise ValueError(f"a kernel of {len(weights)} weights has no middle: give an odd number")
    if not (weights >= 0).all() or not weights.any():
        raise ValueError(f"kernel weights must be at least 0, one above it: {tuple(kernel)}")
    return np.asarray(correlate1d(rows, weights / weights.sum(), axis=0, mode="nearest"))


def delta_shift(
    rows: NDArray[np.floating], weight: float = 0.5, offset: int = 2
) -> NDArray[np.floating]:
    """Each row by `weight`, the rest half each from `offset` rows before and after (1st 2025)."""
    if not 0 <= weight <= 1 or offset < 1:
        raise ValueError(f"weight {weight:g} must be in 0 to 1, offset {offset} at least 1")
    kernel = np.zeros(2 * offset + 1)
    kernel[[0, offset, -1]] = (1 - weight) / 2, weight, (1 - weight) / 2
    return neighbours(rows, kernel.tolist())


def file_maximum(rows: NDArray[np.floating], share: float) -> NDArray[np.floating]:
    """Pull each class towards its maximum in the recording, by `share` (1st place 2026, .2).

    A bird that is certain once is likelier in all rows; the order within the recording stays.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share must be in 0 to 1, not {share:g}")
    return np.asarray((1 - share) * rows + share * rows.max(axis=0, keepdims=True))
