"""Heads that pool over time by one rule for all classes, without attention.

`v` are framewise logits, of a 1x1 convolution of the features; T is the number of frames.

    MeanHead         mean of sigmoid(v), or of v        all frames alike
    MaxHead          maximum of v                       one frame decides
    LogMeanExpHead   1/r log mean exp(r v), or of       between the two
                     sigmoid(v) in place of v
    GemHead          (mean x^p)^(1/p) of features x     between the two, where p is learned
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from birdcore.models.head_output import (
    HeadSettings,
    SedOutput,
    classifier,
    full_precision,
    weighted_mean,
)

LEAST_FEATURE = 1e-6
"""What GeM takes for features at or below 0, of which there are no powers."""
LEAST = 1e-6
"""Nearer to 0, expm1(x) / x and log1p(x) / x are taken as at this x: 1 but for rounding."""


class MeanHead(nn.Module):
    """The mean over time of probabilities or of logits: attention that is the same everywhere.

    Args:
        in_features: C.
        classes: K.
        settings: its `pooling`.
    """

    def __init__(self, in_features: int, classes: int, settings: HeadSettings) -> None:
        super().__init__()
        self.pooling = settings.pooling
        self.cla = classifier(in_features, classes)

    def forward(self, features: Tensor) -> SedOutput:
        with full_precision(features.device.type):
            v: Tensor = self.cla(features.float())
            return weighted_mean(v, v.new_tensor(-math.log(v.shape[-1])), self.pooling)


class MaxHead(nn.Module):
    """The maximum over time, of logits and so of probabilities: multiple-instance learning.

    Args:
        in_features: C.
        classes: K.
        settings: none is of use.
    """

    def __init__(self, in_features: int, classes: int, settings: HeadSettings) -> None:
        super().__init__()
        self.cla = classifier(in_features, classes)

    def forward(self, features: Tensor) -> SedOutput:
        with full_precision(features.device.type):
            v: Tensor = self.cla(features.float())
            highest = v.amax(dim=-1)
            return SedOutput(highest, v, highest.sigmoid())


class LogMeanExpHead(nn.Module):
    """1/r log mean exp(r s) over time (Pinheiro and Collobert 2015, arXiv:1411.6228, eq. 6).

    The scores s are logits, as there, or probabilities.

    Args:
        in_features: C.
        classes: K.
        settings: `pooling` says what s is, `sharpness` is r.
    """

    def __init__(self, in_features: int, classes: int, settings: HeadSettings) -> None:
        super().__init__()
        self.pooling, self.sharpness = settings
        self.cla = classifier(in_features, classes)

    def forward(self, features: Tensor) -> SedOutput:
        with full_precision(features.device.type):
            v: Tensor = self.cla(features.float())
            log_p = _log_share(v, self.sharpness)
            if self.pooling == "logit":
                logit = _log_mean_exp(self.sharpness * v) / self.sharpness
            else:
                # 1 - 1/r log mean exp(r p) is the same of 1 - p with -r.
                logit = log_p - _log_share(-v, -self.sharpness)
            return SedOutput(logit, v, log_p.exp())


class GemHead(nn.Module):
    """Generalised mean of each feature over time, then the classes (Radenović et al. 2018,
    arXiv:1711.02512, eq. 3): p = 1 is the mean, p → ∞ the maximum; one p is learned, from 3.

    A frame's logits are those of a clip that is this frame throughout. Features below 0 count as 0,
    so it suits backbones that end in a ReLU or alike.

    Args:
        in_features: C.
        classes: K.
        settings: none is of use; neither probabilities nor logits are averaged.
    """

    def __init__(self, in_features: int, classes: int, settings: HeadSettings) -> None:
        super().__init__()
        self.cla = classifier(in_features, classes)
        # Its logarithm, so that p stays above 0 and weight decay draws it to the mean.
        self.log_p = nn.Parameter(torch.tensor(math.log(3.0)))

    def forward(self, features: Tensor) -> SedOutput:
        with full_precision(features.device.type):
            positive = features.float().clamp_min(LEAST_FEATURE)
            p = self.log_p.exp()
            pooled = (_log_mean_exp(p * positive.log()) / p).exp()
            logit: Tensor = self.cla(pooled[:, :, None])[:, :, 0]
            return SedOutput(logit, self.cla(positive), logit.sigmoid())


def _log_mean_exp(x: Tensor) -> Tensor:
    return torch.logsumexp(x, dim=-1) - math.log(x.shape[-1])


def _log_share(v: Tensor, r: float) -> Tensor:
    """log(1/r log mean exp(r sigmoid(v))) over time, exact for any logits within float32.

    Where that is small, sigmoid(v) may be 0 in float32. With m, the mean of expm1(r sigmoid(v)), it
    is log(log1p(m) / r), and both steps are logarithms that are known plus those of quotients near
    1: log(m / r) = log mean sigmoid(v) expm1(x) / x with x = r sigmoid(v), and log1p(m) / m.
    """
    exponent = r * v.sigmoid()
    x = _away_from_zero(exponent, r)
    log_mean = _log_mean_exp(logsigmoid(v) + (x.expm1() / x).log())
    m = r * log_mean.exp()
    small = m.abs() < 0.5
    near = _away_from_zero(torch.where(small, m, r), r).clamp(-0.5, 0.5)
    far = torch.where(small, 1.0, _log_mean_exp(exponent) / r)
    return torch.where(small, log_mean + (near.log1p() / near).log(), far.log())


def _away_from_zero(x: Tensor, sign: float) -> Tensor:
    return x.clamp_min(LEAST) if sign > 0 else x.clamp_max(-LEAST)
