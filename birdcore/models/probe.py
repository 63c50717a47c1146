"""A probe: a small head on an external teacher's embeddings, in place of a network of our own.

A model that has heard thousands of species has features that tell others apart as well. Where
there are fifty clips of a class, a head on them learns in minutes what a network from scratch does
not learn at all.

A probe on disk is a folder of `probe.json` (its `ProbeSpec`) and `probe.safetensors` (weights).

Letters in names: B crops, T windows of the teacher, D its embedding's width, K classes.
"""

from pathlib import Path
from typing import Annotated

import torch
from pydantic import BaseModel, ConfigDict, Field
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import log_softmax, relu

from birdcore.config.probe import Pool
from birdcore.json_file import read_json
from birdcore.models.head_output import SedOutput, classifier, initialise, weighted_mean

SPEC_FILE = "probe.json"
WEIGHTS_FILE = "probe.safetensors"
LEAST_PROBABILITY = 1e-7
"""Of a teacher's probability that becomes a logit: float16 has none between this and 0. Most cells
are far below .001, and their order is most of what a ranking is scored by."""


class ProbeSpec(BaseModel):
    """All that decides a probe's shape, and what its inputs and outputs are.

    Attributes:
        classes: K labels, in the order of the outputs.
        width: D.
        hidden: Units of the hidden layer; 0: none, the probe is linear.
        pool: How windows make a clip.
        dropout: Before the last layer.
        own, prior: Weights of the probe's own logits and of the teacher's, of which it gives the
            sum; a class that the teacher does not know has its own alone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    classes: Annotated[tuple[str, ...], Field(min_length=1)]
    width: Annotated[int, Field(gt=0)]
    hidden: Annotated[int, Field(ge=0)] = 512
    pool: Pool = "attention"
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    own: Annotated[float, Field(ge=0)] = 1.0
    prior: Annotated[float, Field(ge=0)] = 0.0


class Probe(nn.Module):
    """Embeddings (B, D, T) and a teacher's logits (B, K, T) to a `SedOutput`, a window a frame.

    Initial weights are drawn from torch's global generator: `torch.manual_seed` fixes them.

    Example:
        >>> probe = Probe(ProbeSpec(classes=("a", "b"), width=8, hidden=4))
        >>> probe(torch.zeros(3, 8, 5), torch.zeros(3, 2, 5)).framewise_logit.shape
        torch.Size([3, 2, 5])
    """

    mean: Tensor
    scale: Tensor
    known: Tensor
    """(K, 1), which classes the teacher knows."""

    def __init__(self, spec: ProbeSpec) -> None:
        super().__init__()
        self.spec = spec
        self.register_buffer("mean", torch.zeros(spec.width, 1))
        self.register_buffer("scale", torch.ones(spec.width, 1))
        self.register_buffer("known", torch.ones(len(spec.classes), 1, dtype=torch.bool))
        width = spec.hidden or spec.width
        self.hidden = nn.Conv1d(spec.width, width, kernel_size=1) if spec.hidden else None
        self.dropout = nn.Dropout(spec.dropout)
        self.classifier = classifier(width, len(spec.classes))
        self.attention = None
        if spec.pool == "attention":
            self.attention = nn.Conv1d(width, len(spec.classes), kernel_size=1)
            initialise(self.attention, 0.0)

    def forward(self, embeddings: Tensor, prior: Tensor) -> SedOutput:
        features = (embeddings - self.mean) * self.scale
        if self.hidden is not None:
            features = relu(self.hidden(features))
        features = self.dropout(features)
        own = self.classifier(features)
        v = torch.where(self.known, self.spec.own * own + self.spec.prior * prior, own)
        if self.spec.pool == "max":
            clip = v.amax(dim=-1)
            return SedOutput(clip, v, clip.sigmoid())
        scores = torch.zeros_like(v)
        if self.attention is not None:
            scores = torch.tanh(self.attention(features))
        return weighted_mean(v, log_softmax(scores, dim=-1), "probability")

    def probabilities(self, embeddings: Tensor, prior: Tensor) -> Tensor:
        """Probabilities (S, K), float32, of S windows by themselves.

        Args:
            embeddings: (S, D).
            prior: The teacher's logits (S, K), 0 for a class that it does not know.
        """
        with torch.inference_mode():
            each: SedOutput = self(embeddings.float()[:, :, None], prior.float()[:, :, None])
        return each.framewise_logit[:, :, 0].sigmoid()

    def with_prior(self, share: float) -> "Probe":
        """The same probe, whose logits are a mean of its own and the teacher's.

        A mean, since two that agree are no surer together: summed, most cells would be below what
        a float can tell from 0.
        """
        probe = Probe(self.spec.model_copy(update={"own": 1 - share, "prior": share}))
        probe.load_state_dict(self.state_dict())
        return probe.eval().requires_grad_(False)


def prior_logits(probabilities: Tensor) -> Tensor:
    """The logits of a teacher's probabilities, finite."""
    return probabilities.float().clamp(LEAST_PROBABILITY, 1 - LEAST_PROBABILITY).logit()


def save_probe(folder: Path, probe: Probe) -> None:
    (folder / SPEC_FILE).write_text(probe.spec.model_dump_json(indent=1) + "\n")
    save_file(probe.state_dict(), folder / WEIGHTS_FILE)


def load_probe_spec(folder: Path) -> ProbeSpec:
    """Raises ValueError where the folder holds no probe."""
    return read_json(folder / SPEC_FILE, ProbeSpec, "probe")


def load_probe(folder: Path) -> Probe:
    """A probe from its folder, for prediction; raises ValueError where there is none."""
    probe, file = Probe(load_probe_spec(folder)), folder / WEIGHTS_FILE
    try:
        probe.load_state_dict(load_file(file))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise ValueError(f"{file} has no weights of {SPEC_FILE}: {error}") from error
    return probe.eval().requires_grad_(False)
