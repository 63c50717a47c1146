"""Which backbones there are, and how wide, large and fast each is on this machine.

What `birdflow backbones` lists: to choose one before a night of training, and to see before a
competition's time limit whether a model fits it. Speed is that of a whole model (head included) on
windows of 5 s of the front end config_128, or of samples at its rate, as a multiple of real time.
"""

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import torch
from torch import Tensor

from birdcore.config.backbone_names import refuse_source
from birdcore.config.front_end_checks import READ_SAMPLES
from birdcore.features.front_end import FrontEnd
from birdcore.features.mel import PRESETS
from birdcore.features.wave import WaveSpec
from birdcore.inference.engine import ENGINES, cpu_engine
from birdcore.inference.onnx import export_onnx
from birdcore.inference.onnx_file import ONNX_FILE
from birdcore.models.backbone import backbone_names, built_frames, nearest_backbones
from birdcore.models.input import InputSpec, save_input
from birdcore.models.sed import ModelSpec, SedModel, save_model

SUGGESTED = (
    "conv_gru", "transformer_1d", "conv_wave", "mobilenetv3_small_100", "mobilenetv4_conv_small",
    "hgnetv2_b0", "fastvit_t8", "efficientvit_b0", "resnet10t", "regnety_008", "tf_efficientnet_b0",
    "tf_efficientnet_b3", "tf_efficientnetv2_b3", "tf_efficientnetv2_s", "eca_nfnet_l0",
    "convnextv2_atto", "vit_tiny_patch16_224", "swinv2_tiny_window16_256", "maxvit_tiny_tf_512",
)  # fmt: skip
"""Small to large: those of recipes and of winners' solutions, and one of each other kind."""

WINDOW_S, BATCH, CLASSES = 5.0, 8, 200
MEASURE_S = 0.5
"""Batches are computed for so long, after one that warms up."""


@dataclass(frozen=True)
class BackboneFigures:
    """A backbone on this machine.

    Attributes:
        name: as in `round.backbones`.
        width: channels of its features; None where it does not fit.
        parameters: weights in millions, of the backbone alone.
        outputs_per_s: outputs of a second of sound.
        any_window: whether windows may be longer or shorter than the crops.
        torch_speed: times real time by torch.
        engine_speed: times real time by the engine for CPUs, if that was measured.
        reason: why it does not fit.
    """

    name: str
    width: int | None = None
    parameters: float | None = None
    outputs_per_s: float | None = None
    any_window: bool | None = None
    torch_speed: float | None = None
    engine_speed: float | None = None
    reason: str = ""


def matching(pattern: str | None) -> tuple[str, ...]:
    """Names that a pattern (`*swin*`, or a part of a name) selects; the suggested ones for None.

    Raises:
        ValueError: there is none; the message has the nearest names.
    """
    if pattern is None:
        return SUGGESTED
    names = backbone_names()
    refuse_source(pattern)
    exact = [name for name in names if name == pattern]
    glob = pattern if any(letter in pattern for letter in "*?[") else f"*{pattern}*"
    found = exact or [name for name in names if fnmatchcase(name, glob)]
    if not found:
        near = nearest_backbones(pattern.strip("*?"))
        hint = f"; the nearest are {', '.join(near)}" if near else ""
        raise ValueError(f"no backbone matches {pattern!r}{hint}")
    return tuple(found)


def figures_of(name: str, by_engine: bool = False) -> BackboneFigures:
    """Build a backbone with random weights and measure it.

    Args:
        name: of a backbone.
        by_engine: export it and measure the engine for CPUs as well, which takes seconds.
    """
    front_end = _front_end(name)
    bins, frames = front_end.bins, front_end.fixed_length(WINDOW_S)
    try:
        built = built_frames(name, 1, (bins, frames))
    except ValueError as error:
        return BackboneFigures(name, reason=str(error))
    classes = tuple(map(str, range(CLASSES)))
    spec = ModelSpec(backbone=name, classes=classes, n_mels=bins, frames=built)
    model = SedModel(spec).eval()
    batch = torch.randn(BATCH, 1, bins, frames)
    with torch.inference_mode():
        width, outputs = model.pooled(batch[:1]).shape[1:]
        torch_speed = _speed(model, batch)
    return BackboneFigures(
        name,
        width,
        round(sum(weight.numel() for weight in model.backbone.parameters()) / 1e6, 2),
        round(outputs / WINDOW_S, 2),
        built is None or _takes_others(name, bins, frames),
        torch_speed,
        _engine_speed(model, spec, batch) if by_engine else None,
    )


def _front_end(name: str) -> FrontEnd:
    return WaveSpec() if name in READ_SAMPLES else PRESETS["config_128"]


def _takes_others(name: str, bins: int, frames: int) -> bool:
    try:
        built_frames(name, 1, (bins, frames), 2 * frames)
    except ValueError:
        return False
    return True


def _engine_speed(model: SedModel, spec: ModelSpec, batch: Tensor) -> float:
    mel = _front_end(spec.backbone)
    input_spec = InputSpec(
        mel=mel, scale=mel.scale("uint8"), frames=batch.shape[3], normalise="zscore", top_db=80.0
    )
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        save_model(folder, model, spec)
        save_input(folder, input_spec)
        export_onnx(model, spec, input_spec, folder / ONNX_FILE)
        return _speed(ENGINES[cpu_engine()](folder, 0), batch)


def _speed(compute: Callable[[Tensor], object], batch: Tensor) -> float:
    """Times real time."""
    compute(batch)
    began, windows = time.perf_counter(), 0
    while (took := time.perf_counter() - began) < MEASURE_S:
        compute(batch)
        windows += len(batch)
    return round(windows * WINDOW_S / took, 1)
