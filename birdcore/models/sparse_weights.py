"""Weights over time that may be exactly 0: sparsemax and entmax 1.5 beside softmax.

A clip of a minute holds a call of a second; softmax gives every other frame a share of the clip as
well. These two map scores z to weights that sum to 1 and leave frames out:

    sparsemax    [z - τ]+          Martins and Astudillo 2016, arXiv:1602.02068, algorithm 1
    entmax 1.5   [z / 2 - τ]+ ²    Peters et al. 2019, arXiv:1905.05702, algorithm 2

Both find τ from sums over sorted scores. The search has no gradient: it yields the frames that
have a weight, and τ is then written as a function of their scores, so that plain autograd
is exact and exporters see ordinary operators. Package `entmax`, to which tests compare them, has
functions with a gradient of their own, which do not export.
"""

import torch
from torch import Tensor

LEAST = -3.0
"""Scores further below the maximum have no weight in either, whatever they are: a bound on what is
squared."""


def sparsemax(scores: Tensor) -> Tensor:
    """Weights (..., T) of scores (..., T): the nearest point of the probability simplex.

    Example:
        >>> sparsemax(torch.tensor([1.0, 0.5, -2.0]))
        tensor([0.7500, 0.2500, 0.0000])
    """
    z = _below_maximum(scores)
    ordered, count = _sorted(z)
    # Of the first k in order: τ = (Σ z - 1) / k, as long as the k-th is above it.
    tau = (ordered.cumsum(dim=-1) - 1) / count
    kept = _kept(z, ordered, tau)
    tau = ((z * kept).sum(dim=-1, keepdim=True) - 1) / kept.sum(dim=-1, keepdim=True)
    return (z - tau).clamp_min(0) * kept


def entmax15(scores: Tensor) -> Tensor:
    """Weights (..., T) of scores (..., T): between softmax and sparsemax.

    Example:
        >>> entmax15(torch.tensor([1.0, 0.5, -2.0]))
        tensor([0.6740, 0.3260, 0.0000])
    """
    z = _below_maximum(scores / 2)
    ordered, count = _sorted(z)
    # Of the first k in order, with their mean m and sum s of squares about it:
    # τ = m - sqrt((1 - s) / k), as long as the k-th is above it.
    mean = ordered.cumsum(dim=-1) / count
    spread = ordered.square().cumsum(dim=-1) - count * mean.square()
    tau = mean - ((1 - spread).clamp_min(0) / count).sqrt()
    kept = _kept(z, ordered, tau)
    number = kept.sum(dim=-1, keepdim=True)
    mean = (z * kept).sum(dim=-1, keepdim=True) / number
    spread = ((z - mean).square() * kept).sum(dim=-1, keepdim=True)
    # Weights of 1 in all leave (1 - s) / k at 1 / k² or more: the root has a gradient.
    tau = mean - ((1 - spread) / number).sqrt()
    return (z - tau).clamp_min(0).square() * kept


def log_weights(weights: Tensor) -> Tensor:
    """Their logarithm, and the lowest float32 where a weight is 0, whose gradient is then 0."""
    some = weights > 0
    return torch.where(some, weights, 1.0).log().masked_fill(~some, torch.finfo(torch.float32).min)


def _below_maximum(scores: Tensor) -> Tensor:
    return (scores - scores.detach().amax(dim=-1, keepdim=True)).clamp_min(LEAST)


def _sorted(z: Tensor) -> tuple[Tensor, Tensor]:
    """Scores without their gradient, the highest first, and 1 ... T."""
    ordered = z.detach().sort(dim=-1, descending=True).values
    return ordered, torch.arange(1, z.shape[-1] + 1, dtype=z.dtype, device=z.device)


def _kept(z: Tensor, ordered: Tensor, tau: Tensor) -> Tensor:
    """1 where a score has a weight, else 0.

    The right τ is that of the last k for which the k-th score has a weight, and the highest of
    these: each further weight raises it. Taken by a maximum, since OpenVINO 2026.4 computes
    GatherElements wrongly here.
    """
    highest = torch.where(tau < ordered, tau, 2 * LEAST).amax(dim=-1, keepdim=True)
    return (z.detach() > highest).to(z.dtype)
