"""The models of a bundle: `model.onnx` and `model.xml`, each compared with torch before it is used.

A model that has a `model.onnx` beside its weights is copied, any other one is exported.
"""

import shutil
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from birdcore.export.bundle_config import BundledModel
from birdcore.export.openvino_file import save_openvino
from birdcore.inference.engine import ENGINES, TorchEngine
from birdcore.inference.onnx import TOLERANCE, export_onnx, largest_difference
from birdcore.inference.onnx_file import ONNX_FILE, checked_onnx
from birdcore.inference.trained_model import FOLDER, encoded
from birdcore.models.input import INPUT_FILE, InputSpec, load_input, model_input
from birdcore.models.sed import SPEC_FILE, load_model

HALF_TOLERANCE = 5e-4
"""Of probabilities with weights of half precision, where those of a submission may differ by 1e-3:
other recordings than the one that is checked may lie further off."""
CHECKED_WINDOWS = 8


def export_model(source: Path, name: str, bundle: Path) -> BundledModel:
    """Write a model into a bundle as ONNX and for OpenVINO.

    Args:
        source: The model's folder, as `save_model` and `save_input` wrote it.
        name: What it is called in the bundle: ROUND/BACKBONE/fold-N.
        bundle: The bundle's folder.

    Raises:
        ValueError: Probabilities of a file differ from torch's, or a `model.onnx` in `source` is of
            another model.
    """
    folder = bundle / FOLDER / name
    folder.mkdir(parents=True)
    model, spec = load_model(source)
    reads = load_input(source)
    for file in (SPEC_FILE, INPUT_FILE):
        shutil.copyfile(source / file, folder / file)
    if (source / ONNX_FILE).is_file():
        shutil.copyfile(checked_onnx(source)[0], folder / ONNX_FILE)
    else:
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
    return BundledModel(
        folder=f"{FOLDER}/{name}", frames=reads.frames, normalise=reads.normalise,
        top_db=reads.top_db, onnx_difference=difference, openvino_difference=by_openvino,
        openvino_weights="float16" if half else "float32",
    )  # fmt: skip


def check_samples(rate: int, count: int) -> np.ndarray:
    """Samples (count,) of a generated recording: whistles that rise, over noise that fades.

    An export must not depend on the data folder, which may be elsewhere by then.
    """
    t = np.arange(count) / rate
    noise = np.random.default_rng(0).standard_normal(count) * np.exp(-t / t[-1] * 3)
    phase = 2 * np.pi * (rate / 16 * t + rate / 8 * t * t / t[-1])
    whistle = np.sin(phase) * (np.sin(2 * np.pi * t) > 0)
    return np.asarray(0.1 * noise + whistle, np.float32)


def check_batch(reads: InputSpec) -> Tensor:
    """Inputs (B, 1, F, T) of the windows of `check_samples`."""
    rate = reads.mel.sample_rate
    samples = check_samples(rate, reads.mel.samples(CHECKED_WINDOWS * reads.frames + 1))
    features = encoded("check", lambda: iter([samples]), rate, reads)
    offsets = torch.arange(CHECKED_WINDOWS, device=features.device) * reads.frames
    rows = torch.zeros_like(offsets)
    with torch.inference_mode():
        power = features.power(rows, offsets, reads.frames, with_floor=reads.over_floor)
        return model_input(power, reads).cpu()
