"""A model's input, stored beside its weights: without it the weights can't be used.

`input.json` says how samples become the model's input: the peak division, the front end, the codes
of its features, the length of a window and the normalisation. How windows are laid over a
recording, and which output is read, are settings of a prediction and not of the weights: see
`birdcore.inference.trained_model.EnsembleSpec`.
"""

from pathlib import Path
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from birdcore.features.front_end import AnyFrontEnd
from birdcore.features.scale import AnyScale
from birdcore.json_file import read_json
from birdcore.models.normalise import Normalisation, normalise, over_floor, to_db

INPUT_FILE = "input.json"


class InputSpec(BaseModel):
    """All that prediction needs besides model and samples.

    Attributes:
        mel: the front end.
        scale: the codes of its features, uint8 or float16; training saw no finer levels.
        divide_by_peak: samples are divided by the recording's absolute maximum before the front
            end. Always so; stored for whoever runs the weights without birdflow.
        frames: frames of a window.
        normalise: how each window's decibels are scaled; floor: over the recording's steady noise.
        top_db: decibels below the window's maximum that are cut off; None: none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    mel: AnyFrontEnd
    scale: AnyScale
    divide_by_peak: Literal[True] = True
    frames: int
    normalise: Normalisation | Literal["floor"]
    top_db: float | None

    def at_speed(self, speed: float) -> "InputSpec":
        """The same input of files of another speed."""
        return self.model_copy(update={"mel": self.mel.at_speed(speed)})

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, F, T) of a window: channels, bins of each, frames."""
        channels = self.mel.input_channels
        return channels, self.mel.bins // channels, self.frames

    @property
    def over_floor(self) -> bool:
        """Whether crops have their recording's steady noise as one more frame, the last."""
        return self.normalise == "floor"


def model_input(power: Tensor, spec: InputSpec) -> Tensor:
    """The model's input (B, C, F, T), float32, of power; each channel is scaled by itself.

    Values of a front end that keeps no power are scaled as decibels of power are, and "none" leaves
    them as they are.

    Args:
        power: (B, C * F, T); T + 1 where the spec is `over_floor`, the last one the floor.
        spec: the model's.
    """
    channels, bins, _ = spec.shape
    each = power.reshape(-1, bins, power.shape[-1])
    if not spec.mel.recovers_power:
        assert spec.normalise != "floor", "refused when the recipe is read"
        scaled = each if spec.normalise == "none" else normalise(each, spec.normalise)
    elif spec.normalise == "floor":
        scaled = over_floor(each[..., :-1], each[..., -1:])
    else:
        scaled = normalise(to_db(each, top_db=spec.top_db), spec.normalise)
    return scaled.view(-1, channels, *scaled.shape[1:])


def save_input(folder: Path, spec: InputSpec) -> None:
    (folder / INPUT_FILE).write_text(spec.model_dump_json(indent=2) + "\n", encoding="utf-8")


def load_input(folder: Path) -> InputSpec:
    """What `save_input` wrote.

    Raises:
        ValueError: It is not there, or it is damaged, or of a front end that is not known.
    """
    return read_json(folder / INPUT_FILE, InputSpec, "input")


def computes_bf16(device: torch.device) -> bool:
    """Whether a device computes bfloat16 natively: emulated it is slower than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def pick_device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
