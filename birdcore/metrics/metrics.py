"""The metrics of BirdCLEF, and intervals around them.

BirdCLEF is judged by the ROC-AUC of every class that occurs, averaged over those classes. Both
metrics here need only the sorted scores of a class's positives and of its negatives: two sorts
and a binary search instead of a curve of thresholds. Windows of one soundscape are alike, so an
interval resamples soundscapes, not rows.
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
    return np.array([_auc(*split) for split in _by_class(*_checked(truth, scores))])


def macro_auc(truth: ArrayLike, scores: ArrayLike) -> float:
    """The BirdCLEF metric: mean `class_auc` over classes with positives and negatives.

    Raises ValueError where there is no such class, and as `class_auc` does.
    """
    return mean_scored(class_auc(truth, scores))


def cmap(truth: ArrayLike, scores: ArrayLike) -> float:
    """Class-mean average precision over classes with positives.

    Per class equal to `sklearn.metrics.average_precision_score`. (BirdCLEF 2023 appended five rows
    of ones to both tables.) Raises ValueError as `macro_auc` does.
    """
    return mean_scored(
        np.array([_average_precision(*s) for s in _by_class(*_checked(truth, scores))])
    )


def bootstrap(
    truth: ArrayLike,
    scores: ArrayLike,
    groups: ArrayLike,
    *,
    generator: np.random.Generator,
    rounds: int = 1000,
    level: float = 0.95,
) -> tuple[float, float]:
    """Percentile interval of `macro_auc`, resampling groups of rows with replacement.

    `groups` (N,) names the group (soundscape) of each row. Draws in which no class can be scored
    are left out. Raises what `macro_auc` raises on all the rows.
    """
    hits, values = _checked(truth, scores)
    macro_auc(hits, values)
    _, group, sizes = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    draws = generator.integers(len(sizes), size=(rounds, len(sizes)))
    found = _resampled_macro_auc(hits, values, group, draws)
    if not found.size:
        raise ValueError(f"none of {rounds} draws of {len(sizes)} groups could be scored")
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _checked(truth: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.bool_], NDArray[np.floating]]:
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


def _resampled_macro_auc(
    hits: NDArray[np.bool_],
    values: NDArray[np.floating],
    group: NDArray[np.intp],
    draws: NDArray[np.int64],
) -> NDArray[np.float64]:
    """`macro_auc` of each draw: pairs won, summed over the pairs of groups that were drawn.

    So no row is scored twice: what each group wins against each other one is counted once.
    """
    groups = draws.shape[1]
    times = np.apply_along_axis(np.bincount, 1, draws, minlength=groups).astype(np.float64)
    total, scored = np.zeros((2, len(draws)))
    for hit, column in zip(hits.T, values.T, strict=True):
        order = np.flatnonzero(hit)[np.argsort(column[hit])]
        others, of_others, of_positives = column[~hit], group[~hit], group[order]
        # row k: twice the pairs that the k-th lowest positive wins in each group, a tie counts 1
        table = np.zeros((len(order) + 1) * groups, np.int64)
        for side in ("left", "right"):
            cells = column[order].searchsorted(others, side) * groups + of_others
            table += np.bincount(cells, minlength=len(table))
        won = table.reshape(-1, groups)[:-1].cumsum(axis=0)
        present, place = np.unique(of_positives, return_inverse=True)
        between = np.zeros((len(present), groups))
        np.add.at(between, place, won)
        pairs = times @ np.bincount(of_positives, minlength=groups)
        pairs *= times @ np.bincount(of_others, minlength=groups)
        auc = ((times @ between.T) * times[:, present]).sum(axis=1) / np.maximum(2 * pairs, 1)
        total += auc
        scored += pairs > 0
    return total[scored > 0] / scored[scored > 0]


def mean_scored(per_class: NDArray[np.float64]) -> float:
    scored = per_class[~np.isnan(per_class)]
    if not scored.size:
        raise ValueError("no class can be scored: none has the positives (and negatives) it needs")
    return float(scored.mean())
