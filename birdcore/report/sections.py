"""What each section of the page says, as names for its template."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from markupsafe import Markup

from birdcore.config.validation import EXTERNAL_TEACHER
from birdcore.report import charts
from birdcore.report import run_metadata as material
from birdcore.report.calibration import calibration, expected_error
from birdcore.report.confusion import confused_pairs, confusion, most_confused
from birdcore.report.evaluation import Judged
from birdcore.report.round_summary import Rung, links, rungs
from birdcore.stages.score import ENSEMBLE
from birdcore.store.artifact import Artifact
from birdcore.store.provenance import format_provenance, provenance_tree
from birdcore.store.store import Job

PAIRS = 200
"""Confused pairs that the page names."""
HEAT = 20
"""Classes of the heat map."""
ROW = 56
"""Pixels of a round in the drawing of what teaches what, as in page.css."""

Rounds = Mapping[str, list[Artifact]]


def ladder(job: Job, rounds: Rounds) -> dict[str, Any]:
    """The rounds, each with its score on the test soundscapes where there is truth."""
    scores = {}
    for artifact in job.inputs("score"):
        scores = json.loads((artifact / "scores.json").read_text())
    climbed = rungs(job.config["round"], rounds)
    lowest = [one.low for one in climbed if one.auc is not None]
    axis = charts.axis_around([*lowest, *(one["macro_auc_low"] for one in scores.values())])
    return {
        "ensemble": scores.get(ENSEMBLE),
        "rungs": [
            (one, scores.get(one.name), _interval(axis, one.name, one, scores)) for one in climbed
        ],
        "others": [
            (name, score, _interval(axis, name, None, scores))
            for name, score in scores.items()
            if name not in {ENSEMBLE, *(one.name for one in climbed)}
        ],
        "interval_of_all": _interval(axis, ENSEMBLE, None, scores),
        "ticks": charts.ticks(axis),
        "curves": [charts.sparkline(one.losses) for one in climbed],
        "weights": _weights(job),
        "with_outside": EXTERNAL_TEACHER in job.config["ensemble"]["members"],
        "models": sum(map(len, rounds.values())),
    }


def _weights(job: Job) -> Any:
    return json.loads((job.input("weights") / "weights.json").read_text())


def _interval(axis: charts.Axis, name: str, one: Rung | None, scores: Mapping[str, Any]) -> Markup:
    """What the ladder's axis shows of a round, the ensemble or an outside teacher.

    Where there is truth, its score and interval there, and a hollow dot for the round's
    validation; else validation and its range.
    """
    validation = None if one is None else one.auc
    if name in scores:
        low, high = scores[name]["macro_auc_low"], scores[name]["macro_auc_high"]
        return charts.interval(axis, scores[name]["macro_auc"], low, high, validation)
    if one is None or scores:
        return charts.interval(axis, None, 0.0, 0.0, validation)
    return charts.interval(axis, one.auc, one.low, one.high)


def species(job: Job, judged: Judged | None) -> dict[str, Any]:
    """All classes; what the other sections call them; and how many of them are scored."""
    found = material.species_of(job.inputs("catalogs")[0], judged)
    macro_auc, scored = None, 0
    if judged is not None:
        scores = judged.auc[~np.isnan(judged.auc)]
        scored = len(scores)
        macro_auc = float(scores.mean()) if scored else None
        if not judged.on_soundscapes:  # of weights that are fitted on other recordings
            macro_auc = _weights(job)["held_out_auc"]["ensemble"]
    return {
        "judged": judged,
        "species": found,
        "species_named": {one.label: one for one in found},
        "macro_auc": macro_auc,
        "scored": scored,
    }


def quality(judged: Judged | None) -> dict[str, Any]:
    """Calibration, and which species are taken for which; nothing where nothing is judged."""
    if judged is None:
        return {}
    bins = calibration(judged.truth, judged.probabilities)
    confused = confusion(judged.truth, judged.probabilities)
    pairs = confused_pairs(confused, PAIRS)
    worst = most_confused(pairs, HEAT)
    table = confused.mean[np.ix_(worst, worst)]
    return {
        "bins": bins,
        "expected_error": expected_error(bins),
        "reliability": charts.reliability(bins),
        "pairs": [(judged.classes[p.true], judged.classes[p.taken_for], p) for p in pairs],
        "heat_map": lambda names: charts.heat_map(
            table,
            [judged.classes[at] for at in worst],
            [names[judged.classes[at]].name for at in worst],
        ),
        "darkest": float(np.nanmax(table, initial=0)),
    }


def origins(job: Job, rounds: Rounds, cleaned: Mapping[str, list[Artifact]]) -> dict[str, Any]:
    """Recordings, what was rejected, licences, lineage."""
    catalog, *collections = job.inputs("catalogs")
    models = [model for of_round in rounds.values() for model in of_round]
    submission = job.input("submission")
    ends = [submission, *models, *job.inputs("score")]
    return {
        "catalog": catalog.metrics,
        "collections": [one.metrics for one in collections],
        "sources": material.heard(cleaned),
        "rejected": material.rejected(cleaned),
        "rejected_shown": material.REJECTED,
        "problems": material.problems(catalog),
        "with_problems": material.used_with_problems(cleaned),
        "licences": material.licences(models),
        "stages": material.artifacts_below(job.store, [one.ref for one in ends]),
        "lineage": format_provenance(provenance_tree(job.store, submission.ref)),
    }


def settings(job: Job) -> dict[str, Any]:
    """The recipe's tables, its rounds side by side, and who teaches whom among them."""
    rounds = job.config["round"]
    alone = ("seed", "round")
    tables = {name: table for name, table in job.config.items() if name not in alone}
    return {
        "seed": job.config["seed"],
        "mel": job.config["mel"],
        "settings": {name: list(material.flat(table)) for name, table in tables.items()},
        "round_settings": material.side_by_side(list(rounds.values())),
        "round_names": list(rounds),
        "teaching": charts.arcs(links(rounds), len(rounds), ROW),
    }
