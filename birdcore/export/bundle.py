"""A bundle: the ensemble of a run as a folder that predicts without birdflow and torch.

    BUNDLE/predict.py        the script; it needs NumPy, soundfile, OpenVINO or ONNX Runtime
    BUNDLE/config.json       see bundle_config.py
    BUNDLE/front_end.npz     arrays that the script would otherwise have to compute as torch does
    BUNDLE/MODEL_CARD.md, ATTRIBUTION.csv
    BUNDLE/model/ensemble.json
    BUNDLE/model/ROUND/BACKBONE/fold-N/    model.onnx, model.xml, model.bin, model.json, input.json

`model/` is laid out like that of a run, so `birdcore.load_model` reads a bundle too. The bundle
gets its name when it is complete and each of its models agrees with torch.
"""

import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import soxr
import torch
from torch import Tensor

from birdcore import __version__
from birdcore.export.bundle_config import (
    ARRAYS_FILE,
    CONFIG_FILE,
    SCRIPT_FILE,
    BundleConfig,
    BundledModel,
)
from birdcore.export.licences import ATTRIBUTION_FILE, check_licences
from birdcore.export.openvino_file import save_openvino
from birdcore.features.front_end import FrontEnd
from birdcore.features.mel import MelSpec
from birdcore.features.scale import Scale, power_table
from birdcore.features.spectrogram import filter_bank, hann_window
from birdcore.inference.engine import ENGINES, TorchEngine
from birdcore.inference.onnx import TOLERANCE, export_onnx, largest_difference
from birdcore.inference.onnx_file import ONNX_FILE
from birdcore.inference.trained_model import (
    ENSEMBLE_FILE,
    FOLDER,
    EnsembleSpec,
    encoded,
    read_ensemble,
)
from birdcore.models.input import INPUT_FILE, InputSpec, load_input, model_input
from birdcore.models.sed import SPEC_FILE, load_model, load_spec

KIT = Path(__file__).parent / "kit"
CARD_FILE = "MODEL_CARD.md"
HALF_TOLERANCE = 5e-4
"""Of probabilities with weights of half precision, where those of a submission may differ by 1e-3:
other recordings than the one that is checked may lie further off."""
CHECKED_WINDOWS = 8


def write_bundle(
    run: Path,
    target: Path,
    *,
    accept_licences: bool = False,
    progress: Callable[[str], None] = lambda model: None,
) -> BundleConfig:
    """Write the ensemble of a run as a bundle.

    Args:
        run: A run's results folder (`--out`).
        target: The new folder; it may exist and be empty.
        accept_licences: Export also what licences may forbid to give away.
        progress: Told each model before it is exported.

    Raises:
        ValueError: The folder holds no run's models, `target` is not empty, licences forbid it, a
            model's front end is not known to the script, or an export differs from torch.
    """
    spec = read_ensemble(run / FOLDER)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ValueError(f"{target} is not empty: give a folder that is new or empty")
    licences = check_licences(run, accept=accept_licences)
    folders = [name for models in spec.members.values() for name in models]
    input_spec, classes = _common_input(run / FOLDER, folders)
    front_end = _known_front_end(input_spec.mel)
    # Beside the target, since a rename does not cross file systems.
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        bundled = dict(_export_models(run / FOLDER, partial, folders, progress))
        config = BundleConfig(
            birdflow=__version__,
            front_end={"name": front_end.name, **front_end.model_dump()},
            scale=asdict(input_spec.scale),
            predict=spec.predict,
            blend=spec.blend,
            power=spec.power,
            weights={name: spec.weights[name] for name in spec.members},
            members={
                name: tuple(bundled[folder] for folder in models)
                for name, models in spec.members.items()
            },
            left_out=spec.left_out,
            classes=classes,
            licences=licences,
        )
        np.savez(partial / ARRAYS_FILE, **front_end_arrays(front_end, input_spec.scale))
        (partial / CONFIG_FILE).write_text(config.model_dump_json(indent=1) + "\n", "utf-8")
        _copy_texts(run, partial, spec)
        if target.exists():
            target.rmdir()
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return config


def front_end_arrays(spec: MelSpec, scale: Scale) -> Mapping[str, Any]:
    """The arrays of front_end.npz.

    Returns:
        window (n_fft,), bank (n_fft // 2 + 1, bins), power_table (256,) where codes are uint8, and
        response: of the resampler, see `resampler_response`.
    """
    small = scale.dtype == "uint8"
    return {
        "window": hann_window(spec.n_fft),
        "bank": filter_bank(spec),
        "power_table": power_table(scale) if small else np.zeros(0, np.float32),
        "response": resampler_response(),
    }


def resampler_response(points: int = 257) -> np.ndarray:
    """Gain of soxr HQ at frequencies from 0.9 to 1 of the lower rate's highest, evenly, (points,).

    It is the same for all pairs of rates to 1e-3, so one is measured: the spectrum of an impulse.
    """
    source, target = 48_000, 32_000
    impulse = np.zeros(source)
    impulse[source // 2] = 1.0
    spectrum = np.abs(np.fft.rfft(soxr.resample(impulse, source, target, quality="HQ")))
    hz = np.linspace(0.9, 1.0, points) * target / 2
    return np.asarray(np.interp(hz, np.arange(len(spectrum)), spectrum) * source / target)


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
    return inputs[first], classes[first]


def _known_front_end(front_end: FrontEnd) -> MelSpec:
    if not isinstance(front_end, MelSpec):
        raise ValueError(f"{SCRIPT_FILE} has no front end {front_end.name!r}: only mel is exported")
    return front_end


def _export_models(
    models: Path, bundle: Path, folders: list[str], progress: Callable[[str], None]
) -> Iterator[tuple[str, BundledModel]]:
    """Export each model, and compare both of its files with torch."""
    for name in folders:
        progress(name)
        source, folder = models / name, bundle / FOLDER / name
        folder.mkdir(parents=True)
        model, spec = load_model(source)
        reads = load_input(source)
        for file in (SPEC_FILE, INPUT_FILE):
            shutil.copyfile(source / file, folder / file)
        export_onnx(model, spec, reads, folder / ONNX_FILE)
        batch = check_batch(reads)
        expected = TorchEngine(model, torch.device("cpu"))(batch)
        difference = largest_difference(expected, ENGINES["onnx"](folder)(batch))
        half = True
        by_openvino = largest_difference(expected, save_openvino(folder, half=True)(batch))
        if not by_openvino <= HALF_TOLERANCE:
            half = False
            by_openvino = largest_difference(expected, save_openvino(folder, half=False)(batch))
        if not (difference <= TOLERANCE and by_openvino <= (HALF_TOLERANCE if half else TOLERANCE)):
            raise ValueError(
                f"the export of {source} is wrong: probabilities differ from torch's by "
                f"{difference:.2g} (ONNX) and {by_openvino:.2g} (OpenVINO)"
            )
        yield name, BundledModel(
            folder=f"{FOLDER}/{name}", frames=reads.frames, normalise=reads.normalise,
            top_db=reads.top_db, onnx_difference=difference, openvino_difference=by_openvino,
            openvino_weights="float16" if half else "float32",
        )  # fmt: skip


def check_batch(reads: InputSpec) -> Tensor:
    """Inputs (B, 1, F, T) of a generated recording: whistles that rise, over noise that fades.

    An export must not depend on the data folder, which may be elsewhere by then.
    """
    rate = reads.mel.sample_rate
    count = reads.mel.samples(CHECKED_WINDOWS * reads.frames + 1)
    t = np.arange(count) / rate
    noise = np.random.default_rng(0).standard_normal(count) * np.exp(-t / t[-1] * 3)
    phase = 2 * np.pi * (rate / 16 * t + rate / 8 * t * t / t[-1])
    whistle = np.sin(phase) * (np.sin(2 * np.pi * t) > 0)
    samples = np.asarray(0.1 * noise + whistle, np.float32)
    features = encoded("check", lambda: iter([samples]), rate, reads)
    offsets = torch.arange(CHECKED_WINDOWS, device=features.device) * reads.frames
    rows = torch.zeros_like(offsets)
    with torch.inference_mode():
        power = features.power(rows, offsets, reads.frames, with_floor=reads.over_floor)
        return model_input(power, reads).cpu()


def _copy_texts(run: Path, bundle: Path, spec: EnsembleSpec) -> None:
    shutil.copyfile(KIT / SCRIPT_FILE, bundle / SCRIPT_FILE)
    (bundle / FOLDER / ENSEMBLE_FILE).write_text(spec.model_dump_json(indent=1) + "\n", "utf-8")
    for name in (CARD_FILE, ATTRIBUTION_FILE):
        if (run / name).is_file():
            shutil.copyfile(run / name, bundle / name)
