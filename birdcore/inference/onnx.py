"""Models exported to ONNX, and exports compared with the model that they were made from.

An export may succeed and compute something else, for instance where an operator has no equivalent.
So none is used before it agrees with torch on real inputs: see `compare`.
"""

import warnings
from functools import lru_cache
from pathlib import Path
from threading import Lock

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from birdcore import __version__
from birdcore.inference.engine import ENGINES, EngineOutput, TorchEngine
from birdcore.inference.onnx_file import CLIPWISE, FEATURES, FRAMEWISE, metadata_of
from birdcore.models.input import InputSpec
from birdcore.models.sed import ModelSpec, SedModel, load_model

_EXPORTING = Lock()
"""torch.export traces with state of the process: two at once would be mixed."""

TOLERANCE = 1e-4
"""Of probabilities in float32: runtimes sum in another order, which is some 1e-6."""


class _Probabilities(nn.Module):
    """A model with the outputs of `EngineOutput`."""

    def __init__(self, model: SedModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        output = self.model(features)
        return output.clipwise, output.framewise_logit.sigmoid().transpose(1, 2)


def export_onnx(model: SedModel, model_spec: ModelSpec, input_spec: InputSpec, path: Path) -> None:
    """Write a model as ONNX, for batches of any size; `onnx_file` describes the file.

    Args:
        model: In eval mode, on the CPU.
        model_spec: Of the model; its classes are written into the file.
        input_spec: Of the model; written into the file.
        path: Of the new file.

    Raises:
        ValueError: The model is in training mode: batch norm and dropout would be exported so.
    """
    if model.training:
        raise ValueError("a model in training mode can't be exported: call its eval() first")
    with _EXPORTING:
        program = _program(model_spec, input_spec.frames)
        initializers = program.model.graph.initializers
        weights = _Probabilities(model).state_dict()
        program.apply_weights({name: weights[name] for name in weights if name in initializers})
        metadata = metadata_of(model_spec.classes, input_spec, __version__)
        program.model.metadata_props.update(metadata)
        program.save(path)


@lru_cache(maxsize=2)
def _program(model_spec: ModelSpec, frames: int) -> torch.onnx.ONNXProgram:
    """A model of this shape as a graph: tracing takes seconds, and folds differ in weights only."""
    # Two windows, since a batch of one would be taken for a constant.
    example = torch.zeros(2, model_spec.input_channels, model_spec.n_mels, frames)
    # Its weights are replaced; whoever seeded torch keeps their random numbers.
    # Attention in plain operators: the fused one lays its output out in another way than what the
    # exporter replaces it by, and views of it fail.
    with (
        torch.random.fork_rng(devices=[]),
        sdpa_kernel(SDPBackend.MATH),
        warnings.catch_warnings(),
    ):
        # torch.export copies trees by a class of its own that it calls outdated.
        warnings.filterwarnings("ignore", r"`isinstance\(treespec", FutureWarning)
        # Some of timm's keep what they compute of weights; the graph computes it each time.
        warnings.filterwarnings("ignore", r"The tensor attributes? .* assigned during export")
        program = torch.onnx.export(
            _Probabilities(SedModel(model_spec).eval()).eval(),
            (example,),
            input_names=[FEATURES],
            output_names=[CLIPWISE, FRAMEWISE],
            dynamic_shapes={FEATURES: {0: torch.export.Dim("batch")}},
            dynamo=True,
            # Optimised, weights are folded into each other; runtimes do that when they open it.
            optimize=False,
            verbose=False,
        )
    assert program is not None  # only the exporter before dynamo returns nothing
    return program


def compare(folder: Path, batch: Tensor, engine: str, export: Path | None = None) -> float:
    """By how much probabilities of an exported model differ from those by torch in float32.

    Args:
        folder: A model's.
        batch: Inputs (B, C, F, T), such as the model is going to read.
        engine: What runs the export: a key of `ENGINES`.
        export: The folder of its `model.onnx`, where that is another one.

    Raises:
        ValueError: They differ by more than `TOLERANCE`, or the folder holds no such model.
    """
    torch_engine = TorchEngine(load_model(folder)[0], torch.device("cpu"))
    difference = largest_difference(torch_engine(batch), ENGINES[engine](export or folder)(batch))
    if not difference <= TOLERANCE:  # so that NaN is refused as well
        raise ValueError(
            f"the export of {folder} is wrong: by {engine} probabilities differ from torch's by "
            f"{difference:.2g}, more than {TOLERANCE:g}"
        )
    return difference


def largest_difference(one: EngineOutput, other: EngineOutput) -> float:
    """Of probabilities of the same batch, clipwise and framewise."""
    return max(float(np.abs(a - b).max()) for a, b in zip(one, other, strict=True))
