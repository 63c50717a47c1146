"""Heads: from a backbone's features over time to logits of clips and of frames.

To add one: a class with the signature of `Head`, its line in `HEADS`, and its name in
`birdcore.config.training.HeadName`.

The attention head of sound event detection learns which frames decide a clip, class by class. After
PANNs (Kong et al. 2020, github.com/qiuqiangkong/audioset_tagging_cnn, `AttBlock`): two 1x1
convolutions give each frame a classification v and an attention a, and the clip is the mean of
its frames weighted by softmax(tanh(a)) over time. Two means are in use:

    "probability"  Σ softmax(tanh a) · sigmoid(v)    PANNs; trained as it is used
    "logit"        Σ softmax(tanh a) · v             trained so by BirdCLEF+ 2025's 2nd place,
                                                     who predicts with the first form
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Literal, NamedTuple, Protocol, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax, logsigmoid

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


class Head(Protocol):
    """Maps features (B, C, T) to a `SedOutput` of K classes; an `nn.Module`."""

    def __call__(self, features: Tensor) -> SedOutput: ...


class AttentionHead(nn.Module):
    """Attention over time, in float32 even under autocast.

    Args:
        in_features: C.
        classes: K.
        pooling: the mean over time that `clipwise_logit` is: of probabilities or of logits.

    Example:
        >>> AttentionHead(8, 3)(torch.zeros(2, 8, 5)).framewise_logit.shape
        torch.Size([2, 3, 5])
    """

    def __init__(
        self, in_features: int, classes: int, pooling: ClipPooling = "probability"
    ) -> None:
        super().__init__()
        self.pooling = pooling
        self.att = nn.Conv1d(in_features, classes, kernel_size=1)
        self.cla = nn.Conv1d(in_features, classes, kernel_size=1)
        for conv, bias in ((self.att, 0.0), (self.cla, PRIOR_LOGIT)):
            nn.init.xavier_uniform_(conv.weight)
            nn.init.constant_(conv.bias, bias)  # type: ignore[arg-type]

    def forward(self, features: Tensor) -> SedOutput:
        """`clipwise_logit` is finite for any v within float32."""
        with _full_precision(features.device.type):
            features = features.float()
            v: Tensor = self.cla(features)
            log_att = log_softmax(torch.tanh(self.att(features)), dim=-1)
            # p and 1 - p as sums of logarithms, not clamped: the gradient of a clip that is
            # confidently wrong in every frame does not vanish.
            log_p = torch.logsumexp(log_att + logsigmoid(v), dim=-1)
            if self.pooling == "logit":
                logit = (log_att.exp() * v).sum(dim=-1)
            else:
                logit = log_p - torch.logsumexp(log_att + logsigmoid(-v), dim=-1)
            return SedOutput(logit, v, log_p.exp())


HEADS: Mapping[str, Callable[[int, int, ClipPooling], nn.Module]] = {"attention": AttentionHead}
"""By their names in a recipe: built from C, K and the pooling over time; see `Head`."""


def _full_precision(device: str) -> AbstractContextManager[object]:
    """Autocast off where it is on, and nothing elsewhere, so that an exported graph lacks it."""
    if torch.is_autocast_enabled(device):
        return torch.autocast(device, enabled=False)
    return nullcontext()
