"""A bundle: the ensemble of a run as a folder that predicts without birdflow and torch.

    BUNDLE/predict.py        the script; it needs NumPy, soundfile, OpenVINO or ONNX Runtime
    BUNDLE/config.json       see bundle_config.py
    BUNDLE/front_end.npz     arrays that the script would otherwise have to compute as torch does
    BUNDLE/MODEL_CARD.md, ATTRIBUTION.csv
    BUNDLE/single.onnx      where it is asked for
    BUNDLE/model/ensemble.json, classes.csv, calibration.json
    BUNDLE/model/ROUND/BACKBONE/fold-N/    model.onnx, model.xml, model.bin, model.json, input.json

`model/` is laid out like that of a run, so `birdcore.load_model` reads a bundle too. The bundle
gets its name when it is complete and each of its models agrees with torch.
"""

import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np

from birdcore import __version__
from birdcore.detection.calibration import CALIBRATION_FILE, read_calibration
from birdcore.detection.species_list import CLASSES_FILE
from birdcore.export.bundle_config import ARRAYS_FILE, CONFIG_FILE, SCRIPT_FILE, BundleConfig
from birdcore.export.front_end import exported_spec, front_end_arrays, front_end_settings
from birdcore.export.licences import ATTRIBUTION_FILE, check_licences
from birdcore.export.model_files import export_model
from birdcore.export.single_onnx import SINGLE_FILE, read_members, write_single_onnx
from birdcore.inference.trained_model import ENSEMBLE_FILE, FOLDER, EnsembleSpec, read_ensemble
from birdcore.models.input import InputSpec, load_input
from birdcore.models.sed import WEIGHTS_FILE, load_spec

KIT = Path(__file__).parent / "kit"
CARD_FILE = "MODEL_CARD.md"


def write_bundle(
    run: Path,
    target: Path,
    *,
    accept_licences: bool = False,
    single_onnx: bool = False,
    progress: Callable[[str], None] = lambda model: None,
) -> BundleConfig:
    """Write the ensemble of a run as a bundle.

    Args:
        run: A run's results folder (`--out`).
        target: The new folder; it may exist and be empty.
        accept_licences: Export also what licences may forbid to give away.
        single_onnx: Add `single.onnx`, see that module.
        progress: Told each model before it is exported.

    Raises:
        ValueError: The folder holds no run's models, `target` is not empty, licences forbid it, a
            model's front end is not known to the script, or an export differs from torch.
    """
    spec = read_ensemble(run / FOLDER)
    target = target.resolve()  # "." has no name
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ValueError(f"{target} is not empty: give a folder that is new or empty")
    licences = check_licences(run, accept=accept_licences)
    folders = [name for models in spec.members.values() for name in models]
    if not folders:
        raise ValueError(f"{run / FOLDER} holds no model: an external teacher's is not copied")
    input_spec, classes = _common_input(run / FOLDER, folders)
    front_end, scale = exported_spec(input_spec.mel, SCRIPT_FILE), input_spec.scale
    if single_onnx:
        read_members(run / FOLDER)  # refused now
    # Beside the target, since a rename does not cross file systems.
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)  # refused now, where it can't be written
        bundled = {}
        for name in folders:
            progress(name)
            bundled[name] = export_model(run / FOLDER / name, name, partial)
        config = BundleConfig(
            format=1 if spec.after_prediction is None else 2,
            birdflow=__version__,
            front_end=front_end_settings(front_end),
            scale=asdict(scale),
            predict=spec.predict,
            blend=spec.blend,
            power=spec.power,
            weights={name: spec.weights[name] for name in spec.members},
            after_prediction=spec.after_prediction,
            members={
                name: tuple(bundled[folder] for folder in models)
                for name, models in spec.members.items()
            },
            left_out=spec.left_out,
            classes=classes,
            licences=licences,
            thresholds=_thresholds(run / FOLDER, classes),
        )
        np.savez(partial / ARRAYS_FILE, **front_end_arrays(front_end, scale))
        (partial / CONFIG_FILE).write_text(config.model_dump_json(indent=1) + "\n", "utf-8")
        _copy_texts(run, partial, spec)
        if single_onnx:
            progress(SINGLE_FILE)
            write_single_onnx(run, partial / SINGLE_FILE)
        if target.exists():
            target.rmdir()
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return config


def _common_input(models: Path, folders: list[str]) -> tuple[InputSpec, tuple[str, ...]]:
    """What all models read, and their classes; those of a run agree, other folders may not."""
    inputs = {name: load_input(models / name) for name in folders}
    classes = {name: load_spec(models / name).classes for name in folders}
    first = folders[0]
    for name in folders:
        if (inputs[name].mel, inputs[name].scale) != (inputs[first].mel, inputs[first].scale):
            raise ValueError(f"{models / name} reads another front end than {models / first}")
        if classes[name] != classes[first]:
            raise ValueError(f"{models / name} has other classes than {models / first}")
        if not (models / name / WEIGHTS_FILE).is_file():
            raise ValueError(f"{models / name} holds no model: there is no {WEIGHTS_FILE} in it")
    return inputs[first], classes[first]


def _thresholds(models: Path, classes: tuple[str, ...]) -> dict[str, float | None]:
    calibration = read_calibration(models, classes)
    if calibration is None:
        return {}
    precision = BundleConfig.model_fields["threshold_precision"].default
    return dict(zip(classes, calibration.thresholds_for(precision), strict=True))


def _copy_texts(run: Path, bundle: Path, spec: EnsembleSpec) -> None:
    shutil.copyfile(KIT / SCRIPT_FILE, bundle / SCRIPT_FILE)
    (bundle / FOLDER / ENSEMBLE_FILE).write_text(spec.model_dump_json(indent=1) + "\n", "utf-8")
    own = (f"{FOLDER}/{CLASSES_FILE}", f"{FOLDER}/{CALIBRATION_FILE}")
    for name in (CARD_FILE, ATTRIBUTION_FILE, *own):
        if (run / name).is_file():
            shutil.copyfile(run / name, bundle / name)
