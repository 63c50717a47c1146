"""Ranking losses: macro ROC-AUC scores the order of a class's logits, and these train it.

`soft_auc` is the one that 4th place 2025 trained with (public score .850 to .901). The others are
three forms that public notebooks copy from a knowledge card; they order probabilities class by
class. With a margin of 1 or more their hinge is always active, since no probability is a whole
margin above another: they are linear in the probabilities.

All take logits (B, K), targets (B, K) in 0 to 1, and a mask (B, K) of the targets that count. None
holds a tensor of B · B · K pairs. Without a pair the loss is 0, and so is its gradient.

    >>> soft_auc(torch.tensor([[2.0], [-2.0]]), torch.tensor([[1.0], [0.0]]))
    tensor(0.0045)
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import pad

from birdcore.training.pair_counts import (
    chebyshev,
    node_matrix,
    nodes,
    softplus_over_pairs,
    sums_below,
)

HALVES_NODES = 10
"""For the sigmoid of differences of probabilities: 1e-14, and 1e-10 for its slope."""


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
    """The card's `SoftAUCLoss`: class by class, the half with the higher targets over the other.

    The mean of sigmoid(-(p_i - p_j)), i of the upper half, j of the lower; of equal targets the
    first rows are taken for the upper half.
    """
    counted = torch.ones_like(targets, dtype=torch.bool) if mask is None else mask.bool()
    # Class by class (K, B) from here on, by falling targets; what does not count comes last.
    order = _sort(targets.T.masked_fill(~counted.T, -1.0), descending=True)[1]
    p = logits.T.gather(1, order).double().sigmoid()
    place, count = torch.arange(len(logits), device=p.device), counted.sum(dim=0)[:, None]
    upper, lower = place < count // 2, (place >= count // 2) & (place < count)
    sums, slopes = _sigmoid_over_pairs(p.detach(), upper, lower)
    sums = sums + ((p - p.detach()) * slopes).sum(dim=1)
    pairs = upper.sum(dim=1) * lower.sum(dim=1)
    return _mean_of_classes(sums, pairs).to(logits.dtype)


def _sigmoid_over_pairs(p: Tensor, upper: Tensor, lower: Tensor) -> tuple[Tensor, Tensor]:
    """Sums (K,) of sigmoid(p_j - p_i), i of `upper`, j of `lower`, and their slopes by p (K, B).

    All p lie in one cell, -1 to 1 after scaling, where the sigmoid and its slope are polynomials.
    """
    basis = chebyshev(2 * p - 1, HALVES_NODES, dim=1)
    to_nodes, at = node_matrix(HALVES_NODES, p), nodes(HALVES_NODES, p) / 2
    moments = basis @ torch.stack([upper, lower], dim=2).to(p)
    above, below = (to_nodes.T @ moments).unbind(dim=2)
    between = torch.sigmoid(at - at[:, None])
    steep = between * (1 - between)
    at_nodes = torch.stack([-below @ steep.T, above @ steep], dim=1)
    slopes = at_nodes @ to_nodes.T @ basis
    return (above @ between * below).sum(dim=1), slopes[:, 0] * upper + slopes[:, 1] * lower


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
    # Class by class (K, B) from here on, by rising targets; what does not count comes last.
    y, order = _sort(targets.T.masked_fill(~counted.T, torch.inf))
    p = logits.T.gather(1, order).double().sigmoid()
    total = counted.sum(dim=0, dtype=torch.int32)[:, None]
    lower, higher = _pair_counts(y, total, weighted)
    pairs = lower.sum(dim=1, dtype=torch.double)
    if margin < 1:
        lower, higher = _active_pair_counts(p.detach(), y, total, lower, margin, weighted)
    active = lower.sum(dim=1, dtype=torch.double)
    sums = margin * active + (p * (higher - lower)).sum(dim=1)
    return _mean_of_classes(sums, pairs, class_weights).to(logits.dtype)


def _sort(y: Tensor, *, descending: bool = False) -> tuple[Tensor, Tensor]:
    """Each row in order, and where it was; of equals the first remains the first.

    The bits of numbers from 0 are integers of the same order, which sort in .6 of the time.
    """
    integer = {2: torch.int16, 4: torch.int32, 8: torch.int64}[y.itemsize]
    bits = (y + 0.0).contiguous().view(integer)  # + 0.0, since -0.0 has other bits than 0.0
    ordered, order = bits.sort(dim=1, descending=descending, stable=True)
    return ordered.view(y.dtype), order


def _pair_counts(y: Tensor, total: Tensor, weighted: bool) -> tuple[Tensor, Tensor]:
    """For each element of y (K, B), rising within a class, of which the first `total` (K, 1) count:
    the number of lower ones and of higher ones; or (weighted) the sums of the differences."""
    place = torch.arange(y.shape[1], device=y.device, dtype=torch.int32)
    counted = place < total
    if weighted:  # equals weigh nothing against each other, so their order is all the same
        y = y.masked_fill(~counted, 0.0).double()
        up_to = y.cumsum(dim=1)
        lower = y * (place + 1) - up_to
        higher = up_to[:, -1:] - up_to - y * (total - place - 1)
    else:
        rises = y[:, 1:] > y[:, :-1]
        first, last = pad(rises, (1, 0), value=True), pad(rises, (0, 1), value=True)
        lower = torch.where(first, place, 0).cummax(dim=1).values
        end = torch.where(last, place + 1, len(place)).flip(1).cummin(dim=1).values.flip(1)
        higher = total - end
    return lower * counted, higher * counted


def _active_pair_counts(
    p: Tensor, y: Tensor, total: Tensor, lower: Tensor, margin: float, weighted: bool
) -> tuple[Tensor, Tensor]:
    """`lower` and `higher` of `_pair_counts`, of the pairs whose hinge is active alone:
    p_i - p_j < margin."""
    counted = torch.arange(y.shape[1], device=y.device) < total
    rank = pad(y[:, 1:] > y[:, :-1], (1, 0)).cumsum(dim=1)
    p, order = p.masked_fill(~counted, torch.inf).sort(dim=1)
    y = y.double().masked_fill(~counted, 0.0).gather(1, order)
    inactive = torch.searchsorted(p, p - margin, right=True)
    near = torch.searchsorted(p, p + margin)
    values = torch.stack([torch.ones_like(y), y] if weighted else [torch.ones_like(y)])
    below, equal = sums_below(values, rank.gather(1, order), torch.stack([inactive, near]))
    if weighted:
        inactive_lower = y * below[0, 0] - below[0, 1]
        up_to = pad(y.cumsum(dim=1), (1, 0)).gather(1, near)
        higher = up_to - below[1, 1] - y * (near - below[1, 0])
    else:
        inactive_lower, higher = below[0, 0], near - below[1, 0] - equal[1]
    inactive_lower, higher = (
        torch.empty_like(y).scatter_(1, order, counts) for counts in (inactive_lower, higher)
    )
    return (lower - inactive_lower) * counted, higher * counted


def _mean_of_classes(sums: Tensor, pairs: Tensor, weights: Tensor | None = None) -> Tensor:
    means = sums / torch.where(pairs > 0, pairs, 1.0)
    if weights is not None:
        means = means * weights.to(means)
    present = pairs > 0
    return torch.where(present, means, 0.0).sum() / present.sum().clamp(min=1)


def _check(positive: float) -> None:
    if not positive > 0:
        raise ValueError(f"margin and temperature are above 0, not {positive:g}")
