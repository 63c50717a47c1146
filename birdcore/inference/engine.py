"""Engines: what computes a model's outputs from a batch of inputs.

A model is trained in torch, but it may be used by other runtimes, which are faster on some
processors or need no torch. Prediction knows this protocol alone. To add an engine, write a file
with a class beside this one and list how it is opened in `ENGINES`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

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

    def __call__(self, batch: Tensor) -> EngineOutput:
        """Outputs for inputs (B, 1, F, T), float32, on `device`, as `model_input` gives them."""


@dataclass(frozen=True)
class TorchEngine:
    """A model in eval mode on its device, run by torch."""

    model: SedModel
    device: torch.device

    def __call__(self, batch: Tensor) -> EngineOutput:
        with torch.inference_mode():
            outputs = self.model(batch)
            framewise = outputs.framewise_logit.float().sigmoid().transpose(1, 2)
            clipwise = outputs.clipwise.float()
        return EngineOutput(clipwise.cpu().numpy(), framewise.cpu().numpy())


def open_torch(folder: Path) -> TorchEngine:
    """The model of a folder that `save_model` wrote, on the GPU where there is one."""
    device = pick_device()
    return TorchEngine(place_model(load_model(folder)[0], device).eval(), device)


ENGINES: dict[str, Callable[[Path], Engine]] = {"torch": open_torch}
"""How the model of a folder is opened by each engine, by the engine's name."""


def open_engine(folder: Path, name: str = "torch") -> Engine:
    """The model of a folder, ready to compute.

    Raises:
        ValueError: There is no engine of this name, or no model in the folder.
    """
    if name not in ENGINES:
        raise ValueError(f"no engine is called {name!r}: choose one of {', '.join(ENGINES)}")
    return ENGINES[name](folder)
