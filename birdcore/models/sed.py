"""The whole model: spectrogram, backbone, frequency pooled away, attention over time.

A model on disk is a folder of two files: `model.json`, the `ModelSpec` it is rebuilt from, and
`model.safetensors`, its weights. Nothing in it runs code when it is read.
"""

from pathlib import Path
from typing import Annotated, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from birdcore.models.backbone import build_backbone
from birdcore.models.head import AttBlockV2, ClipForm, SedOutput

SPEC_FILE = "model.json"
WEIGHTS_FILE = "model.safetensors"

Rate = Annotated[float, Field(ge=0, lt=1)]


class ModelSpec(BaseModel):
    """All that decides a model's shape, and the order of its classes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    backbone: str
    classes: Annotated[tuple[str, ...], Field(min_length=1)]
    n_mels: Annotated[int, Field(gt=0)]
    frequency_pool: Literal["mean", "mean+max"] = "mean"
    frequency_channel: bool = False
    clip: ClipForm = "probability"
    drop_path: Rate = 0.0
    dropout: Rate = 0.2
    embedding: Annotated[int, Field(gt=0)] | None = None
    """Width of the embeddings that it learns beside, or before, its classes."""

    @field_validator("classes")
    @classmethod
    def _unique(cls, classes: tuple[str, ...]) -> tuple[str, ...]:
        twice = {name for name in classes if classes.count(name) > 1}
        if twice:
            raise ValueError(f"classes named twice: {', '.join(sorted(twice))}")
        return classes


class SedModel(nn.Module):
    """Normalised mel spectrograms (B, 1, n_mels, frames) to a `SedOutput`.

    Initialisation draws from torch's global generator: `torch.manual_seed` fixes it.
    `pretrained` and `weights` say where the backbone starts, see `build_backbone`.
    """

    def __init__(
        self, spec: ModelSpec, *, pretrained: bool = False, weights: Path | None = None
    ) -> None:
        super().__init__()
        self.n_mels = spec.n_mels
        self.frequency_pool = spec.frequency_pool
        self.frequency_channel = spec.frequency_channel
        channels = 2 if spec.frequency_channel else 1
        self.backbone, width = build_backbone(
            spec.backbone, pretrained, weights, channels, spec.drop_path
        )
        self.dropout = nn.Dropout(spec.dropout)
        self.head = AttBlockV2(width, len(spec.classes), spec.clip)
        self.embedder = None if spec.embedding is None else nn.Linear(width, spec.embedding)

    def forward(self, x: Tensor) -> SedOutput:
        """Raises ValueError if x is not (B, 1, n_mels, frames)."""
        if x.ndim != 4 or x.shape[1] != 1 or x.shape[2] != self.n_mels:
            raise ValueError(f"the model reads (B, 1, {self.n_mels}, T), not {tuple(x.shape)}")
        if self.frequency_channel:
            # CoordConv (Liu et al. 2018), for the one axis whose place has a meaning: a whistle
            # at 3 kHz and one at 6 kHz are two birds (Koutini et al. 2019, "frequency-aware").
            height = torch.linspace(-1.0, 1.0, self.n_mels, dtype=x.dtype, device=x.device)
            x = torch.cat([x, height[:, None].expand_as(x)], dim=1)
            x = x.contiguous(memory_format=torch.channels_last)
        features: Tensor = self.backbone(x)
        pooled = features.mean(dim=2)
        if self.frequency_pool == "mean+max":
            pooled = pooled + features.amax(dim=2)
        output: SedOutput = self.head(self.dropout(pooled))
        if self.embedder is None:
            return output
        return output._replace(embedding=self.embedder(pooled.mean(dim=2)))


def place_model(model: SedModel, device: torch.device) -> SedModel:
    """The model on a device, with channels last in memory: convolutions are 1.4 times as fast."""
    placed: SedModel = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return placed


def save_model(folder: Path, model: SedModel, spec: ModelSpec) -> None:
    """Write `model`, built from `spec`, into an existing or new folder."""
    folder.mkdir(parents=True, exist_ok=True)
    # safetensors refuses tensors in channels-last memory.
    state = {name: value.cpu().contiguous() for name, value in model.state_dict().items()}
    save_file(state, folder / WEIGHTS_FILE)
    (folder / SPEC_FILE).write_text(spec.model_dump_json(indent=2) + "\n", encoding="utf-8")


def load_spec(folder: Path) -> ModelSpec:
    """What a model's folder says of it; raises ValueError where it says nothing of use."""
    try:
        return ModelSpec.model_validate_json((folder / SPEC_FILE).read_bytes())
    except FileNotFoundError as error:
        raise ValueError(f"{folder} holds no model: there is no {SPEC_FILE} in it") from error
    except ValidationError as error:
        raise ValueError(f"{folder / SPEC_FILE} describes no model: {error}") from error


def load_model(folder: Path) -> tuple[SedModel, ModelSpec]:
    """The model of a folder that `save_model` wrote, on the CPU, in eval mode.

    Raises ValueError naming the file that is missing, damaged or does not fit the other.
    """
    spec = load_spec(folder)
    with torch.random.fork_rng(devices=[]):
        model = SedModel(spec)
    try:
        model.load_state_dict(load_file(folder / WEIGHTS_FILE))
    except (OSError, RuntimeError, SafetensorError) as error:
        raise ValueError(
            f"{folder / WEIGHTS_FILE} does not hold the weights of {SPEC_FILE}: {error}"
        ) from error
    return model.eval(), spec
