"""A run's models as its results folder has them, with all that prediction needs beside them."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from birdcore.config import AfterPrediction
from birdcore.config.external_teacher import EXTERNAL_TEACHER
from birdcore.config.probe import PROBE
from birdcore.sources.catalog import read_species
from birdcore.store.artifact import Ref, Step
from birdcore.store.store import Store
from birdcore.text import to_csv
from flows.dag import Dag

if TYPE_CHECKING:
    from birdcore.inference.trained_model import TeacherWindows
    from birdcore.inference.weights import EnsembleWeights


def model_files(dag: Dag, store: Store) -> dict[str, str | Path]:
    """The ensemble's models and all that prediction needs, by their names in `out`.

    Empty where the ensemble is not there. A member that is an external teacher has a weight and no
    model: that is not ours to copy. Probes are there, and need it beside them.
    """
    steps = {step.ref: step for step in dag.steps}
    found = next(dag.made("ensemble", store), None)
    if found is None or not dag.of("report"):
        return {}
    (weighed, ensemble), (reported,) = found, dag.of("report")
    from birdcore.detection.calibration import CALIBRATION_FILE
    from birdcore.detection.probes import PROBE_FILES
    from birdcore.detection.species_list import CLASSES_FILE
    from birdcore.inference.after_prediction import operations_for
    from birdcore.inference.onnx_file import INT8_FILE, ONNX_FILE
    from birdcore.inference.trained_model import (
        ENSEMBLE_FILE,
        FOLDER,
        MODEL_FILES,
        EnsembleSpec,
    )
    from birdcore.inference.weights import EnsembleWeights

    exports = {step.inputs["model"][0]: artifact for step, artifact in dag.made("export", store)}
    files: dict[str, str | Path] = {}
    members: dict[str, tuple[str, ...]] = {}
    probes: dict[str, tuple[str, ...]] = {}
    models = _models(weighed)
    for round_name, refs in models.items():
        for ref in refs:
            config, is_probe = steps[ref].config, ref.stage == "probe"
            member = f"{round_name}/{PROBE if is_probe else config['backbone']}"
            folder = f"{member}/fold-{config['fold']}"
            of_kind, names = (probes, PROBE_FILES) if is_probe else (members, MODEL_FILES)
            of_kind[member] = (*of_kind.get(member, ()), folder)
            artifact = store.get(ref)
            files |= {f"{FOLDER}/{folder}/{name}": artifact / name for name in names}
            if ref in exports:
                files |= {
                    f"{FOLDER}/{folder}/{name}": exports[ref] / name
                    for name in (ONNX_FILE, INT8_FILE)
                    if (exports[ref] / name).is_file()
                }
    weights = EnsembleWeights.read(ensemble.folder)
    species = _species(dag, store)
    after = AfterPrediction.model_validate(reported.config["after_prediction"])
    spec = EnsembleSpec(
        **weights.model_dump(),
        members=members,
        probes=probes,
        teacher=_teacher_of(probes, reported) if probes else EXTERNAL_TEACHER,
        windows=_teacher_windows(dag, weighed) if probes else None,
        predict=reported.config["predict"],
        after_prediction=operations_for(after, species),
    )
    files[f"{FOLDER}/{ENSEMBLE_FILE}"] = spec.model_dump_json(indent=1) + "\n"
    files[f"{FOLDER}/{CLASSES_FILE}"] = _classes(species)
    if calibration := _calibration(weighed, weights, store):
        files[f"{FOLDER}/{CALIBRATION_FILE}"] = calibration
    return files


def _teacher_of(probes: Collection[str], reported: Step) -> str:
    """The name of the external teacher whose embeddings these members read."""
    from birdcore.report.inputs import ReportSettings

    settings = ReportSettings.parse(reported.config)
    heads = (one for one in settings.rounds if f"{one.name}/{PROBE}" in probes)
    return next(heads).embeddings_of or next(iter(settings.teachers))


def _teacher_windows(dag: Dag, weighed: Step) -> TeacherWindows:
    """Where a run lays the windows of its probes' teacher, over soundscapes as over the rest."""
    from birdcore.inference.trained_model import TeacherWindows
    from birdcore.stages import mel

    read = {ref for step in dag.of("probe") if step.ref in weighed.reads for ref in step.reads}
    first = next(step for step in dag.of("external_teacher") if step.ref in read)
    mels = dag.of("mel")
    predicted = {ref for step in dag.of("predict") for ref in step.inputs["mel"]}
    own = [step for step in mels if step.ref in predicted] or mels
    spec = mel.Settings.model_validate(own[0].config).spec
    return TeacherWindows(hop_s=first.config["hop_s"], frame_rate=spec.frame_rate)


def _calibration(weighed: Step, weights: EnsembleWeights, store: Store) -> str | None:
    """What held-out recordings say of the ensemble's confidences, as JSON; None without any."""
    from birdcore.detection.calibration import calibrate
    from birdcore.inference.held_out import read_held_out

    models = _models(weighed).items()
    held_out = read_held_out(
        {name: [store.get(ref).folder for ref in refs] for name, refs in models}
    )
    if held_out is None:
        return None
    confidences = weights.as_probabilities().blended(held_out.members)
    calibration = calibrate(held_out.classes, held_out.truth, confidences)
    return calibration.model_dump_json() + "\n"


def _models(weighed: Step) -> dict[str, tuple[Ref, ...]]:
    """The models of each round that the ensemble weighs; other inputs have brackets."""
    return {name: refs for name, refs in weighed.inputs.items() if not name.startswith("[")}


def _species(dag: Dag, store: Store) -> pd.DataFrame:
    (cataloged,) = dag.of("joined") or dag.of("catalog")
    return read_species(store.get(cataloged.ref))


def _classes(species: pd.DataFrame) -> str:
    """What the classes are called, as CSV: class, scientific_name, common_name."""
    names = species[["label", "scientific_name", "common_name"]]
    return to_csv(names.rename(columns={"label": "class"}))
