"""The attention head of sound event detection: which frames speak for a clip, class by class.

After PANNs (Kong et al. 2020, github.com/qiuqiangkong/audioset_tagging_cnn, `AttBlock`): two 1x1
convolutions give each frame a classification v and an attention a, and the clip is the mean of
its frames weighted by softmax(tanh(a)) over time. Two means are in use:

    "probability"  Σ softmax(tanh a) · sigmoid(v)    PANNs; trained as it is used
    "logit"        Σ softmax(tanh a) · v             trained so by BirdCLEF+ 2025's 2nd place,
                                                     who predicts with the first form
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax, logsigmoid

PRIOR_LOGIT = -3.0
"""What a fresh head says of every class: most birds are not there (Lin et al. 2017)."""

ClipForm = Literal["probability", "logit"]


class SedOutput(NamedTuple):
    """What the model says of a batch of clips.

    clipwise_logit: (B, K), what the loss reads, by the clip form.
    framewise_logit: (B, K, T), v.
    clipwise: (B, K), probabilities for prediction, the first form always.
    embedding: (B, D), of models that learn an outside teacher's.
    """

    clipwise_logit: Tensor
    framewise_logit: Tensor
    clipwise: Tensor
    embedding: Tensor | None = None


class AttBlockV2(nn.Module):
    """Features (B, C, T) to a `SedOutput` of K classes, in float32 even under autocast."""

    def __init__(self, in_features: int, classes: int, clip: ClipForm = "probability") -> None:
        super().__init__()
        self.clip = clip
        self.att = nn.Conv1d(in_features, classes, kernel_size=1)
        self.cla = nn.Conv1d(in_features, classes, kernel_size=1)
        for conv, bias in ((self.att, 0.0), (self.cla, PRIOR_LOGIT)):
            nn.init.xavier_uniform_(conv.weight)
            nn.init.constant_(conv.bias, bias)  # type: ignore[arg-type]

    def forward(self, features: Tensor) -> SedOutput:
        """Weigh the frames. `clipwise_logit` is finite for any v of float32's size."""
        with _full_precision(features.device.type):
            features = features.float()
            v: Tensor = self.cla(features)
            log_att = log_softmax(torch.tanh(self.att(features)), dim=-1)
            # p and 1-p as sums of logarithms, not clamped: a clip that is wrong in every frame
            # and sure of it still learns.
            log_p = torch.logsumexp(log_att + logsigmoid(v), dim=-1)
            if self.clip == "logit":
                logit = (log_att.exp() * v).sum(dim=-1)
            else:
                logit = log_p - torch.logsumexp(log_att + logsigmoid(-v), dim=-1)
            return SedOutput(logit, v, log_p.exp())


def _full_precision(device: str) -> AbstractContextManager[object]:
    """Autocast off, where it is on: an exported model shall hold no trace of it."""
    if torch.is_autocast_enabled(device):
        return torch.autocast(device, enabled=False)
    return nullcontext()
