"""What a model reads, kept beside its weights: without it the weights mean nothing."""

from pathlib import Path
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from birdcore.features.front_end import AnyFrontEnd
from birdcore.models.normalise import Normalisation, normalise, over_floor, to_db

INPUT_FILE = "input.json"


class InputSpec(BaseModel):
    """The front end, the frames of a window of prediction, and how decibels are normalised."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mel: AnyFrontEnd
    frames: int
    normalise: Normalisation | Literal["floor"]
    top_db: float | None

    @property
    def over_floor(self) -> bool:
        """Whether crops bring their recording's steady noise along, as their last frame."""
        return self.normalise == "floor"


def model_input(power: Tensor, spec: InputSpec) -> Tensor:
    """Mel power (B, n_mels, T) as the model reads it, (B, 1, n_mels, T) float32.

    Where the spec is `over_floor`, power has one frame more, the floor.
    """
    if spec.normalise == "floor":
        return over_floor(power[..., :-1], power[..., -1:])[:, None]
    return normalise(to_db(power, top_db=spec.top_db), spec.normalise)[:, None]


def save_input(folder: Path, spec: InputSpec) -> None:
    (folder / INPUT_FILE).write_text(spec.model_dump_json(indent=2) + "\n", encoding="utf-8")


def load_input(folder: Path) -> InputSpec:
    return InputSpec.model_validate_json((folder / INPUT_FILE).read_bytes())


def computes_bf16(device: torch.device) -> bool:
    """Whether bfloat16 is native there: emulated it is slower than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def pick_device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
