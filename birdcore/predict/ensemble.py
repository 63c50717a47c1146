"""Stage `ensemble`: how much each member counts, by what it says of recordings it never saw.

A member is a backbone of a round; its out-of-fold predictions are those of each fold's model on
the recordings held out from it. Publishes `weights.json`: how members are blended, the weight of
each (a list over `classes`, where each class has its own), and ROC-AUCs on the held-out
recordings of each member, of the plain mean of all, and of the ensemble.

The ensemble's AUC is that of weights fitted on other recordings than it is judged on, a fifth of
them at a time. On those that they are fitted on, many weights look better than few, always.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from birdcore.artifact import Artifact, Facts, Ref, Step
from birdcore.columns import stacked
from birdcore.files import write_text
from birdcore.model.sed import load_spec
from birdcore.predict.told import of_recordings, read_told
from birdcore.predict.weights import Blend, blend, nnls_weights, nnls_weights_by_class, ranks
from birdcore.score import class_auc
from birdcore.store import Job

VERSION = 2
PARTS = 5
HEARD, CATALOG = "[heard]", "[catalog]"
"""Inputs that are no rounds, under names that no round can have."""

Table = NDArray[np.floating]
Truth = NDArray[np.bool_]


def step(
    weights: str,
    members: Mapping[str, tuple[Ref, ...]],
    blend: Blend = "mean",
    power: float = 2.0,
    outside: tuple[str, tuple[Ref, ...], Ref] | None = None,
) -> Step:
    """`weights`, `blend` and `power` as in the recipe; `members`: the models of each round.

    `outside`: the name of an outside teacher that is a member too, what it heard of the
    recordings, and the catalogue.
    """
    config: dict[str, str | float] = {"weights": weights, "blend": blend}
    if blend == "power":
        config["power"] = power
    inputs = dict(members)
    if outside is not None:
        config["teacher"], inputs[HEARD], catalog = outside
        inputs[CATALOG] = (catalog,)
    return Step("ensemble", VERSION, "ensemble", config, inputs)


def run(job: Job) -> Facts:
    how = {key: job.config[key] for key in ("blend", "power") if key in job.config}
    rounds = {name: job.inputs(name) for name in job.step.inputs if name not in (HEARD, CATALOG)}
    members, classes = members_of(rounds)
    common = sorted(set.intersection(*(set(table.index) for table in members.values())))
    if HEARD in job.step.inputs:
        members[f"outside/{job.config['teacher']}"] = _told(job, members, common)
    weights = np.full(len(members), 1 / len(members))
    aucs: dict[str, float | None] = {}
    if common:
        predictions = np.stack([_column(t, common, "probabilities") for t in members.values()])
        truth = _column(next(iter(members.values())), common, "targets") >= 1
        aucs = dict(zip(members, (_auc(truth, p) for p in predictions), strict=True))
        aucs["mean"] = _auc(truth, blend(predictions, weights))
        weights = _fitted(job.config["weights"], predictions, truth)
        aucs["ensemble"] = _auc(truth, _unseen(job, predictions, truth))
    shares = dict(zip(members, weights.tolist(), strict=True))
    of_classes = {"classes": classes} if weights.ndim == 2 else {}
    content = {**how, "weights": shares, **of_classes, "held_out_auc": aucs}
    write_text(job.folder / "weights.json", json.dumps(content, indent=1) + "\n")
    return {
        "members": len(members),
        "held_out_recordings": len(common),
        "weights": {name: round(float(np.mean(share)), 4) for name, share in shares.items()},
        "held_out_auc": {name: auc and round(auc, 4) for name, auc in aucs.items()},
    }


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
        told = read_told(job.inputs(HEARD), job.input(CATALOG), common)
        said = said.assign(probabilities=list(of_recordings(told)))
    return said


def _fitted(how: str, predictions: Table, truth: Truth) -> NDArray[np.float64]:
    """Weights (M,) or (M, C); where there is nothing to fit them on, all members count alike."""
    scored = truth.any(axis=0)
    if how == "mean" or not scored.any():
        return np.full(len(predictions), 1 / len(predictions))
    fit = nnls_weights if how == "nnls" else nnls_weights_by_class
    return fit(predictions, np.where(scored, truth, np.nan))


def _unseen(job: Job, predictions: Table, truth: Truth) -> Table:
    """The ensemble of each part of the recordings, with weights that are fitted on the others."""
    how: Blend = job.config["blend"]
    part = np.arange(len(truth)) % PARTS
    told = np.stack([ranks(member) for member in predictions]) if how == "rank" else predictions
    blended: Table = np.empty_like(predictions[0])
    for at in np.unique(part):
        own = part == at
        weights = _fitted(job.config["weights"], predictions[:, ~own], truth[~own])
        # Ranks are among all recordings, not those of a part, and blend as their mean.
        blended[own] = blend(
            told[:, own], weights, "mean" if how == "rank" else how, job.config.get("power", 1.0)
        )
    return blended


def _column(table: pd.DataFrame, recordings: list[str], name: str) -> np.ndarray:
    return stacked(table.loc[recordings, name], np.float32)


def _auc(truth: Truth, predictions: Table) -> float | None:
    by_class = class_auc(truth, predictions)
    return None if np.isnan(by_class).all() else float(np.nanmean(by_class))
