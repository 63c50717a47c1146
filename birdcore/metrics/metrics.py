"""The metrics of BirdCLEF and of BirdSet: how well rows are ranked.

BirdCLEF is judged by the ROC-AUC of every class that occurs, averaged over those classes. Both
metrics of a class need only the sorted scores of its positives and of its negatives: two sorts
and a binary search instead of a curve of thresholds.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

COLUMNS_AT_ONCE = 16  # one cache line of a row holds 8 to 16 scores


def class_auc(truth: ArrayLike, scores: ArrayLike) -> NDArray[np.float64]:
    """ROC-AUC of each class, (C,): the share of positive-negative pairs in order, a tie one half.

    `truth` (N, C) is 0 or 1, `scores` (N, C) any finite numbers. NaN where a class has no
    positives or no negatives. Equal to `sklearn.metrics.roc_auc_score`. Raises ValueError on
    shapes that differ, soft truth, and NaN or infinite scores.
    """
    return np.array([_auc(*split) for split in _by_class(*checked(truth, scores))])


def macro_auc(truth: ArrayLike, scores: ArrayLike) -> float:
    """The BirdCLEF metric: mean `class_auc` over classes with positives and negatives.

    Raises ValueError where there is no such class, and as `class_auc` does.
    """
    return mean_scored(class_auc(truth, scores))


def cmap(truth: ArrayLike, scores: ArrayLike) -> float:
    """Class-mean average precision over classes with positives.

    (BirdCLEF 2023 appended five rows of ones to both tables.) Raises ValueError where no class has
    positives, and as `class_auc` does.
    """
    return mean_scored(class_average_precision(truth, scores))


def class_average_precision(truth: ArrayLike, scores: ArrayLike) -> NDArray[np.float64]:
    """Average precision of each class, (C,), NaN where it has no positives.

    Equal to `sklearn.metrics.average_precision_score`. Raises ValueError as `class_auc` does.
    """
    return np.array([_average_precision(*s) for s in _by_class(*checked(truth, scores))])


def top1(truth: ArrayLike, scores: ArrayLike) -> NDArray[np.float64]:
    """Whether the class with a row's highest score is there, (N,); NaN in rows without any class.

    BirdSet's top-1 accuracy (Rauch et al. 2024, arXiv:2403.10380) is the mean over rows with a
    class. Of classes that tie for the highest score, the share that is there counts. Raises
    ValueError as `class_auc` does.
    """
    hits, values = checked(truth, scores)
    highest = values == values.max(axis=1, keepdims=True, initial=-np.inf)
    right = np.count_nonzero(highest & hits, axis=1) / np.maximum(highest.sum(axis=1), 1)
    return np.where(hits.any(axis=1), right, np.nan)


def checked(truth: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.bool_], NDArray[np.floating]]:
    """Truth as bool and scores as floats, (N, C) both; raises ValueError as `class_auc` says."""
    marks, values = np.asarray(truth), np.asarray(scores)
    if marks.ndim != 2 or marks.shape != values.shape:
        raise ValueError(
            f"truth {marks.shape} and scores {values.shape} must be tables (rows, classes) alike"
        )
    if not (values.dtype == np.float32 or values.dtype == np.float64):
        values = values.astype(np.float64)
    finite = np.isfinite(values)
    if not finite.all():
        row, column = np.argwhere(~finite)[0]
        raise ValueError(
            f"{np.count_nonzero(~finite)} scores are NaN or infinite, the first in row {row}, "
            f"class {column} (counted from 0)"
        )
    hits: NDArray[np.bool_] = marks == 1
    if marks.dtype != np.bool_ and not (hits | (marks == 0)).all():
        raise ValueError("truth must hold 0 and 1 only: turn soft labels into hard ones first")
    return hits, values


def _by_class(
    hits: NDArray[np.bool_], values: NDArray[np.floating]
) -> Iterator[tuple[NDArray[np.floating], NDArray[np.floating]]]:
    """The sorted scores of the positives and of the negatives, class by class."""
    for first in range(0, hits.shape[1], COLUMNS_AT_ONCE):
        block = slice(first, first + COLUMNS_AT_ONCE)
        columns = np.ascontiguousarray(values[:, block].T)
        for hit, column in zip(np.ascontiguousarray(hits[:, block].T), columns, strict=True):
            yield np.sort(column[hit]), np.sort(column[~hit])


def _auc(positives: NDArray[np.floating], negatives: NDArray[np.floating]) -> float:
    pairs = positives.size * negatives.size
    if not pairs:
        return float("nan")
    below = negatives.searchsorted(positives, "left").sum()
    not_above = negatives.searchsorted(positives, "right").sum()
    return float(below + not_above) / (2 * pairs)


def _average_precision(positives: NDArray[np.floating], negatives: NDArray[np.floating]) -> float:
    if not positives.size:
        return float("nan")
    hits = positives.size - positives.searchsorted(positives, "left")
    false_alarms = negatives.size - negatives.searchsorted(positives, "left")
    return float(np.mean(hits / (hits + false_alarms)))


def mean_scored(per_class: NDArray[np.float64]) -> float:
    """The mean over the classes that are not NaN; raises ValueError where all are."""
    scored = per_class[~np.isnan(per_class)]
    if not scored.size:
        raise ValueError("no class can be scored: none has the positives (and negatives) it needs")
    return float(scored.mean())
