"""A bundle: the ensemble of a run as a folder that predicts without birdflow and torch.

    BUNDLE/predict.py        the script; it needs NumPy, soundfile, OpenVINO or ONNX Runtime
    BUNDLE/config.json       see bundle_config.py
    BUNDLE/front_end.npz     arrays that the script would otherwise have to compute as torch does
    BUNDLE/MODEL_CARD.md, ATTRIBUTION.csv
    BUNDLE/single.onnx      where it is asked for
    BUNDLE/model/ensemble.json, classes.csv, calibration.json
    BUNDLE/model/ROUND/BACKBONE/fold-N/    model.onnx, model.xml, model.bin, model.json, input.json
    BUNDLE/model/ROUND/probe/fold-N/, teacher/    heads and their teacher, see teacher_files.py

`model/` is laid out like that of a run, so `birdcore.load_model` reads a bundle too. The bundle
gets its name when it is complete and each of its models agrees with torch.
"""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from birdcore import __version__
from birdcore.detection.calibration import CALIBRATION_FILE, read_calibration
from birdcore.detection.species_list import CLASSES_FILE
from birdcore.export.bundle_config import ARRAYS_FILE, CONFIG_FILE, SCRIPT_FILE, BundleConfig
from birdcore.export.front_end import (
    front_end_arrays,
    front_end_settings,
    parts_of,
    resampler_response,
)
from birdcore.export.licences import ATTRIBUTION_FILE, check_licences
from birdcore.export.model_files import export_model
from birdcore.export.script import predict_script
from birdcore.export.single_onnx import SINGLE_FILE, read_members, write_single_onnx
from birdcore.export.teacher_files import Heads, add_to_card, read_heads, write_heads
from birdcore.inference.trained_model import ENSEMBLE_FILE, FOLDER, EnsembleSpec, read_ensemble
from birdcore.models.input import InputSpec, load_input
from birdcore.models.sed import WEIGHTS_FILE, load_spec

CARD_FILE = "MODEL_CARD.md"


def write_bundle(
    run: Path,
    target: Path,
    *,
    accept_licences: bool = False,
    single_onnx: bool = False,
    teacher: str | None = None,
    without_teacher: bool = False,
    progress: Callable[[str], None] = lambda model: None,
) -> BundleConfig:
    """Write the ensemble of a run as a bundle.

    Args:
        run: A run's results folder (`--out`).
        target: The new folder; it may exist and be empty.
        accept_licences: Export also what licences may forbid to give away.
        single_onnx: Add `single.onnx`, see that module.
        teacher: The TOML that describes the teacher of probes, where its file is the user's.
        without_teacher: Leave the teacher's file out: whoever predicts brings it.
        progress: Told each model before it is exported.

    Raises:
        ValueError: The folder holds no run's models, `target` is not empty, licences forbid it, a
            model's front end is not known to the script, a teacher is not there, or an export
            differs from torch.
    """
    spec = read_ensemble(run / FOLDER)
    target = target.resolve()  # "." has no name
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ValueError(f"{target} is not empty: give a folder that is new or empty")
    folders = [name for models in spec.members.values() for name in models]
    if not folders and not spec.probes:
        raise ValueError(f"{run / FOLDER} holds no model: an external teacher's is not copied")
    heads = None
    if spec.probes:
        heads = read_heads(
            run / FOLDER, spec, teacher, accept=accept_licences, leave_out=without_teacher
        )
    licences = check_licences(run, accept=accept_licences)
    reads = _common_input(run / FOLDER, folders) if folders else None
    classes = _common_classes(run / FOLDER, folders, heads)
    front_end = reads.mel if reads else None
    if front_end:
        parts_of(front_end, SCRIPT_FILE)  # refused now
    if single_onnx:
        read_members(run / FOLDER)  # refused now
    # Beside the target, since a rename does not cross file systems.
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)  # refused now, where it can't be written
        bundled, of_heads = {}, None
        for name in folders:
            progress(name)
            bundled[name] = export_model(run / FOLDER / name, name, partial)
        if heads:
            progress(heads.teacher.credit.name)
            of_heads = write_heads(run / FOLDER, spec, heads, partial, leave_out=without_teacher)
        here = {*spec.members, *spec.probes, of_heads and of_heads.member}
        config = BundleConfig(
            format=2 if of_heads or spec.after_prediction else 1,
            birdflow=__version__,
            front_end=front_end_settings(front_end) if front_end else None,
            scale=asdict(reads.scale) if reads else None,
            predict=spec.predict,
            blend=spec.blend,
            power=spec.power,
            weights={name: weight for name, weight in spec.weights.items() if name in here},
            after_prediction=spec.after_prediction,
            members={
                name: tuple(bundled[folder] for folder in models)
                for name, models in spec.members.items()
            },
            probes={
                name: tuple(f"{FOLDER}/{folder}" for folder in folds)
                for name, folds in spec.probes.items()
            },
            teacher=of_heads,
            left_out=tuple(name for name in spec.weights if name not in here),
            classes=classes,
            licences=licences,
            thresholds=_thresholds(run / FOLDER, classes),
        )
        arrays: Mapping[str, Any] = {"response": resampler_response()}
        if front_end and reads:
            arrays = front_end_arrays(front_end, reads.scale)
        np.savez(partial / ARRAYS_FILE, **arrays)
        (partial / CONFIG_FILE).write_text(config.model_dump_json(indent=1) + "\n", "utf-8")
        _copy_texts(run, partial, spec)
        if of_heads:
            add_to_card(partial / CARD_FILE, of_heads)
        if single_onnx:
            progress(SINGLE_FILE)
            write_single_onnx(run, partial / SINGLE_FILE)
        if target.exists():
            target.rmdir()
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return config


def _common_input(models: Path, folders: list[str]) -> InputSpec:
    """What all networks read; those of a run agree, other folders may not."""
    inputs = {name: load_input(models / name) for name in folders}
    first = folders[0]
    for name in folders:
        if (inputs[name].mel, inputs[name].scale) != (inputs[first].mel, inputs[first].scale):
            raise ValueError(f"{models / name} reads another front end than {models / first}")
        if not (models / name / WEIGHTS_FILE).is_file():
            raise ValueError(f"{models / name} holds no model: there is no {WEIGHTS_FILE} in it")
    return inputs[first]


def _common_classes(models: Path, folders: list[str], heads: Heads | None) -> tuple[str, ...]:
    """The classes of all models."""
    classes = {name: load_spec(models / name).classes for name in folders}
    classes |= {name: probe.spec.classes for name, probe in heads.probes.items()} if heads else {}
    first = next(iter(classes))
    for name, found in classes.items():
        if found != classes[first]:
            raise ValueError(f"{models / name} has other classes than {models / first}")
    return classes[first]


def _thresholds(models: Path, classes: tuple[str, ...]) -> dict[str, float | None]:
    calibration = read_calibration(models, classes)
    if calibration is None:
        return {}
    precision = BundleConfig.model_fields["threshold_precision"].default
    return dict(zip(classes, calibration.thresholds_for(precision), strict=True))


def _copy_texts(run: Path, bundle: Path, spec: EnsembleSpec) -> None:
    (bundle / SCRIPT_FILE).write_text(predict_script(), "utf-8")
    (bundle / FOLDER / ENSEMBLE_FILE).write_text(spec.model_dump_json(indent=1) + "\n", "utf-8")
    own = (f"{FOLDER}/{CLASSES_FILE}", f"{FOLDER}/{CALIBRATION_FILE}")
    for name in (CARD_FILE, ATTRIBUTION_FILE, *own):
        if (run / name).is_file():
            shutil.copyfile(run / name, bundle / name)
