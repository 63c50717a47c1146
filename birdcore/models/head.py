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

Entmax and sparsemax in softmax's place (sparse_weights.py) give frames a weight of 0. Heads
without attention are in pooling_heads.py.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax

from birdcore.models.head_output import (
    DEFAULT,
    PRIOR_LOGIT,
    ClipPooling,
    HeadSettings,
    SedOutput,
    full_precision,
    initialise,
    weighted_mean,
)
from birdcore.models.pooling_heads import GemHead, LogMeanExpHead, MaxHead, MeanHead
from birdcore.models.sparse_weights import entmax15, log_weights, sparsemax

__all__ = ["HEADS", "AttentionHead", "ClipPooling", "Head", "HeadSettings", "SedOutput"]


class Head(Protocol):
    """Maps features (B, C, T) to a `SedOutput` of K classes; an `nn.Module`."""

    def __call__(self, features: Tensor) -> SedOutput: ...


class AttentionHead(nn.Module):
    """Attention over time, in float32 even under autocast.

    Args:
        in_features: C.
        classes: K.
        settings: its `pooling`.
        weights: from scores over time to weights that sum to 1; softmax where none is given.

    Example:
        >>> AttentionHead(8, 3)(torch.zeros(2, 8, 5)).framewise_logit.shape
        torch.Size([2, 3, 5])
    """

    def __init__(
        self,
        in_features: int,
        classes: int,
        settings: HeadSettings = DEFAULT,
        weights: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.pooling, self.weights = settings.pooling, weights
        self.att = nn.Conv1d(in_features, classes, kernel_size=1)
        self.cla = nn.Conv1d(in_features, classes, kernel_size=1)
        initialise(self.att, 0.0)
        initialise(self.cla, PRIOR_LOGIT)

    def forward(self, features: Tensor) -> SedOutput:
        """`clipwise_logit` is finite for any v within float32."""
        with full_precision(features.device.type):
            features = features.float()
            v: Tensor = self.cla(features)
            scores = torch.tanh(self.att(features))
            if self.weights is None:
                log_att = log_softmax(scores, dim=-1)
            else:
                log_att = log_weights(self.weights(scores))
            return weighted_mean(v, log_att, self.pooling)


HEADS: Mapping[str, Callable[[int, int, HeadSettings], nn.Module]] = {
    "attention": AttentionHead,
    "entmax": partial(AttentionHead, weights=entmax15),
    "sparsemax": partial(AttentionHead, weights=sparsemax),
    "gem": GemHead,
    "mean": MeanHead,
    "max": MaxHead,
    "logmeanexp": LogMeanExpHead,
}
"""By their names in a recipe: built from C, K and the settings of heads; see `Head`."""
