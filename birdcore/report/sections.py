"""What each section of the page shows, as variables of its template."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from markupsafe import Markup

from birdcore.config.external_teacher import EXTERNAL_TEACHER
from birdcore.config.round import LABEL_DEFAULTS
from birdcore.config.teaching import ENSEMBLE
from birdcore.inference.held_out import read_held_out
from birdcore.inference.weights import EnsembleWeights
from birdcore.report import charts, run_metadata
from birdcore.report.calibration import (
    LEAST_POSITIVES,
    calibration,
    calibration_error,
    cross_fitted,
)
from birdcore.report.confusion import confused_pairs, confusion, most_confused
from birdcore.report.evaluation import Evaluation, Floats, Truth
from birdcore.report.inputs import ReportInputs, ReportSettings
from birdcore.report.round_summary import RoundSummary, links, round_summaries
from birdcore.store.provenance import format_provenance, provenance_tree

PAIRS = 200
"""Confused pairs that the page lists."""
HEAT = 20
"""Classes of the heat map."""
ROW = 56
"""Pixels of a round in the drawing of initialisation and teaching, as in pages/page.css."""


def rounds_section(inputs: ReportInputs) -> dict[str, Any]:
    """The rounds, each with its score on the test soundscapes where there is truth."""
    scores: dict[str, Any] = {}
    if inputs.score is not None:
        scores = json.loads((inputs.score / "scores.json").read_text())
    rounds = round_summaries(inputs.settings.rounds, inputs.models)
    names = {ENSEMBLE, *(one.name for one in rounds)}
    lowest = [one.low for one in rounds if one.auc is not None]
    axis = charts.axis_around([*lowest, *(one["macro_auc_low"] for one in scores.values())])
    return {
        "ensemble": scores.get(ENSEMBLE),
        "rounds": [
            (one, scores.get(one.name), _interval(axis, one.name, one, scores)) for one in rounds
        ],
        "others": [
            (name, score, _interval(axis, name, None, scores))
            for name, score in scores.items()
            if name not in names
        ],
        "ensemble_interval": _interval(axis, ENSEMBLE, None, scores),
        "ticks": charts.ticks(axis),
        "curves": [charts.sparkline(one.losses) for one in rounds],
        "weights": _weights(inputs),
        "external_members": [n for n in inputs.settings.members if n not in inputs.models],
        "models": sum(map(len, inputs.models.values())),
    }


def _weights(inputs: ReportInputs) -> Any:
    return json.loads((inputs.ensemble / "weights.json").read_text())


def _interval(
    axis: charts.Axis, name: str, one: RoundSummary | None, scores: Mapping[str, Any]
) -> Markup:
    """The score and interval of a round, the ensemble or an external teacher.

    With truth: the test score and its interval, and a hollow dot for the round's validation.
    Without: the validation and its range.
    """
    validation = None if one is None else one.auc
    if name in scores:
        low, high = scores[name]["macro_auc_low"], scores[name]["macro_auc_high"]
        return charts.interval(axis, scores[name]["macro_auc"], low, high, validation)
    if one is None or scores:
        return charts.interval(axis, None, 0.0, 0.0, validation)
    return charts.interval(axis, one.auc, one.low, one.high)


def species_section(inputs: ReportInputs, evaluation: Evaluation | None) -> dict[str, Any]:
    """All classes with their results, and how many of them are scored."""
    species = run_metadata.species_of(inputs.catalogs[0], evaluation)
    macro_auc, scored = None, 0
    if evaluation is not None:
        aucs = evaluation.auc[~np.isnan(evaluation.auc)]
        scored = len(aucs)
        macro_auc = float(aucs.mean()) if scored else None
        if not evaluation.on_soundscapes:  # cross-fitted: weights fitted on other recordings
            macro_auc = _weights(inputs)["held_out_auc"]["ensemble"]
    return {
        "evaluation": evaluation,
        "species": species,
        "species_named": {one.label: one for one in species},
        "macro_auc": macro_auc,
        "scored": scored,
        "mapped": _mapped(inputs.settings.teachers),
    }


def _mapped(teachers: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, Mapping[str, str]]]:
    """For each external teacher that hears species otherwise than by their names: what it is called
    on the page, and its classes by species."""
    return [
        (f"the external teacher {'' if name == EXTERNAL_TEACHER else name}".strip(), t["mapped"])
        for name, t in teachers.items()
        if "mapped" in t
    ]


def quality_section(evaluation: Evaluation | None) -> dict[str, Any]:
    """Confusion; empty where nothing is evaluated."""
    if evaluation is None:
        return {}
    confused = confusion(evaluation.truth, evaluation.probabilities)
    pairs = confused_pairs(confused, PAIRS)
    worst = most_confused(pairs, HEAT)
    table = confused.mean[np.ix_(worst, worst)]
    classes = evaluation.classes
    return {
        "pairs": [(classes[p.true], classes[p.taken_for], p) for p in pairs],
        "heat_map": lambda names: charts.heat_map(
            table, [classes[k] for k in worst], [names[classes[k]].name for k in worst]
        ),
        "darkest": float(np.nanmax(table, initial=0)),
    }


def calibration_section(inputs: ReportInputs, evaluation: Evaluation | None) -> dict[str, Any]:
    """Reliability on the test soundscapes, and on held-out recordings before and after calibration.

    The curves are those of `calibration.json`, each fitted on other recordings than it is shown on.
    """
    section: dict[str, Any] = dict.fromkeys(("on_soundscapes", "before", "after"))
    if evaluation is not None and evaluation.on_soundscapes:
        section["on_soundscapes"] = _reliability(evaluation.truth, evaluation.probabilities)
    members = [name for name in inputs.settings.members if name in inputs.models]
    held_out = read_held_out(
        {name: [model.folder for model in inputs.models[name]] for name in members}
    )
    if held_out is None:
        return section
    truth, weights = held_out.truth, EnsembleWeights.read(inputs.ensemble.folder)
    confidences = np.asarray(weights.as_probabilities().blended(held_out.members), np.float64)
    section |= {
        "held_out": len(truth),
        "positives": int(truth.sum()),
        "least_positives": LEAST_POSITIVES,
        "by_folds": len(np.unique(held_out.folds)) > 1,
        "before": _reliability(truth, confidences),
    }
    if (calibrated := cross_fitted(truth, confidences, held_out.parts)) is not None:
        section["after"] = _reliability(truth, calibrated)
    return section


def _reliability(truth: Truth, probabilities: Floats) -> dict[str, Any]:
    bins = calibration(truth, probabilities)
    error = calibration_error(truth, probabilities)
    return {"bins": bins, "error": error, "drawn": charts.reliability(bins)}


def data_section(inputs: ReportInputs) -> dict[str, Any]:
    """Recordings, rejections, licences, provenance."""
    catalog, *collections = inputs.catalogs
    models = [model for of_round in inputs.models.values() for model in of_round]
    scores = [] if inputs.score is None else [inputs.score]
    ends = [inputs.submission, *models, *scores]
    return {
        "catalog": catalog.metrics,
        "collections": [one.metrics for one in collections],
        "sources": run_metadata.cleaning_counts(inputs.cleaned),
        "rejected": run_metadata.found_in_cleaning(inputs.cleaned, "rejected", "reason"),
        "rejected_shown": run_metadata.REJECTED,
        "problems": run_metadata.table_problems(catalog),
        "with_problems": run_metadata.found_in_cleaning(inputs.cleaned, "problems", "problem"),
        "licences": run_metadata.licences(models),
        "stages": run_metadata.artifacts_below(inputs.store, [one.ref for one in ends]),
        "lineage": format_provenance(
            provenance_tree(inputs.store, inputs.submission.ref, inputs.stages, LABEL_DEFAULTS)
        ),
    }


def settings_section(settings: ReportSettings) -> dict[str, Any]:
    """The recipe's tables, its rounds side by side, and how they build on each other."""
    rounds = [one.model_dump(mode="json", exclude={"name"}) for one in settings.rounds]
    return {
        "seed": settings.seed,
        "mel": settings.mel,
        "settings": {name: list(run_metadata.flat(t)) for name, t in settings.tables.items()},
        "round_settings": run_metadata.side_by_side(rounds),
        "round_names": [one.name for one in settings.rounds],
        "teaching": charts.arcs(links(settings.rounds), len(rounds), ROW),
    }
