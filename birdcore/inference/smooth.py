"""Smoothing of a recording's rows: a bird that sings is likely to go on singing.

All functions take the (S, C) probabilities of one recording's segments in time order and give
the same shape. Beyond the first and the last row these are repeated, in every function. Shares and
sigmas are those of a recipe's [predict], which checks them.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d, gaussian_filter1d

from birdcore.config import Predict

NEIGHBOURS = (0.1, 0.2, 0.4, 0.2, 0.1)
"""Weights from two rows before to two rows after (1st place 2025)."""


def smooth_recording(rows: NDArray[np.floating], settings: Predict) -> NDArray[np.floating]:
    """All smoothing that a recipe's [predict] has, in its order."""
    rows = gaussian(rows, settings.gaussian)
    if settings.delta_shift:
        rows = delta_shift(rows, 1 - settings.delta_shift)
    if settings.neighbours:
        rows = neighbours(rows)
    return file_maximum(rows, settings.file_maximum)


def gaussian(rows: NDArray[np.floating], sigma: float) -> NDArray[np.floating]:
    """Gaussian over time, `sigma` in rows; 0 changes nothing."""
    return np.asarray(gaussian_filter1d(rows, sigma, axis=0, mode="nearest")) if sigma else rows


def neighbours(rows: NDArray[np.floating]) -> NDArray[np.floating]:
    """Weighted mean of each row and its neighbours."""
    return weighted(rows, NEIGHBOURS)


def delta_shift(rows: NDArray[np.floating], weight: float = 0.5) -> NDArray[np.floating]:
    """Each row by `weight`, the rest half each from two rows before and after (1st place 2025)."""
    share = (1 - weight) / 2
    return weighted(rows, (share, 0.0, weight, 0.0, share))


def file_maximum(rows: NDArray[np.floating], share: float) -> NDArray[np.floating]:
    """Pull each class towards its maximum in the recording, by `share` (1st place 2026, .2).

    A bird that is certain once is likelier in all rows; the order within the recording stays.
    """
    return np.asarray((1 - share) * rows + share * rows.max(axis=0, keepdims=True))


def weighted(rows: NDArray[np.floating], kernel: tuple[float, ...]) -> NDArray[np.floating]:
    """Weighted mean of each row and its neighbours; an odd number of weights, scaled to sum 1."""
    weights = np.asarray(kernel)
    return np.asarray(correlate1d(rows, weights / weights.sum(), axis=0, mode="nearest"))
