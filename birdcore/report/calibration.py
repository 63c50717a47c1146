"""Calibration: whether a predicted probability is the share of cases in which the species sings.

Before and after calibration: the curves that are kept with a model are fitted on all held-out
recordings, so how good they are is measured on curves fitted on some and applied to the others.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from birdcore.detection.calibration import fit_curves

LEAST_POSITIVES = 10
"""Cases of a species in a recording, of all species together, that curves must be fitted on."""


@dataclass(frozen=True)
class Bin:
    """Predictions above `low` up to `high`: their count, their mean, and the share that is true."""

    low: float
    high: float
    count: int
    predicted: float
    true: float


def calibration(
    truth: NDArray[np.bool_], probabilities: NDArray[np.floating], bins: int = 10
) -> list[Bin]:
    """The reliability curve over bins of equal width, empty bins left out.

    Args:
        truth: any shape; whether the class is present.
        probabilities: same shape; rounding outside of 0 to 1 is clipped.
        bins: number of bins from 0 to 1.

    Example:
        >>> calibration(np.array([True, False]), np.array([0.95, 0.91]))[0].true
        0.5
    """
    from sklearn.calibration import calibration_curve

    values = probabilities.ravel().astype(np.float64).clip(0, 1)
    if not values.size:
        return []
    true, predicted = calibration_curve(truth.ravel(), values, n_bins=bins)
    edges = np.linspace(0, 1, bins + 1)
    counts = np.bincount(edges[1:-1].searchsorted(values), minlength=bins)
    return [
        Bin(float(edges[b]), float(edges[b + 1]), int(counts[b]), float(p), float(t))
        for b, p, t in zip(np.flatnonzero(counts), predicted, true, strict=True)
    ]


def calibration_error(
    truth: NDArray[np.bool_], probabilities: NDArray[np.floating], bins: int = 10
) -> float:
    """Expected calibration error: mean of |predicted - true| over bins of equal mass.

    Bins hold as many predictions each, equal ones together, since most predictions are near 0 and
    bins of equal width would put nearly all of them into one (Nixon et al. 2019, Measuring
    Calibration in Deep Learning).

    Args:
        truth: any shape; whether the class is present.
        probabilities: same shape.
        bins: how many.

    Example:
        >>> calibration_error(np.array([False, True]), np.array([0.25, 0.5]), bins=2)
        0.375
    """
    from scipy.stats import rankdata

    values = probabilities.ravel().astype(np.float64)
    if not values.size:
        return 0.0
    places = ((rankdata(values) - 0.5) / values.size * bins).astype(int)
    off = np.bincount(places, weights=values - truth.ravel())
    return float(np.abs(off).sum() / values.size)


def cross_fitted(
    truth: NDArray[np.bool_], confidences: NDArray[np.floating], parts: NDArray[np.integer]
) -> NDArray[np.float64] | None:
    """Calibrated probabilities (N, K) of each part of the recordings, by curves of the other parts.

    Args:
        truth: Whether a recording has a class (N, K).
        confidences: The model's (N, K).
        parts: Which part each recording is of (N,).

    Returns:
        None where the other parts of one have fewer than `LEAST_POSITIVES`.
    """
    calibrated = np.empty(truth.shape)
    for part in np.unique(parts):
        own = parts == part
        if truth[~own].sum() < LEAST_POSITIVES:
            return None
        curves = fit_curves(truth[~own], confidences[~own])
        for column, curve in enumerate(curves):
            calibrated[own, column] = curve(confidences[own, column])
    return calibrated
