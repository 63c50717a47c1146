"""How good yes and no are by the metrics of BirdCLEF 2021 and 2022, and the threshold that they
want.

Both forms of submission say yes or no, so one number decides between them for all classes: few
classes have positives enough to choose one of their own.
"""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Marks: TypeAlias = NDArray[np.bool_]
Metric: TypeAlias = Callable[[Marks, Marks], float]
STEPS = np.arange(1, 100) / 100
"""Thresholds that are tried: finer ones fit the rows at hand."""


def row_f1(truth: Marks, said: Marks) -> float:
    """The mean over rows of their F1, where a row without any class has the label `nocall` (2021).

    Args:
        truth: Whether a class is there (N, C).
        said: Whether it is said to be (N, C).
    """
    both = np.stack([truth, said])
    nocall = ~both.any(axis=-1, keepdims=True)
    there, given = np.concatenate([both, nocall], axis=-1)
    hits = (there & given).sum(axis=1)
    return float(np.mean(2 * hits / (there.sum(axis=1) + given.sum(axis=1))))


def balanced_accuracy(truth: Marks, said: Marks) -> float:
    """The mean of the true positive and true negative rates, over classes that have both (2022).

    Args:
        truth: Whether a class is there (N, C).
        said: Whether it is said to be (N, C).

    Returns:
        NaN where no class has rows of both kinds.
    """
    positives, negatives = truth.sum(axis=0), (~truth).sum(axis=0)
    scored = (positives > 0) & (negatives > 0)
    if not scored.any():
        return float("nan")
    found = (truth & said).sum(axis=0)[scored] / positives[scored]
    left = (~truth & ~said).sum(axis=0)[scored] / negatives[scored]
    return float(np.mean((found + left) / 2))


def best_of(metric: Metric, truth: Marks, scores: NDArray[np.floating]) -> float | None:
    """The threshold, of `STEPS`, at which a metric is highest; of several the middle one.

    Args:
        metric: Of truth and what is said.
        truth: Whether a class is there (N, C).
        scores: Probabilities (N, C); those of a threshold or more say yes.

    Returns:
        None where nothing can be told: no row, or no metric.
    """
    if not truth.size or not truth.any():
        return None
    values = np.array([metric(truth, scores >= threshold) for threshold in STEPS])
    if np.isnan(values).all():
        return None
    best = np.flatnonzero(values == np.nanmax(values))
    return float(STEPS[best[len(best) // 2]])
