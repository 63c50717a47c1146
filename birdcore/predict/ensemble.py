"""Stage `ensemble`: how much each member counts, by what it says of recordings it never saw.

A member is a backbone of a round; its out-of-fold predictions are those of each fold's model on
the recordings held out from it. Publishes `weights.json`.
"""

import json
from collections import defaultdict
from collections.abc import Mapping

import numpy as np
import pandas as pd

from birdcore.artifact import Artifact, Facts, Ref, Step
from birdcore.columns import stacked
from birdcore.files import write_text
from birdcore.model.sed import load_spec
from birdcore.predict.weights import blend, nnls_weights
from birdcore.score import class_auc
from birdcore.store import Job

VERSION = 1


def step(how: str, members: Mapping[str, tuple[Ref, ...]]) -> Step:
    """`members`: the models of each round."""
    return Step("ensemble", VERSION, "ensemble", {"how": how}, dict(members))


def run(job: Job) -> Facts:
    members: dict[str, pd.DataFrame] = {}
    for name in job.step.inputs:
        for backbone, models in _by_backbone(job.inputs(name)).items():
            tables = [pd.read_parquet(model / "held_out.parquet") for model in models]
            members[f"{name}/{backbone}"] = pd.concat(tables).set_index("recording")
    common = sorted(set.intersection(*(set(table.index) for table in members.values())))
    how = job.config["how"]
    weights = np.full(len(members), 1 / len(members))
    aucs: dict[str, float | None] = {}
    if common:
        predictions = np.stack([_column(t, common, "probabilities") for t in members.values()])
        truth = _column(next(iter(members.values())), common, "targets") >= 1
        scored = truth.any(axis=0)
        targets = np.where(scored, truth, np.nan)
        if how == "nnls" and scored.any():
            weights = nnls_weights(predictions, targets)
        blended = blend(predictions, weights, "rank" if how == "rank" else "mean")
        aucs = dict(zip(members, (_auc(truth, p) for p in predictions), strict=True))
        aucs["ensemble"] = _auc(truth, blended)
    shares = dict(zip(members, map(float, weights), strict=True))
    write_text(
        job.folder / "weights.json",
        json.dumps({"how": how, "weights": shares, "held_out_auc": aucs}, indent=1) + "\n",
    )
    return {
        "members": len(members),
        "held_out_recordings": len(common),
        "weights": {name: round(share, 4) for name, share in shares.items()},
        "held_out_auc": {name: auc and round(auc, 4) for name, auc in aucs.items()},
    }


def _by_backbone(models: list[Artifact]) -> dict[str, list[Artifact]]:
    groups: dict[str, list[Artifact]] = defaultdict(list)
    for model in models:
        groups[load_spec(model.folder).backbone].append(model)
    return groups


def _column(table: pd.DataFrame, recordings: list[str], name: str) -> np.ndarray:
    return stacked(table.loc[recordings, name], np.float32)


def _auc(truth: np.ndarray, predictions: np.ndarray) -> float | None:
    by_class = class_auc(truth, predictions)
    return None if np.isnan(by_class).all() else float(np.nanmean(by_class))
