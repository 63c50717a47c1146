"""All scores of predictions at once, each with its interval: what `birdflow score` shows.

A figure of a small test set says little without its interval, and figures that are to be compared
come from the same draws of recordings.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from birdcore.metrics.decisions import Counts, Rates, count_rows, rates, resampled_counts
from birdcore.metrics.metrics import checked, class_auc, class_average_precision, mean_scored, top1
from birdcore.metrics.resampling import (
    Draws,
    draw_groups,
    interval,
    mean_over_classes,
    resampled_ranking,
)

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A score, its interval, and what it is a mean over; NaN where it can't be reckoned."""

    name: str
    value: float
    low: float
    high: float
    over: str


@dataclass(frozen=True)
class Evaluation:
    """Scores of all classes together, and columns (C,) of each one's own."""

    estimates: tuple[Estimate, ...]
    by_class: dict[str, Array] = field(default_factory=dict)


def evaluate_rows(
    truth: ArrayLike,
    scores: ArrayLike,
    groups: ArrayLike,
    *,
    generator: np.random.Generator,
    rounds: int = 1000,
    level: float = 0.95,
    thresholds: ArrayLike | None = None,
    birdset: bool = False,
) -> Evaluation:
    """Score rows: how they are ranked, and what a threshold makes of them.

    Args:
        truth: (N, C), 0 or 1.
        scores: (N, C), finite.
        groups: (N,), each row's recording: recordings are resampled.
        generator: Of the draws.
        rounds: The number of draws.
        level: Of the intervals.
        thresholds: (C,) or one for all, for precision, recall and F1; None leaves these out.
        birdset: Report what BirdSet does, by its names: cmAP, AUROC and top-1 accuracy, over the
            classes that occur in the truth.

    Raises:
        ValueError: No row has a class, or as `class_auc` does.
    """
    hits, values = checked(truth, scores)
    if not hits.any():
        raise ValueError("no class is in any row of the truth: nothing can be scored")
    draws = draw_groups(groups, generator=generator, rounds=rounds)
    auc, precision = class_auc(hits, values), class_average_precision(hits, values)
    auc_draws, precision_draws = resampled_ranking(hits, values, draws)
    by_class = {
        "rows": hits.sum(axis=0).astype(np.float64),
        **_columns("roc_auc", auc, auc_draws, level),
        **_columns("average_precision", precision, precision_draws, level),
    }
    estimates = [
        _macro("AUROC" if birdset else "macro ROC-AUC", auc, auc_draws, level),
        _macro("cmAP", precision, precision_draws, level),
    ]
    if birdset:
        occurs = hits.any(axis=0)
        estimates.reverse()
        estimates.append(_top1(top1(hits[:, occurs], values[:, occurs]), draws, level))
    if thresholds is not None:
        counts = count_rows(hits, values, thresholds, draws.group)
        decided = evaluate_counts(counts, draws.times, level)
        estimates += decided.estimates
        limits = np.broadcast_to(np.asarray(thresholds, np.float64), hits.shape[1])
        by_class |= {"threshold": limits, **decided.by_class}
    return Evaluation(tuple(estimates), by_class)


def evaluate_counts(counts: Counts, times: Array, level: float = 0.95) -> Evaluation:
    """Precision, recall and F1, as means over classes (macro) and of all decisions (micro).

    Args:
        counts: Of each recording and class.
        times: (G, D), how often each recording is in each draw.
        level: Of the intervals.
    """
    drawn = resampled_counts(counts, times)
    one = Counts(*(part.sum(axis=0) for part in (counts.hits, counts.false, counts.missed)))
    own, own_draws = _of_classes(one), _of_classes(drawn)
    of_all, of_draws = _of_all(one), _of_all(drawn)
    named = list(zip(("precision", "recall", "F1"), own, own_draws, strict=True))
    estimates = [_macro(f"{name}, macro", value, found.T, level) for name, value, found in named]
    for (name, _, _), value, found in zip(named, of_all, of_draws, strict=True):
        low, high = interval(found, level)
        estimates.append(Estimate(f"{name}, micro", float(value), low, high, "all classes"))
    by_class = {"true_positives": one.hits, "false_positives": one.false, "missed": one.missed}
    for name, value, found in named:
        by_class |= _columns(name.lower(), value, found.T, level)
    return Evaluation(tuple(estimates), by_class)


def _of_classes(counts: Counts) -> Rates:
    """Of each class; NaN for one that is nowhere, whatever was predicted."""
    there = counts.hits + counts.missed > 0
    found = rates(counts.hits, counts.false, counts.missed)
    return Rates(*(np.where(there, rate, np.nan) for rate in found))


def _of_all(counts: Counts) -> Rates:
    parts = (counts.hits, counts.false, counts.missed)
    return rates(*(part.sum(axis=-1) for part in parts))


def _macro(name: str, by_class: Array, draws: Array, level: float) -> Estimate:
    """The mean over classes (C,) and its interval from their values in draws (C, D)."""
    scored = np.count_nonzero(~np.isnan(by_class))
    value = mean_scored(by_class) if scored else float("nan")
    low, high = interval(mean_over_classes(draws), level)
    return Estimate(name, value, low, high, f"{scored} class{'' if scored == 1 else 'es'}")


def _top1(right: Array, draws: Draws, level: float) -> Estimate:
    called = ~np.isnan(right)
    groups = len(draws.times)
    hits = np.bincount(draws.group[called], right[called], groups) @ draws.times
    rows = np.bincount(draws.group[called], minlength=groups) @ draws.times
    found = np.where(rows > 0, hits / np.maximum(rows, 1), np.nan)
    low, high = interval(found, level)
    count = np.count_nonzero(called)
    return Estimate("top-1", float(right[called].mean()), low, high, f"{count} rows with a class")


def _columns(name: str, by_class: Array, draws: Array, level: float) -> dict[str, Array]:
    ends = np.array([interval(one, level) for one in draws]).reshape(len(draws), 2)
    return {name: by_class, f"{name}_low": ends[:, 0], f"{name}_high": ends[:, 1]}
