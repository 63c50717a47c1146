import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import softplus

from birdcore.training import pair_counts as pairs
from birdcore.training.pair_counts import softplus_over_pairs, sums_below


def plain(low: Tensor, v: Tensor, high: Tensor, w: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    low, high = low.clone().requires_grad_(), high.clone().requires_grad_()
    value = (w[:, None] * v[None] * softplus(low[None] - high[:, None])).sum()
    by_high, by_low = torch.autograd.grad(value, [high, low])
    return value.detach(), by_high, by_low


def draw(many: int, few: int, scale: float, seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    low, high = (torch.randn(n, generator=generator).double() * scale for n in (many, few))
    v, w = (torch.rand(n, generator=generator).double() for n in (many, few))
    return low, v, high + scale / 3, w


@pytest.mark.parametrize("scale", [1e-6, 0.1, 1.0, 5.0, 30.0, 300.0, 1e4, 1e6, 1e9])
def test_equals_the_pairs(scale: float) -> None:
    given = draw(300, 40, scale)
    for ours, theirs in zip(softplus_over_pairs(*given), plain(*given), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-8)


@given(
    st.lists(st.floats(-200, 200), min_size=1, max_size=8),
    st.lists(st.floats(-200, 200), min_size=1, max_size=8),
)
def test_any_numbers(low: list[float], high: list[float]) -> None:
    few, many = (torch.tensor(part, dtype=torch.float64) for part in (high, low))
    given = (many, torch.ones_like(many), few, torch.ones_like(few))
    for ours, theirs in zip(softplus_over_pairs(*given), plain(*given), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-8)


def test_few_numbers_far_apart_are_taken_pair_by_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs, "PAIRS_AT_ONCE", 64)  # several rounds of high numbers
    given = draw(30, 20, 1e7)
    for ours, theirs in zip(softplus_over_pairs(*given), plain(*given), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def test_one_pair_by_hand() -> None:
    one = torch.ones(1, dtype=torch.float64)
    value, by_high, by_low = softplus_over_pairs(2 * one, 3 * one, -one, 5 * one)
    assert float(value) == pytest.approx(15 * math.log1p(math.exp(3)))
    slope = 15 / (1 + math.exp(-3))
    assert [float(by_high), float(by_low)] == pytest.approx([-slope, slope])


@given(st.integers(1, 20), st.integers(1, 20), st.integers(0, 1 << 30))
def test_sums_below_equal_the_pairs(count: int, ranks: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    rank = torch.randint(ranks, (3, count), generator=generator)
    ends = torch.randint(count + 1, (2, 3, count), generator=generator)
    values = torch.rand(2, 3, count, generator=generator).double()
    before = torch.arange(count) < ends[..., None]
    lower = before & (rank[:, None, :] < rank[:, :, None])
    same = before & (rank[:, None, :] == rank[:, :, None])
    below, equal = sums_below(values, rank, ends)
    torch.testing.assert_close(below, torch.einsum("ekij,vkj->evki", lower.double(), values))
    assert torch.equal(equal, same.sum(dim=3))
