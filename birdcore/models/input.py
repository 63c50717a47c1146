"""A model's input, stored beside its weights: without it the weights can't be used.

`input.json` says how samples become the model's input and how its windows are laid over a
recording: the front end, the codes that its features are cached in, whether samples are divided by
the recording's peak, the normalisation, the window, the hop between windows, and the output.
"""

from pathlib import Path
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from birdcore.config.section import Output
from birdcore.features.front_end import AnyFrontEnd
from birdcore.features.scale import Scale
from birdcore.models.normalise import Normalisation, normalise, over_floor, to_db

INPUT_FILE = "input.json"


class InputSpec(BaseModel):
    """All that prediction needs besides model and samples.

    Attributes:
        mel: the front end.
        frames: frames of a window.
        normalise: how each window's decibels are scaled; floor: over the recording's steady noise.
        top_db: decibels below the window's maximum that are cut off; None: none.
        scale: the codes that mels are cached in; training saw no finer levels.
        divide_by_peak: whether samples are divided by the recording's absolute maximum.
        step_s: seconds from window to window; None: half a window.
        output: what a window predicts of a moment, unless a recipe says otherwise.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    mel: AnyFrontEnd
    frames: int
    normalise: Normalisation | Literal["floor"]
    top_db: float | None
    scale: Scale = Scale()
    divide_by_peak: bool = True
    step_s: float | None = None
    output: Output = "framewise"

    @property
    def window_s(self) -> float:
        """Seconds of a window."""
        return (self.frames - 1) / self.mel.frame_rate

    @property
    def over_floor(self) -> bool:
        """Whether crops have their recording's steady noise as one more frame, the last."""
        return self.normalise == "floor"


def model_input(power: Tensor, spec: InputSpec) -> Tensor:
    """The model's input (B, 1, n_mels, T), float32, of mel power.

    Args:
        power: (B, n_mels, T); T + 1 where the spec is `over_floor`, the last one the floor.
        spec: the model's.
    """
    if spec.normalise == "floor":
        return over_floor(power[..., :-1], power[..., -1:])[:, None]
    return normalise(to_db(power, top_db=spec.top_db), spec.normalise)[:, None]


def save_input(folder: Path, spec: InputSpec) -> None:
    (folder / INPUT_FILE).write_text(spec.model_dump_json(indent=2) + "\n", encoding="utf-8")


def load_input(folder: Path) -> InputSpec:
    return InputSpec.model_validate_json((folder / INPUT_FILE).read_bytes())


def computes_bf16(device: torch.device) -> bool:
    """Whether a device computes bfloat16 natively: emulated it is slower than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def pick_device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
