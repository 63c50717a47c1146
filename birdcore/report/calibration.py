"""Whether a probability means what it says: of all that got .7, do seven tenths sing?"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Bin:
    """Probabilities above `low` up to `high`: how many, their mean, and the share that is true."""

    low: float
    high: float
    count: int
    predicted: float
    true: float


def calibration(
    truth: NDArray[np.bool_], probabilities: NDArray[np.floating], bins: int = 10
) -> list[Bin]:
    """The bins of equal width from 0 to 1 that are not empty; arrays of any one shape.

    Equal to `sklearn.calibration.calibration_curve`; what rounding brings over 1 is in the last.
    """
    values, hits = probabilities.ravel().astype(np.float64), truth.ravel()
    edges = np.linspace(0, 1, bins + 1)
    at = edges[1:-1].searchsorted(values)
    counts = np.bincount(at, minlength=bins)
    predicted = np.bincount(at, weights=values, minlength=bins)
    true = np.bincount(at, weights=hits, minlength=bins)
    return [
        Bin(
            low=float(edges[b]),
            high=float(edges[b + 1]),
            count=int(counts[b]),
            predicted=float(predicted[b] / counts[b]),
            true=float(true[b] / counts[b]),
        )
        for b in np.flatnonzero(counts)
    ]


def expected_error(bins: list[Bin]) -> float:
    """The mean distance between what is predicted and what is true, over all predictions."""
    total = sum(one.count for one in bins)
    return sum(one.count * abs(one.predicted - one.true) for one in bins) / max(total, 1)
