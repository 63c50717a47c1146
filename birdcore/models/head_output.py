"""What all heads have in common: their output, their settings, the precision they compute in."""

from contextlib import AbstractContextManager, nullcontext
from typing import Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

PRIOR_LOGIT = -3.0
"""Initial logit of every class, since most are absent from a clip (Lin et al. 2017)."""

ClipPooling: TypeAlias = Literal["probability", "logit"]


class SedOutput(NamedTuple):
    """The model's outputs for B clips.

    Attributes:
        clipwise_logit: (B, K), what the loss takes.
        framewise_logit: (B, K, T).
        clipwise: (B, K), probabilities for prediction.
        embedding: (B, D), of models that learn an external teacher's.
    """

    clipwise_logit: Tensor
    framewise_logit: Tensor
    clipwise: Tensor
    embedding: Tensor | None = None


class HeadSettings(NamedTuple):
    """Settings of heads; each takes those that it has a use for.

    Attributes:
        pooling: what `clipwise_logit` is a mean of over time: probabilities or logits.
        sharpness: of a log-mean-exp: the lower, the nearer to the mean; the higher, the nearer to
            the maximum.
    """

    pooling: ClipPooling = "probability"
    sharpness: float = 5.0


DEFAULT = HeadSettings()


def classifier(in_features: int, classes: int) -> nn.Conv1d:
    """A linear map of each frame by itself, (B, C, T) to (B, K, T), at its first weights."""
    conv = nn.Conv1d(in_features, classes, kernel_size=1)
    initialise(conv, PRIOR_LOGIT)
    return conv


def initialise(conv: nn.Conv1d, bias: float) -> None:
    nn.init.xavier_uniform_(conv.weight)
    nn.init.constant_(conv.bias, bias)  # type: ignore[arg-type]


def weighted_mean(v: Tensor, log_weight: Tensor, pooling: ClipPooling) -> SedOutput:
    """The output whose clips are means over time, finite for any logits within float32.

    Args:
        v: framewise logits (B, K, T).
        log_weight: logarithms of weights that sum to 1 over time; broadcast to v.
        pooling: what `clipwise_logit` is a mean of.
    """
    # p and 1 - p as sums of logarithms, not clamped: the gradient of a clip that is confidently
    # wrong in every frame does not vanish.
    log_p = torch.logsumexp(log_weight + logsigmoid(v), dim=-1)
    if pooling == "logit":
        logit = (log_weight.exp() * v).sum(dim=-1)
    else:
        logit = log_p - torch.logsumexp(log_weight + logsigmoid(-v), dim=-1)
    return SedOutput(logit, v, log_p.exp())


def full_precision(device: str) -> AbstractContextManager[object]:
    """Autocast off where it is on, and nothing elsewhere, so that an exported graph lacks it."""
    if torch.is_autocast_enabled(device):
        return torch.autocast(device, enabled=False)
    return nullcontext()
