"""Which of several ensembles is taken: the simplest, unless another one surely holds out better.

Weights that are fitted on few recordings follow their noise, and a plain mean is hard to beat. So
each candidate is judged on recordings that it was not fitted on, and one takes the place of the
first only where its gain is more than `ERRORS` of its standard errors, and where there are enough
positives to fit on (ten for each number that is fitted; Peduzzi et al. 1996).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from birdcore.metrics import class_auc

ERRORS = 2.0
POSITIVES_PER_MEMBER = 10
DRAWS = 100


@dataclass(frozen=True)
class Evaluation:
    """A candidate's macro ROC-AUC and, of all but the first one, its gain over that one with the
    gain's standard error; None where no class can be scored."""

    auc: float | None
    gain: float | None = None
    standard_error: float | None = None

    @property
    def significantly_better(self) -> bool:
        if self.gain is None or self.standard_error is None:
            return False
        return self.gain > ERRORS * self.standard_error


def evaluate(
    truth: NDArray[np.bool_], candidates: Mapping[str, NDArray[np.floating]]
) -> dict[str, Evaluation]:
    """`truth` (N, C), and what each candidate says of the same rows, the simplest first.

    Gains are paired: both are scored on the same recordings, drawn with replacement.
    """
    auc = {name: _mean(class_auc(truth, table)) for name, table in candidates.items()}
    first, *others = candidates
    judged = {first: Evaluation(_number(auc[first]))}
    if others:
        rng, rows = np.random.default_rng(0), len(truth)
        drawn = rng.multinomial(rows, np.full(rows, 1 / rows), size=DRAWS)
        beaten = resampled_auc(truth, candidates[first], drawn)
    for name in others:
        gains = resampled_auc(truth, candidates[name], drawn) - beaten
        error = _mean((gains - _mean(gains)) ** 2) ** 0.5
        judged[name] = Evaluation(*map(_number, (auc[name], auc[name] - auc[first], error)))
    return judged


def choose_candidate(judged: Mapping[str, Evaluation], positives: int, members: int) -> str:
    """The name of the first candidate, or of the best of those that are surely better than it."""
    first, *others = judged
    if positives < POSITIVES_PER_MEMBER * members:
        return first
    better = [name for name in others if judged[name].significantly_better]
    return max(better, key=lambda name: judged[name].auc or 0.0, default=first)


def resampled_auc(
    truth: NDArray[np.bool_], scores: NDArray[np.floating], times: NDArray[np.integer]
) -> NDArray[np.float64]:
    """Macro ROC-AUC (R,) of R draws, in which row n is there `times` (R, N) times.

    NaN where a draw has no class that can be scored.
    """
    total, scored = np.zeros((2, len(times)))
    often = np.ascontiguousarray(times.T, dtype=np.int32)  # rows are gathered, one after the other
    for hit, column in zip(truth.T, scores.T, strict=True):
        others = np.flatnonzero(~hit)[np.argsort(column[~hit])]
        below = np.zeros((len(others) + 1, len(times)), np.int32)
        np.cumsum(often[others], axis=0, out=below[1:])
        # Negatives below each positive, and half of those that tie with it.
        places = [column[others].searchsorted(column[hit], side) for side in ("left", "right")]
        won = (often[hit] * (below[places[0]] + below[places[1]])).sum(axis=0, dtype=np.int64)
        pairs = often[hit].sum(axis=0, dtype=np.int64) * below[-1]
        total += won / np.maximum(2 * pairs, 1)
        scored += pairs > 0
    return np.where(scored > 0, total / np.maximum(scored, 1), np.nan)


def _number(value: float) -> float | None:
    return None if np.isnan(value) else value


def _mean(values: NDArray[np.float64]) -> float:
    """Of those that are there; NaN where none is."""
    there = values[~np.isnan(values)]
    return float(there.mean()) if there.size else float("nan")
