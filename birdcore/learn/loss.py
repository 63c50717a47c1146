"""Losses against soft, multi-label targets, on the clip and, if wanted, on its frames.

Always from logits and in float32, so extreme outputs and bfloat16 stay finite. A mask says which
classes of which samples count: a pseudo-label between two thresholds is neither yes nor no.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits
from torchvision.ops import sigmoid_focal_loss

from birdcore.model.head import SedOutput


def bce(
    output: SedOutput, targets: Tensor, mask: Tensor | None = None, framewise_weight: float = 0.0
) -> Tensor:
    """Binary cross-entropy with targets (B, K) in 0 to 1, the mean over what `mask` (B, K) keeps.

    `framewise_weight` times the same of each class's loudest frame is added, as SED trains.
    All masked: 0, with a gradient of 0.
    """

    def loss(logit: Tensor, target: Tensor) -> Tensor:
        return binary_cross_entropy_with_logits(logit, target, reduction="none")

    return _clip_and_frames(loss, output, targets, mask, framewise_weight)


def focal(
    output: SedOutput,
    targets: Tensor,
    mask: Tensor | None = None,
    framewise_weight: float = 0.0,
    gamma: float = 2.0,
    alpha: float = -1.0,
) -> Tensor:
    """As `bce`, with each term times (1 - p_t)^gamma (Lin et al. 2017).

    `alpha` in 0 to 1 weighs positives against negatives, below 0 not at all.
    Raises ValueError for a gamma below 1, where certain answers have an infinite gradient.
    """
    if gamma < 1:
        raise ValueError(f"focal loss takes gamma >= 1, not {gamma}; gamma = 0 is bce")

    def loss(logit: Tensor, target: Tensor) -> Tensor:
        terms: Tensor = sigmoid_focal_loss(logit, target, alpha=alpha, gamma=gamma)
        return terms

    return _clip_and_frames(loss, output, targets, mask, framewise_weight)


def _clip_and_frames(
    loss: Callable[[Tensor, Tensor], Tensor],
    output: SedOutput,
    targets: Tensor,
    mask: Tensor | None,
    framewise_weight: float,
) -> Tensor:
    targets = targets.float()
    total = _mean(loss(output.clipwise_logit.float(), targets), mask)
    if framewise_weight:
        loudest = output.framewise_logit.float().amax(dim=-1)
        total = total + framewise_weight * _mean(loss(loudest, targets), mask)
    return total


def _mean(terms: Tensor, mask: Tensor | None) -> Tensor:
    if mask is None:
        return terms.mean()
    counted = mask.to(terms)
    return torch.sum(terms * counted) / counted.sum().clamp_min(1.0)
