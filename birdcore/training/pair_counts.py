"""Sums over all pairs of two sets of numbers, in less than quadratic time and memory.

On a short interval softplus and sigmoid are polynomials to 13 digits. So each set is represented by
its Chebyshev moments, cell by cell, and sums run over pairs of cells: the cost grows with the
numbers, not with their pairs (Fong and Darve 2009, "The black-box fast multipole method", in one
dimension).
A hinge has a corner and is no polynomial: its pairs are counted (`sums_below`).
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import conv1d, pad, softplus

NODES = 16
HALF_CELL = 1.0
"""The poles of both functions lie π from the real line: 16 nodes leave an error of 1e-13."""
NEAR_CELLS = 20
"""Beyond 40 apart softplus is the difference or 0, to 1e-17."""
MOST_CELLS = 1 << 16
PAIRS_AT_ONCE = 1 << 22


def softplus_over_pairs(
    low: Tensor, low_weights: Tensor, high: Tensor, high_weights: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Σ_i Σ_j w_i v_j softplus(low_j - high_i), and its gradients by high and by low.

    All of one dimension and float64; `high` with its weights w, `low` with its weights v.
    """
    first = torch.minimum(low.min(), high.min())
    span = float(torch.maximum(low.max(), high.max()) - first)
    cells = int(span / (2 * HALF_CELL)) + 1
    if cells > MOST_CELLS:
        return _pair_by_pair(low, low_weights, high, high_weights)
    of_low, of_high = _Cells(low - first, cells), _Cells(high - first, cells)
    above, below = of_low.moments(low_weights), of_high.moments(high_weights)
    value = (high_weights * of_high.read(_far_and_near(above, softplus, linear=True))).sum()
    slope_high = -high_weights * of_high.read(_far_and_near(above, torch.sigmoid, linear=False))
    # Seen from below, the same sum runs over numbers in the opposite order.
    flipped = _far_and_near(_flip(below), torch.sigmoid, linear=False)
    slope_low = low_weights * of_low.read(_flip(flipped))
    return value, slope_high, slope_low


class _Cells:
    """Numbers from 0 sorted into cells of equal width, as Chebyshev polynomials in each."""

    def __init__(self, x: Tensor, cells: int) -> None:
        self.cells = cells
        self.at = (x / (2 * HALF_CELL)).long().clamp(max=cells - 1)
        self.basis = chebyshev(x / HALF_CELL - (2 * self.at + 1), NODES)

    def moments(self, weights: Tensor) -> Tensor:
        """Weights at the nodes (cells, NODES) that stand for these weighted numbers."""
        sums = self.basis.new_zeros(self.cells, NODES)
        sums.index_add_(0, self.at, self.basis * weights[:, None])
        return sums @ node_matrix(NODES, sums)

    def read(self, at_nodes: Tensor) -> Tensor:
        """A function, known at the nodes (cells, NODES), at the numbers."""
        coefficients = at_nodes @ node_matrix(NODES, at_nodes).T
        return (self.basis * coefficients[self.at]).sum(dim=1)


def chebyshev(x: Tensor, count: int, dim: int = -1) -> Tensor:
    """T_0 to T_{count-1} at x in -1 to 1, on a new dimension."""
    twice = 2 * x
    terms = [torch.ones_like(x), x]
    for _ in range(2, count):
        terms.append(twice * terms[-1] - terms[-2])
    return torch.stack(terms[:count], dim=dim)


def nodes(count: int, like: Tensor) -> Tensor:
    """Chebyshev nodes of the first kind, (count,)."""
    steps = torch.arange(count, dtype=like.dtype, device=like.device)
    return torch.cos(math.pi * (steps + 0.5) / count)


def node_matrix(count: int, like: Tensor) -> Tensor:
    """(count, count): row m, column k is what T_m gives to the polynomial that is 1 at node k."""
    matrix = 2.0 / count * chebyshev(nodes(count, like), count).T
    matrix[0] /= 2
    return matrix


def _far_and_near(weights: Tensor, function: Callable[[Tensor], Tensor], *, linear: bool) -> Tensor:
    """Σ over weighted nodes x of function(x - t), at all nodes t, (cells, NODES).

    `function` is 0 far below 0; far above it is x - t where `linear`, and 1 where not.
    """
    cells = len(weights)
    reach = min(NEAR_CELLS, cells - 1)
    local = nodes(NODES, weights) * HALF_CELL
    offset = torch.arange(-reach, reach + 1, device=weights.device) * 2 * HALF_CELL
    kernel = function(local[None, :, None] - local[:, None, None] + offset[None, None, :])
    near = conv1d(weights.T[None], kernel, padding=reach)[0].T
    if cells <= reach + 1:
        return near
    center = (torch.arange(cells, device=weights.device) * 2 + 1) * HALF_CELL
    x = center[:, None] + local
    beyond = torch.zeros(cells, 2, dtype=weights.dtype, device=weights.device)
    sums = torch.stack([weights.sum(dim=1), (weights * x).sum(dim=1)], dim=1)
    from_top = sums.flip(0).cumsum(0).flip(0)
    beyond[: cells - reach - 1] = from_top[reach + 1 :]
    far = beyond[:, 1:] - x * beyond[:, :1] if linear else beyond[:, :1].expand_as(x)
    return near + far


def _flip(per_node: Tensor) -> Tensor:
    return per_node.flip(0, 1)


def _pair_by_pair(
    low: Tensor, low_weights: Tensor, high: Tensor, high_weights: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """For numbers so far apart that there are more cells than numbers to sort into them."""
    value, slope_low = low.new_zeros(()), torch.zeros_like(low)
    slopes_high = []
    some = max(1, PAIRS_AT_ONCE // len(low))
    for x, w in zip(high.split(some), high_weights.split(some), strict=True):
        apart = low[None] - x[:, None]
        value = value + w @ softplus(apart) @ low_weights
        steep = apart.sigmoid()
        slopes_high.append(-w * (steep @ low_weights))
        slope_low += low_weights * (w @ steep)
    return value, torch.cat(slopes_high), slope_low


def sums_below(values: Tensor, ranks: Tensor, ends: Tensor) -> tuple[Tensor, Tensor]:
    """For each place i of a row, of the places before its end: the sum of the values of those that
    have a lower rank than i, and the number of those that have its own.

    values (V, K, B), ranks (K, B) from 0, ends (E, K, B), 0 to B. Returns (E, V, K, B), (E, K, B).

    A wavelet matrix (Claude and Navarro 2012). Bit by bit of the ranks, from the highest, places
    are parted into those with a 0 and those with a 1, in their order, so that all with the same
    bits so far lie together. j is below i where the first bit in which they differ is 0 in j.
    """
    place = torch.arange(ranks.shape[1], device=ranks.device)
    # Where the places with i's bits begin, and where those before its ends do end.
    at = pad(ends, (0, 0, 0, 0, 1, 0))
    parted, below = ranks, values.new_zeros(len(ends), *values.shape)
    for bit in reversed(range(int(ranks.max()).bit_length())):
        zero, one = (parted >> bit & 1) == 0, (ranks >> bit & 1) == 1
        sums = pad((values * zero).cumsum(dim=2), (1, 0))
        sums = sums.expand(len(at), -1, -1, -1).gather(
            3, at[:, None].expand(-1, len(values), -1, -1)
        )
        below += one * (sums[1:] - sums[:1])
        zeros = pad(zero.cumsum(dim=1), (1, 0))
        before, all_zeros = zeros[:, :-1], zeros[:, -1:]
        to = torch.where(zero, before, all_zeros + place - before)
        parted = torch.empty_like(parted).scatter_(1, to, parted)
        values = torch.empty_like(values).scatter_(2, to.expand_as(values), values)
        zeros = zeros.expand(len(at), -1, -1).gather(2, at)
        at = torch.where(one, all_zeros + at - zeros, zeros)
    return below, at[1:] - at[0]
