"""Sparse weights over time: values and gradients are those of package `entmax`."""

from collections.abc import Callable

import entmax
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from birdcore.models.sparse_weights import entmax15, log_weights, sparsemax

Weights = Callable[[Tensor], Tensor]
PAIRS = [(sparsemax, entmax.sparsemax), (entmax15, entmax.entmax15)]
pairs = pytest.mark.parametrize(("ours", "theirs"), PAIRS, ids=["sparsemax", "entmax15"])


def difference(ours: Weights, theirs: Weights, scores: Tensor) -> tuple[float, float]:
    """Of values and of gradients, at most."""
    toward = torch.randn(scores.shape, generator=torch.Generator().manual_seed(1)).to(scores.dtype)
    found, expected = (scores.clone().requires_grad_() for _ in range(2))
    outputs = [ours(found), theirs(expected)]
    gradients = [
        torch.autograd.grad((output * toward).sum(), scores)[0]
        for output, scores in zip(outputs, (found, expected), strict=True)
    ]
    values = [output.detach() for output in outputs]
    return (
        float((values[0] - values[1]).abs().max()),
        float((gradients[0] - gradients[1]).abs().max()),
    )


@pairs
@settings(max_examples=60, deadline=None)
@given(
    frames=st.sampled_from([1, 2, 3, 10, 60, 313]),
    scale=st.sampled_from([1e-3, 0.1, 1.0, 10.0, 1e4]),
    seed=st.integers(0, 1000),
)
def test_equals_the_package(
    ours: Weights, theirs: Weights, frames: int, scale: float, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    scores = scale * torch.randn(3, 4, frames, generator=generator, dtype=torch.float64)
    value, gradient = difference(ours, theirs, scores)
    assert value < 1e-12
    assert gradient < 1e-10
    value, gradient = difference(ours, theirs, scores.float())
    assert value < 3e-6
    assert gradient < 3e-5


@pairs
@pytest.mark.parametrize("scores", [[0.0] * 7, [1.0, 1.0, -1.0, -1.0], [1.0, -1.0], [5.0, 5.0, 4]])
def test_equals_the_package_for_equal_scores(
    ours: Weights, theirs: Weights, scores: list[float]
) -> None:
    value, gradient = difference(ours, theirs, torch.tensor(scores, dtype=torch.float64))
    assert value < 1e-12
    assert gradient < 1e-12


@pairs
def test_weights_of_extreme_scores_sum_to_one(ours: Weights, theirs: Weights) -> None:
    scores = torch.tensor([[1e30, 0.0, -1e30], [-1e30, -1e30, -1e30], [1e-30, 0.0, 3e37]])
    weights = ours(scores.requires_grad_())
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(3))
    weights.square().sum().backward()  # type: ignore[no-untyped-call]
    assert scores.grad is not None
    assert scores.grad.isfinite().all()


def test_the_logarithm_of_no_weight_has_no_gradient() -> None:
    weights = torch.tensor([0.25, 0.75, 0.0], requires_grad=True)
    logs = log_weights(weights)
    torch.testing.assert_close(logs.exp(), weights)
    logs.logsumexp(dim=-1).backward()  # type: ignore[no-untyped-call]
    assert weights.grad is not None
    torch.testing.assert_close(weights.grad, torch.tensor([1.0, 1.0, 0.0]))
