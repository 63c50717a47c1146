"""Engines: what computes a model's outputs from a batch of inputs.

A model is trained in torch, but it may be used by other runtimes, which are faster on some
processors or need no torch. Prediction knows this protocol alone. To add an engine, write a file
with a class beside this one and list how it is opened in `ENGINES`.

    torch       weights as they were trained; on a GPU, and where a model was not exported
    openvino    model.onnx on CPUs; for speeds see benchmarks/results/inference.md
    onnx        model.onnx by ONNX Runtime, where OpenVINO has no wheel
    auto        torch on a GPU and without an export, else openvino, else onnx
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple, Protocol, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from birdcore.inference.onnx_file import ONNX_FILE
from birdcore.models.input import pick_device
from birdcore.models.sed import SedModel, load_model, place_model

Floats: TypeAlias = NDArray[np.float32]


class EngineOutput(NamedTuple):
    """Probabilities of a batch of B windows, for K classes and T' moments of each window.

    Attributes:
        clipwise: (B, K), of a window as a whole.
        framewise: (B, T', K), of its moments; backbones stride, so T' is less than its frames.
    """

    clipwise: Floats
    framewise: Floats


class Engine(Protocol):
    """A model that is ready to compute."""

    @property
    def device(self) -> torch.device:
        """Where batches are prepared."""

    @property
    def streams(self) -> int:
        """How many calls, each in a thread of its own, make use of the whole machine."""

    @property
    def torch_threads(self) -> int:
        """How many threads of torch a call makes use of; one where another runtime computes."""

    def __call__(self, batch: Tensor) -> EngineOutput:
        """Outputs for inputs (B, C, F, T), float32, on `device`, as `model_input` gives them."""


@dataclass(frozen=True)
class TorchEngine:
    """A model in eval mode on its device, run by torch."""

    model: SedModel
    device: torch.device
    streams: int = 1  # each operator uses all cores by itself
    torch_threads: int = field(default_factory=torch.get_num_threads)

    def __call__(self, batch: Tensor) -> EngineOutput:
        with torch.inference_mode():
            outputs = self.model(batch)
            framewise = outputs.framewise_logit.float().sigmoid().transpose(1, 2)
            clipwise = outputs.clipwise.float()
        return EngineOutput(clipwise.cpu().numpy(), framewise.cpu().numpy())


def open_torch(folder: Path, threads: int = 0) -> TorchEngine:
    """The model of a folder that `save_model` wrote, on the GPU where there is one."""
    device = pick_device()
    model = place_model(load_model(folder)[0], device).eval()
    return TorchEngine(model, device, torch_threads=threads or torch.get_num_threads())


def open_openvino(folder: Path, threads: int = 0) -> Engine:
    """The exported model of a folder, run by OpenVINO on CPUs."""
    # Not at the top: OpenVINO has no wheel for some machines, and takes a while to import.
    from birdcore.inference.openvino_engine import OpenVinoEngine

    return OpenVinoEngine(folder, threads)


def open_onnx(folder: Path, threads: int = 0) -> Engine:
    """The exported model of a folder, run by ONNX Runtime on CPUs."""
    from birdcore.inference.onnx_engine import OnnxEngine

    return OnnxEngine(folder, threads)


TORCH, AUTO = "torch", "auto"

ENGINES: dict[str, Callable[..., Engine]] = {
    TORCH: open_torch,
    "openvino": open_openvino,
    "onnx": open_onnx,
}
"""How the model of a folder is opened by each engine, by the engine's name; a second argument is
how many cores it takes, 0 for all."""


def open_engine(
    folder: Path, name: str = AUTO, export: Path | None = None, threads: int = 0
) -> Engine:
    """The model of a folder, ready to compute.

    Args:
        folder: What `save_model` wrote.
        name: A key of `ENGINES`, or "auto".
        export: The folder with the model's `model.onnx`, which engines other than torch need;
            by default `folder`.
        threads: How many cores it takes, of those there are; 0 for all.

    Raises:
        ValueError: There is no engine of this name, or no model for it in the folder.
    """
    export = export or folder
    name = default_engine(export) if name == AUTO else name
    if name not in ENGINES:
        known = ", ".join([AUTO, *ENGINES])
        raise ValueError(f"no engine is called {name!r}: choose one of {known}")
    # OpenVINO takes no more cores than there are; others would, and their threads would wait.
    return ENGINES[name](folder if name == TORCH else export, min(threads, torch.get_num_threads()))


def default_engine(export: Path) -> str:
    """Torch on a GPU and where a folder has no export; else that for CPUs."""
    if pick_device().type != "cpu" or not (export / ONNX_FILE).is_file():
        return TORCH
    return cpu_engine()


def cpu_engine() -> str:
    """What runs exports on CPUs: OpenVINO, or what stands in for it where it has no wheel."""
    return "openvino" if find_spec("openvino") else "onnx"


def has_bf16() -> bool:
    """Whether an engine for CPUs computes in bfloat16 on this machine: OpenVINO, where the CPU does
    so natively."""
    if cpu_engine() != "openvino":
        return False
    import openvino

    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
