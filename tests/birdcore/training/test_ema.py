from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn

from birdcore.training.ema import ema


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))


def steps(model: nn.Module, count: int) -> list[dict[str, Tensor]]:
    """Move weights, statistics and counter of `model`, and return where they went."""
    seen = []
    for _ in range(count):
        with torch.no_grad():
            for weight in model.parameters():
                weight.add_(torch.randn_like(weight))
        model(torch.randn(8, 3))
        seen.append(deepcopy(model.state_dict()))
    return seen


@pytest.mark.parametrize("decay", [0.0, 0.3, 0.999])
def test_equals_the_recursion(model: nn.Module, decay: float) -> None:
    averaged = ema(model, decay)
    other = deepcopy(model)
    states = steps(model, 12)
    expected = {name: value.double() for name, value in states[0].items()}
    for n, state in enumerate(states):
        other.load_state_dict(state)
        averaged.update_parameters(other)
        keep = 0.0 if n == 0 else min(decay, (1 + n) / (10 + n))
        for name, value in state.items():
            expected[name] = keep * expected[name] + (1 - keep) * value.double()
    for name, value in averaged.module.state_dict().items():
        if name.endswith("num_batches_tracked"):
            assert value == states[-1][name]
        else:
            torch.testing.assert_close(value.double(), expected[name], rtol=1e-4, atol=1e-5)


def test_resumes_from_its_state(model: nn.Module) -> None:
    first = ema(model, 0.9)
    steps(model, 1)
    for _ in range(3):
        first.update_parameters(model)
    resumed = ema(model, 0.9)
    resumed.load_state_dict(first.state_dict())
    steps(model, 1)
    for averaged in (first, resumed):
        averaged.update_parameters(model)
    for name, value in first.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[name], value, rtol=0, atol=0)


def test_is_frozen_and_evaluates(model: nn.Module) -> None:
    averaged = ema(model)
    assert not averaged.module.training
    assert not any(weight.requires_grad for weight in averaged.parameters())
    assert model.training
    assert all(weight.requires_grad for weight in model.parameters())


def test_an_impossible_decay_is_refused(model: nn.Module) -> None:
    with pytest.raises(ValueError, match="decay 1"):
        ema(model, 1.0)
