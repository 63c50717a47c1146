"""Calibration: whether a predicted probability is the share of cases in which the species sings."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


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


def expected_error(bins: list[Bin]) -> float:
    """Expected calibration error: mean of |predicted - true|, weighted by count (Naeini 2015)."""
    total = sum(one.count for one in bins)
    return sum(one.count * abs(one.predicted - one.true) for one in bins) / max(total, 1)
