"""Losses on the order of logits: what macro ROC-AUC scores is which row of a class comes first.

`soft_auc` is the one that 4th place 2025 trained with (public score .850 to .901). The others are
the three forms of the knowledge card that the field copies; they order probabilities class by
class, and those with a margin of 1 or more are straight lines: a probability is never a whole
margin above another, so the hinge never rests (their gradient is a constant times the sigmoid's).

All take logits and targets in 0 to 1, both (B, K), and a mask (B, K) of what counts. No form
holds a tensor of B · B · K pairs. Without a pair the loss is 0, with a gradient of 0.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import relu
from torch.utils.checkpoint import checkpoint

from birdcore.learn.pairs import PAIRS_AT_ONCE, chebyshev, node_matrix, nodes, softplus_over_pairs

HALVES_NODES = 14
"""For the sigmoid of differences of probabilities: 1e-14."""


def soft_auc(
    logits: Tensor, targets: Tensor, mask: Tensor | None = None, margin: float = 1.0
) -> Tensor:
    """4th place 2025: P are all logits of the batch with y > .5, N those with y < .5, pooled.

    L = 1/|P||N| Σ_P Σ_N (y_i - .5)(.5 - y_j) · softplus(-margin · (s_i - s_j))
    """
    _check(margin)
    counted = torch.ones_like(targets, dtype=torch.bool) if mask is None else mask.bool()
    high, low = (targets > 0.5) & counted, (targets < 0.5) & counted
    s, y = logits.double() * margin, targets.double()
    if not high.any() or not low.any():
        return logits.sum() * 0.0
    loss: Tensor = _SoftAUC.apply(  # type: ignore[no-untyped-call]
        s[low], 0.5 - y[low], s[high], y[high] - 0.5
    )
    return loss.to(logits.dtype)


class _SoftAUC(torch.autograd.Function):
    """The gradients cost as much as the value, so both are taken in one go."""

    @staticmethod
    def forward(
        ctx: Any, low: Tensor, low_weights: Tensor, high: Tensor, high_weights: Tensor
    ) -> Tensor:
        value, by_high, by_low = softplus_over_pairs(low, low_weights, high, high_weights)
        pairs = len(low) * len(high)
        ctx.save_for_backward(by_high / pairs, by_low / pairs)
        return value / pairs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        by_high, by_low = ctx.saved_tensors
        return gradient * by_low, None, gradient * by_high, None


def halves_auc(logits: Tensor, targets: Tensor, mask: Tensor | None = None) -> Tensor:
    """The card's `SoftAUCLoss`: class by class, the half with the higher targets above the other.

    The mean of sigmoid(-(p_i - p_j)), i of the upper half, j of the lower; of equal targets the
    first rows are taken for the upper half.
    """
    counted = torch.ones_like(targets, dtype=torch.bool) if mask is None else mask.bool()
    order = (
        targets.double().masked_fill(~counted, -1.0).argsort(dim=0, descending=True, stable=True)
    )
    rank = torch.empty_like(order)
    rank.scatter_(0, order, torch.arange(len(order), device=order.device)[:, None].expand_as(order))
    count = counted.sum(dim=0)
    upper = rank < count // 2
    lower = counted & ~upper
    # All p lie in one cell, -1 to 1 after scaling, where the sigmoid is a polynomial.
    basis = chebyshev(2 * logits.double().sigmoid() - 1, HALVES_NODES)
    to_nodes = node_matrix(HALVES_NODES, basis)
    above, below = (
        torch.einsum("bkm,bk->km", basis, part.to(basis)) @ to_nodes for part in (upper, lower)
    )
    at = nodes(HALVES_NODES, basis) / 2
    sums = torch.einsum("kn,nm,km->k", above, torch.sigmoid(at[None] - at[:, None]), below)
    pairs = upper.sum(dim=0) * lower.sum(dim=0)
    return _mean_of_classes(sums, pairs).to(logits.dtype)


def hinge_auc(
    logits: Tensor, targets: Tensor, mask: Tensor | None = None, margin: float = 1.0
) -> Tensor:
    """The card's `ImprovedAUCLoss`: class by class, the mean over pairs with y_i > y_j of
    max(0, margin - (p_i - p_j)); then the mean over classes that have such a pair."""
    return _hinge(logits, targets, mask, margin, weighted=False)


def weighted_hinge_auc(
    logits: Tensor,
    targets: Tensor,
    mask: Tensor | None = None,
    margin: float = 1.0,
    temperature: float = 1.0,
    class_weights: Tensor | None = None,
) -> Tensor:
    """The card's `SoftAUCLoss_Advanced`: as `hinge_auc`, each pair weighted by y_i - y_j.

    p = sigmoid(logit / temperature); a class counts `class_weights` (K,) times (`rarity_weights`
    are the frequencies that the card leaves open).
    """
    _check(temperature)
    return _hinge(
        logits / temperature, targets, mask, margin, weighted=True, class_weights=class_weights
    )


def rarity_weights(labels: Tensor) -> Tensor:
    """Weights (K,) that rise as classes get rarer in labels (R, K): N / (K · n), 1 on average.

    A class without recordings weighs as one with a single one. (scikit-learn's "balanced".)
    """
    count = (labels >= 1).sum(dim=0).clamp(min=1).double()
    weights = 1.0 / count
    return weights / weights.mean()


def _hinge(
    logits: Tensor,
    targets: Tensor,
    mask: Tensor | None,
    margin: float,
    *,
    weighted: bool,
    class_weights: Tensor | None = None,
) -> Tensor:
    _check(margin)
    counted = torch.ones_like(targets, dtype=torch.bool) if mask is None else mask.bool()
    p, y = logits.double().sigmoid().T, targets.double().T.contiguous()
    # Class by class (K, B) from here on.
    lower, higher = _standing(y, counted.T, weighted)
    pairs = lower.sum(dim=1)
    if margin >= 1:
        sums = margin * pairs + (p * (higher - lower)).sum(dim=1)
    else:
        sums = _hinge_pairs(p, y, counted.T, margin, weighted)
    return _mean_of_classes(sums, pairs, class_weights).to(logits.dtype)


def _standing(y: Tensor, counted: Tensor, weighted: bool) -> tuple[Tensor, Tensor]:
    """For each row of y (K, B): how many stand below it, and above it; or by how much, summed."""
    ordered = y.masked_fill(~counted, torch.inf).sort(dim=1).values
    total = counted.sum(dim=1, keepdim=True)
    below = torch.searchsorted(ordered, y)
    up_to = torch.minimum(torch.searchsorted(ordered, y, right=True), total)
    lower, higher = below.to(y), (total - up_to).to(y)
    if weighted:
        sums = torch.nn.functional.pad(ordered.masked_fill(ordered.isinf(), 0.0), (1, 0)).cumsum(1)
        lower = y * lower - sums.gather(1, below)
        higher = sums[:, -1:] - sums.gather(1, up_to) - y * higher
    return lower * counted, higher * counted


def _hinge_pairs(p: Tensor, y: Tensor, counted: Tensor, margin: float, weighted: bool) -> Tensor:
    """Sums (K,) pair by pair, some classes at a time, and once more for the gradient."""

    def some(p: Tensor, y: Tensor, counted: Tensor) -> Tensor:
        ahead = (y[:, :, None] - y[:, None, :]).clamp_min(0.0)
        ahead = ahead * (counted[:, :, None] & counted[:, None, :])
        weight = ahead if weighted else (ahead > 0).to(p)
        return (relu(margin - (p[:, :, None] - p[:, None, :])) * weight).sum(dim=(1, 2))

    classes = max(1, PAIRS_AT_ONCE // p.shape[1] ** 2)
    parts = zip(p.split(classes), y.split(classes), counted.split(classes), strict=True)
    return torch.cat([checkpoint(some, *part, use_reentrant=False) for part in parts])


def _mean_of_classes(sums: Tensor, pairs: Tensor, weights: Tensor | None = None) -> Tensor:
    means = sums / torch.where(pairs > 0, pairs, 1.0)
    if weights is not None:
        means = means * weights.to(means)
    present = pairs > 0
    return torch.where(present, means, 0.0).sum() / present.sum().clamp(min=1)


def _check(positive: float) -> None:
    if not positive > 0:
        raise ValueError(f"margin and temperature are above 0, not {positive:g}")
