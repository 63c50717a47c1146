"""Precision, recall and F1: how good yes and no are, once a threshold decides.

Hits and errors are counted for each recording and class, for rows above a threshold as for
events (`birdcore.metrics.events`), so that intervals resample recordings by a product of matrices.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from birdcore.metrics.metrics import checked

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Counts:
    """True positives, false positives and false negatives, (G, C) each: by recording and class."""

    hits: Array
    false: Array
    missed: Array


class Rates(NamedTuple):
    """Precision, recall and F1. NaN where nothing was predicted, or nothing is there."""

    precision: Array
    recall: Array
    f1: Array


def count_rows(
    truth: ArrayLike, scores: ArrayLike, thresholds: ArrayLike, group: NDArray[np.intp]
) -> Counts:
    """Count the rows whose score reaches the threshold of its class.

    Args:
        truth: (N, C), 0 or 1.
        scores: (N, C), finite.
        thresholds: (C,), or one for all; a class whose threshold is NaN is never predicted.
        group: (N,), the recording of each row, counted from 0.

    Raises:
        ValueError: As `birdcore.metrics.class_auc` does.
    """
    there, values = checked(truth, scores)
    said = values >= np.asarray(thresholds)
    groups = int(group.max(initial=-1)) + 1

    def by_group(mask: NDArray[np.bool_]) -> Array:
        columns = [np.bincount(group[column], minlength=groups) for column in mask.T]
        return np.array(columns, np.float64).reshape(len(columns), groups).T

    return Counts(by_group(there & said), by_group(~there & said), by_group(there & ~said))


def rates(hits: ArrayLike, false: ArrayLike, missed: ArrayLike) -> Rates:
    """Precision, recall and F1 of counts of any shape.

    Equal to scikit-learn's with `zero_division=nan`: precision is NaN where nothing was predicted,
    recall where nothing is there, F1 where neither.
    """
    tp, fp, fn = (np.asarray(counts, np.float64) for counts in (hits, false, missed))
    with np.errstate(invalid="ignore"):
        return Rates(tp / (tp + fp), tp / (tp + fn), 2 * tp / (2 * tp + fp + fn))


def resampled_counts(counts: Counts, times: Array) -> Counts:
    """The counts of each draw, (D, C), where recordings were drawn `times` (G, D)."""
    return Counts(*(times.T @ part for part in (counts.hits, counts.false, counts.missed)))


def best_thresholds(truth: ArrayLike, scores: ArrayLike) -> Array:
    """For each class (C,) the threshold of the highest F1 on these rows, NaN without positives.

    It is a score of a positive; of equally good ones the highest. It fits these rows: what it gives
    on them is an upper bound of what it gives on others.
    """
    there, values = checked(truth, scores)
    return np.array([_best(hit, value) for hit, value in zip(there.T, values.T, strict=True)])


def _best(hit: NDArray[np.bool_], value: NDArray[np.floating]) -> float:
    steps, times = np.unique(value[hit], return_counts=True)
    if not steps.size:
        return float("nan")
    said = len(value) - np.sort(value).searchsorted(steps, "left")
    right = times[::-1].cumsum()[::-1]
    f1 = 2 * right / (said + right[0])
    return float(steps[len(steps) - 1 - f1[::-1].argmax()])
