"""Stage `ensemble`: how much each member counts, by what it says of recordings it never saw.

A member is a backbone of a round; its out-of-fold predictions are those of each fold's model on
the recordings held out from it. Publishes `weights.json`: how members are blended, the weight of
each (a list over `classes`, where each class has its own), and ROC-AUCs on the held-out
recordings of each member, of the plain mean of all, and of the ensemble.

The ensemble's AUC is that of weights fitted on other recordings than it is judged on, a fifth of
them at a time. On those that they are fitted on, many weights look better than few, always. So
are candidates judged among which weights = "auto" chooses (choice.py); `compared` has the figures.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from birdcore.config import Ensemble, defaults_of
from birdcore.features.columns import stacked
from birdcore.inference.ensemble_choice import Evaluation, choose_candidate, evaluate
from birdcore.inference.teacher_predictions import read_teacher_predictions, recording_probabilities
from birdcore.inference.weights import Blend, blend, nnls_weights, nnls_weights_by_class, ranks
from birdcore.metrics import class_auc
from birdcore.models.sed import load_spec
from birdcore.store.artifact import Artifact, Metrics, Ref, Step
from birdcore.store.files import write_text
from birdcore.store.store import Job

VERSION = 3
PARTS = 5
HEARD, CATALOG = "[heard]", "[catalog]"
"""Inputs that are no rounds, under names that no round can have."""

Table = NDArray[np.floating]
Truth = NDArray[np.bool_]


class Way(NamedTuple):
    """A way to an ensemble: how weights come about, and how members are blended by them."""

    weights: str
    blend: Blend

    @property
    def name(self) -> str:
        """Such as mean, rank mean, nnls."""
        return self.weights if self.blend == "mean" else f"{self.blend} {self.weights}"


def step(
    settings: Ensemble,
    members: Mapping[str, tuple[Ref, ...]],
    outside: tuple[str, tuple[Ref, ...], Ref] | None = None,
) -> Step:
    """`members`: the models of each round.

    `outside`: the name of an outside teacher that is a member too, what it heard of the
    recordings, and the catalogue.
    """
    config = settings.model_dump(include={"weights", "blend"})
    if settings.blend == "power":
        config["power"] = settings.power
    inputs = dict(members)
    if outside is not None:
        config["teacher"], inputs[HEARD], catalog = outside
        inputs[CATALOG] = (catalog,)
    return Step("ensemble", VERSION, "ensemble", config, inputs, defaults=defaults_of(settings))


def run(job: Job) -> Metrics:
    rounds = {name: job.inputs(name) for name in job.step.inputs if name not in (HEARD, CATALOG)}
    members, classes = members_of(rounds)
    common = sorted(set.intersection(*(set(table.index) for table in members.values())))
    if HEARD in job.step.inputs:
        members[f"external_teacher/{job.config['teacher']}"] = _told(job, members, common)
    power = job.config.get("power", 1.0)
    ways = _ways(job.config, len(members))
    chosen, compared = ways[0], dict[str, Evaluation]()
    weights = np.full(len(members), 1 / len(members))
    aucs: dict[str, float | None] = {}
    if common:
        predictions = np.stack([_column(t, common, "probabilities") for t in members.values()])
        truth = _column(next(iter(members.values())), common, "targets") >= 1
        aucs = dict(zip(members, (_auc(truth, p) for p in predictions), strict=True))
        aucs["mean"] = _auc(truth, blend(predictions, weights))
        compared = evaluate(truth, {w.name: _unseen(w, power, predictions, truth) for w in ways})
        name = choose_candidate(compared, int(truth.sum()), len(members))
        chosen = next(way for way in ways if way.name == name)
        weights = _fitted(chosen.weights, predictions, truth)
        aucs["ensemble"] = compared[name].auc
    shares = dict(zip(members, weights.tolist(), strict=True))
    how: dict[str, Any] = {"chosen": chosen.name, "blend": chosen.blend}
    how |= {"power": power} if chosen.blend == "power" else {}
    how["compared"] = {name: asdict(one) for name, one in compared.items()}
    of_classes = {"classes": classes} if weights.ndim == 2 else {}
    content = {**how, "weights": shares, **of_classes, "held_out_auc": aucs}
    write_text(job.folder / "weights.json", json.dumps(content, indent=1) + "\n")
    return {
        "members": len(members),
        "held_out_recordings": len(common),
        "chosen": chosen.name,
        "compared": {
            name: {key: x and round(x, 4) for key, x in asdict(one).items()}
            for name, one in compared.items()
        },
        "weights": {name: round(float(np.mean(share)), 4) for name, share in shares.items()},
        "held_out_auc": {name: auc and round(auc, 4) for name, auc in aucs.items()},
    }


def _ways(config: Mapping[str, Any], members: int) -> list[Way]:
    """The candidates, the simplest first; of one member there is one ensemble."""
    blends: list[Blend] = [config["blend"] or "mean"]
    if config["weights"] != "auto":
        return [Way(config["weights"], blends[0])]
    if members == 1:
        return [Way("mean", blends[0])]
    if config["blend"] is None:
        blends.append("rank")
    return [*(Way("mean", one) for one in blends), Way("nnls", blends[0])]


def members_of(
    rounds: Mapping[str, Sequence[Artifact]],
) -> tuple[dict[str, pd.DataFrame], tuple[str, ...]]:
    """What each member says of its held-out recordings, and the classes that it speaks of.

    `rounds`: the models of each. A table has a row for each recording, by whose name it is
    indexed, with arrays `targets` and `probabilities` (C,).
    """
    members: dict[str, pd.DataFrame] = {}
    classes: set[tuple[str, ...]] = set()
    for name, of_round in rounds.items():
        groups: dict[str, list[Artifact]] = defaultdict(list)
        for model in of_round:
            spec = load_spec(model.folder)
            groups[spec.backbone].append(model)
            classes.add(spec.classes)
        for backbone, models in groups.items():
            tables = [pd.read_parquet(model / "held_out.parquet") for model in models]
            members[f"{name}/{backbone}"] = pd.concat(tables).set_index("recording")
    (of_all,) = classes
    return members, of_all


def _told(job: Job, members: Mapping[str, pd.DataFrame], common: list[str]) -> pd.DataFrame:
    """What the outside teacher, which held out nothing of ours, says of the recordings."""
    said = next(iter(members.values())).loc[common]
    if common:
        told = read_teacher_predictions(job.inputs(HEARD), job.input(CATALOG), common)
        said = said.assign(probabilities=list(recording_probabilities(told)))
    return said


def _fitted(how: str, predictions: Table, truth: Truth) -> NDArray[np.float64]:
    """Weights (M,) or (M, C); where there is nothing to fit them on, all members count alike."""
    scored = truth.any(axis=0)
    if how == "mean" or not scored.any():
        return np.full(len(predictions), 1 / len(predictions))
    fit = nnls_weights if how == "nnls" else nnls_weights_by_class
    return fit(predictions, np.where(scored, truth, np.nan))


def _unseen(way: Way, power: float, predictions: Table, truth: Truth) -> Table:
    """The ensemble of each part of the recordings, with weights that are fitted on the others."""
    if way.weights == "mean":
        return blend(predictions, np.ones(len(predictions)), way.blend, power)
    how = way.blend
    part = np.arange(len(truth)) % PARTS
    told = np.stack([ranks(member) for member in predictions]) if how == "rank" else predictions
    blended: Table = np.empty_like(predictions[0])
    for at in np.unique(part):
        own = part == at
        weights = _fitted(way.weights, predictions[:, ~own], truth[~own])
        # Ranks are among all recordings, not those of a part, and blend as their mean.
        blended[own] = blend(told[:, own], weights, "mean" if how == "rank" else how, power)
    return blended


def _column(table: pd.DataFrame, recordings: list[str], name: str) -> np.ndarray:
    return stacked(table.loc[recordings, name], np.float32)


def _auc(truth: Truth, predictions: Table) -> float | None:
    by_class = class_auc(truth, predictions)
    return None if np.isnan(by_class).all() else float(np.nanmean(by_class))
