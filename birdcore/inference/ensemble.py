"""Which ensemble of the members is used, and how it does on recordings that no member has seen.

Weights that are fitted on few recordings follow their noise, and a plain mean is hard to beat. So
each candidate is evaluated on recordings that it was not fitted on, a fifth at a time, and takes
the place of the simplest one only where its gain is more than `ERRORS` of its standard errors, and
where there are enough positives to fit on (ten for each fitted number; Peduzzi et al. 1996).
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from birdcore.config import Ensemble
from birdcore.config.probe import PROBE
from birdcore.inference.spans import aligned_names
from birdcore.inference.weights import Blend, blend, nnls_weights, nnls_weights_by_class, ranks
from birdcore.metrics import class_auc
from birdcore.models.probe import SPEC_FILE as PROBE_FILE
from birdcore.models.probe import load_probe_spec
from birdcore.models.sed import load_spec

PARTS = 5
ERRORS = 2.0
POSITIVES_PER_MEMBER = 10
DRAWS = 100

Table = NDArray[np.floating]
Truth = NDArray[np.bool_]


class Candidate(NamedTuple):
    """An ensemble to evaluate: how weights are fitted, and how members are blended by them."""

    weights: str
    blend: Blend

    @property
    def name(self) -> str:
        """Such as mean, rank mean, nnls."""
        return self.weights if self.blend == "mean" else f"{self.blend} {self.weights}"


@dataclass(frozen=True)
class Evaluation:
    """How a candidate does on recordings that it was not fitted on.

    Attributes:
        auc: Macro ROC-AUC; None where no class can be scored.
        gain: By how much that is above the first candidate's; None of the first itself.
        standard_error: Of the gain.
    """

    auc: float | None
    gain: float | None = None
    standard_error: float | None = None

    @property
    def significantly_better(self) -> bool:
        if self.gain is None or self.standard_error is None:
            return False
        return self.gain > ERRORS * self.standard_error


def evaluate(
    truth: NDArray[np.bool_],
    candidates: Mapping[str, NDArray[np.floating]],
    groups: NDArray[np.intp] | None = None,
) -> dict[str, Evaluation]:
    """Evaluate candidates on the same recordings; gains are paired, over bootstrap samples.

    Args:
        truth: (N, C), which classes are in which recording.
        candidates: Predictions (N, C) by each candidate, the simplest first.
        groups: Which rows are drawn together (N,), numbered from 0: windows of one recording are
            alike. Each by itself, if None.
    """
    auc = {name: _mean(class_auc(truth, table)) for name, table in candidates.items()}
    first, *others = candidates
    evaluations = {first: Evaluation(_number(auc[first]))}
    if others:
        rng = np.random.default_rng(0)
        groups = np.arange(len(truth)) if groups is None else groups
        count = len(np.unique(groups))
        drawn = rng.multinomial(count, np.full(count, 1 / count), size=DRAWS)[:, groups]
        first_auc = resampled_auc(truth, candidates[first], drawn)
    for name in others:
        gains = resampled_auc(truth, candidates[name], drawn) - first_auc
        error = _mean((gains - _mean(gains)) ** 2) ** 0.5
        evaluations[name] = Evaluation(*map(_number, (auc[name], auc[name] - auc[first], error)))
    return evaluations


def choose_candidate(evaluations: Mapping[str, Evaluation], positives: int, members: int) -> str:
    """The name of the first candidate, or of the best of those significantly better than it."""
    first, *others = evaluations
    if positives < POSITIVES_PER_MEMBER * members:
        return first
    better = [name for name in others if evaluations[name].significantly_better]
    return max(better, key=lambda name: evaluations[name].auc or 0.0, default=first)


@dataclass(frozen=True)
class FittedEnsemble:
    """The candidate that is used and its weights.

    Attributes:
        candidate: How weights are fitted and members blended.
        weights: (M,), or (M, C) where each class has its own.
        evaluations: Of each candidate, by name; empty where no recording was held out.
        aucs: Macro ROC-AUC of each member, of the plain mean and of the ensemble.
    """

    candidate: Candidate
    weights: NDArray[np.float64]
    evaluations: Mapping[str, Evaluation]
    aucs: Mapping[str, float | None]


def candidates(settings: Ensemble, members: int) -> list[Candidate]:
    """The ensembles to choose from, the simplest first; one member makes one ensemble."""
    blends: list[Blend] = [settings.blend or "mean"]
    if settings.weights != "auto":
        return [Candidate(settings.weights, blends[0])]
    if members == 1:
        return [Candidate("mean", blends[0])]
    if settings.blend is None:
        blends.append("rank")
    return [*(Candidate("mean", how) for how in blends), Candidate("nnls", blends[0])]


def fit_ensemble(
    members: Mapping[str, Table],
    truth: Truth,
    settings: Ensemble,
    groups: NDArray[np.intp] | None = None,
    fixed: NDArray[np.float64] | None = None,
) -> FittedEnsemble:
    """Fit, evaluate and choose among the ensembles that the settings allow.

    Args:
        members: Out-of-fold predictions (N, C) of each member for the same N recordings, which may
            be none.
        truth: (N, C), which classes are in which recording.
        settings: `weights`, `blend` and `power` of a recipe's [ensemble].
        groups: Which rows are of one recording (N,), numbered from 0; each of its own, if None.
        fixed: Weights (M, C) that are not fitted; NaN for classes whose weights are.
    """
    groups = np.arange(len(truth)) if groups is None else groups
    choices = candidates(settings, len(members))
    weights = np.full(len(members), 1 / len(members))
    if not len(truth):
        return FittedEnsemble(choices[0], _with_fixed(weights, fixed), {}, {})
    predictions = np.stack(list(members.values()))
    aucs = {name: _macro_auc(truth, table) for name, table in members.items()}
    aucs["mean"] = _macro_auc(truth, blend(predictions, weights))
    cross_fitted = {
        choice.name: _cross_fitted(
            choice, settings.power, predictions, truth, groups % PARTS, fixed
        )
        for choice in choices
    }
    evaluations = evaluate(truth, cross_fitted, groups)
    name = choose_candidate(evaluations, int(truth.sum()), len(members))
    aucs["ensemble"] = evaluations[name].auc
    candidate = next(choice for choice in choices if choice.name == name)
    weights = _with_fixed(_fit_weights(candidate.weights, predictions, truth), fixed)
    return FittedEnsemble(candidate, weights, evaluations, aucs)


def read_members(
    rounds: Mapping[str, Sequence[Path]],
) -> tuple[dict[str, pd.DataFrame], tuple[str, ...]]:
    """Out-of-fold predictions of each member, and the classes that they are of.

    A member is a backbone of a round, or its probe: each of its models predicts what was held out
    from it.

    Args:
        rounds: The folders of the models of each round.

    Returns:
        A table for each member, "ROUND/BACKBONE", with arrays `targets` and `probabilities` (C,)
        and the number of the `model`, indexed by recording (`aligned_names`); and the classes (C,).
        Windows of which a class is unknown are left out.
    """
    members: dict[str, pd.DataFrame] = {}
    classes: set[tuple[str, ...]] = set()
    for name, models in rounds.items():
        tables: dict[str, list[pd.DataFrame]] = defaultdict(list)
        for model in models:
            backbone, of_model = member_of(model)
            parts = tables[backbone]
            table = pd.read_parquet(model / "held_out.parquet").assign(model=len(parts))
            table["recording"] = aligned_names(table["recording"].to_list())
            unknown = [bool(np.isnan(targets).any()) for targets in table["targets"]]
            parts.append(table[~np.array(unknown, bool)])
            classes.add(of_model)
        for backbone, parts in tables.items():
            members[f"{name}/{backbone}"] = pd.concat(parts).set_index("recording")
    (all_classes,) = classes
    return members, all_classes


def member_of(model: Path) -> tuple[str, tuple[str, ...]]:
    """What a folder's model is called in its round, and its classes."""
    if (model / PROBE_FILE).is_file():
        return PROBE, load_probe_spec(model).classes
    spec = load_spec(model)
    return spec.backbone, spec.classes


def resampled_auc(
    truth: NDArray[np.bool_], scores: NDArray[np.floating], times: NDArray[np.integer]
) -> NDArray[np.float64]:
    """Macro ROC-AUC (R,) of R bootstrap samples, in which row n occurs `times` (R, N) times.

    NaN where a sample has no class that can be scored.
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


def _fit_weights(how: str, predictions: Table, truth: Truth) -> NDArray[np.float64]:
    """Weights (M,) or (M, C); equal where there is nothing to fit them on."""
    scored = truth.any(axis=0)
    if how == "mean" or not scored.any():
        return np.full(len(predictions), 1 / len(predictions))
    fit = nnls_weights if how == "nnls" else nnls_weights_by_class
    return fit(predictions, np.where(scored, truth, np.nan))


def _with_fixed(
    weights: NDArray[np.float64], fixed: NDArray[np.float64] | None
) -> NDArray[np.float64]:
    """Weights (M,) or (M, C), in which those that are not fitted go before."""
    if fixed is None:
        return weights
    fitted = weights[:, None] if weights.ndim == 1 else weights
    return np.where(np.isnan(fixed), fitted, fixed)


def _cross_fitted(
    candidate: Candidate,
    power: float,
    predictions: Table,
    truth: Truth,
    part: NDArray[np.intp],
    fixed: NDArray[np.float64] | None,
) -> Table:
    """Predictions for each part of the recordings (N,), with weights fitted on the other parts."""
    how = candidate.blend
    if candidate.weights == "mean":
        return blend(predictions, _with_fixed(np.ones(len(predictions)), fixed), how, power)
    inputs = np.stack([ranks(member) for member in predictions]) if how == "rank" else predictions
    blended: Table = np.empty_like(predictions[0])
    for number in np.unique(part):
        held_out = part == number
        weights = _fit_weights(candidate.weights, predictions[:, ~held_out], truth[~held_out])
        weights = _with_fixed(weights, fixed)
        # Ranks are among all recordings, not those of a part, and blend as their mean.
        mean = "mean" if how == "rank" else how
        blended[held_out] = blend(inputs[:, held_out], weights, mean, power)
    return blended


def _macro_auc(truth: Truth, predictions: Table) -> float | None:
    return _number(_mean(class_auc(truth, predictions)))


def _number(value: float) -> float | None:
    return None if np.isnan(value) else value


def _mean(values: NDArray[np.float64]) -> float:
    """The mean without NaN; NaN where there is nothing else."""
    there = values[~np.isnan(values)]
    return float(there.mean()) if there.size else float("nan")
