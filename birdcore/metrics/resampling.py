"""Intervals around scores: recordings are drawn with replacement, never rows.

Windows of one recording are alike, so rows drawn one by one would make every interval too narrow.
A draw gives each recording a weight, how often it was drawn, and all metrics here are sums over
recordings: rows are sorted once, and 1,000 draws are one product of a sparse matrix.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from birdcore.metrics.metrics import checked, macro_auc

CELLS = 1 << 17
"""Bins by draws that are reckoned at once: 1 MiB of them, which a processor's cache holds."""


@dataclass(frozen=True)
class Draws:
    """Which recordings were drawn, and how often.

    Attributes:
        group: (N,), the recording of each row, counted from 0.
        times: (G, D), how often each of G recordings is in each of D draws.
    """

    group: NDArray[np.intp]
    times: NDArray[np.float64]


def draw_groups(groups: ArrayLike, *, generator: np.random.Generator, rounds: int) -> Draws:
    """Draw as many groups of rows as there are, with replacement, `rounds` times.

    Args:
        groups: (N,), the name of each row's recording.
        generator: Of the draws.
        rounds: D, the number of draws.
    """
    _, group, sizes = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    drawn = generator.integers(len(sizes), size=(rounds, len(sizes)))
    times = np.zeros((len(sizes), rounds))
    for at, draw in enumerate(drawn):
        times[:, at] = np.bincount(draw, minlength=len(sizes))
    return Draws(group, times)


def interval(found: NDArray[np.float64], level: float = 0.95) -> tuple[float, float]:
    """The percentile interval of a metric's values (D,) in draws; NaN are left out.

    Both ends are NaN where no draw could be scored.
    """
    scored = found[~np.isnan(found)]
    if not scored.size:
        return float("nan"), float("nan")
    low, high = np.quantile(scored, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


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
    hits, values = checked(truth, scores)
    macro_auc(hits, values)
    draws = draw_groups(groups, generator=generator, rounds=rounds)
    auc, _ = resampled_ranking(hits, values, draws)
    low, high = interval(mean_over_classes(auc), level)
    if np.isnan(low):
        raise ValueError(f"none of {rounds} draws of {len(draws.times)} groups could be scored")
    return low, high


def mean_over_classes(by_class: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean of each draw (D,) over the classes (C, D) that it can score, else NaN."""
    scored = np.count_nonzero(~np.isnan(by_class), axis=0)
    total = np.where(np.isnan(by_class), 0, by_class).sum(axis=0)
    return np.where(scored > 0, total / np.maximum(scored, 1), np.nan)


def resampled_ranking(
    hits: NDArray[np.bool_], values: NDArray[np.floating], draws: Draws
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """ROC-AUC and average precision of each class in each draw, (C, D) each.

    NaN where a draw has no row of a class, or, for ROC-AUC, no row without it.

    Args:
        hits: (N, C), whether each class is there.
        values: (N, C), finite scores.
        draws: Of the N rows' recordings.
    """
    auc, precision = np.full((2, hits.shape[1], draws.times.shape[1]), np.nan)
    for label, (hit, column) in enumerate(zip(hits.T, values.T, strict=True)):
        if hit.any():
            auc[label], precision[label] = _one_class(hit, column, draws)
    return auc, precision


def _one_class(
    hit: NDArray[np.bool_], column: NDArray[np.floating], draws: Draws
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both metrics of one class (D,), from the weights of what lies between its positives.

    The U scores that positives have divide all scores into 2 U + 1 bins, by turns what is between
    two of them and what ties with one.
    """
    steps, of_positives = np.unique(column[hit], return_inverse=True)
    others = column[~hit]
    of_others = steps.searchsorted(others, "left") + steps.searchsorted(others, "right")
    positives = _bins(of_positives, draws.group[hit], len(steps), draws)
    negatives = _bins(of_others, draws.group[~hit], 2 * len(steps) + 1, draws)
    auc, precision = np.empty((2, draws.times.shape[1]))
    at_once = max(CELLS // (2 * len(steps) + 1), 1)
    for first in range(0, draws.times.shape[1], at_once):
        part = slice(first, first + at_once)
        times = draws.times[:, part]
        hits, false = np.asarray(positives @ times), np.asarray(negatives @ times)
        below, ties = false[:-1:2].cumsum(axis=0), false[1::2]
        all_hits, all_false = hits.sum(axis=0), false.sum(axis=0)
        won = (hits * (2 * (below + _before(ties)) + ties)).sum(axis=0)
        above = all_hits - _before(hits)
        with_false = above + all_false - below - _before(ties)
        with np.errstate(invalid="ignore"):  # 0 / 0 is NaN: not scored
            auc[part] = won / (2 * all_hits * all_false)
            precision[part] = (hits * above / np.maximum(with_false, 1)).sum(axis=0) / all_hits
    return auc, precision


def _bins(
    of_rows: NDArray[np.intp], group: NDArray[np.intp], bins: int, draws: Draws
) -> sparse.csr_array[np.float64]:
    """How many rows of each group lie in each bin, (bins, G)."""
    ones = np.ones(len(of_rows))
    shape = (bins, len(draws.times))
    return sparse.csr_array(sparse.coo_array((ones, (of_rows, group)), shape=shape))


def _before(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """The sum of all rows before each one."""
    return weights.cumsum(axis=0) - weights
