"""Learning-rate schedule and averages of weights."""

from copy import deepcopy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR

from birdcore.training.optimisation import ema, learning_rate


def torch_rates(total: int, warmup: int, peak: float, final: float) -> list[float]:
    """LinearLR until the peak, then CosineAnnealingLR, read off an optimiser."""
    rates = []
    for part, steps in (("up", warmup), ("down", total - warmup)):
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=peak)
        scheduler = (
            LinearLR(optimizer, 1 / (warmup + 1), total_iters=max(1, warmup))
            if part == "up"
            else CosineAnnealingLR(optimizer, max(1, total - 1 - warmup), eta_min=final)
        )
        for _ in range(steps):
            rates.append(float(optimizer.param_groups[0]["lr"]))
            optimizer.step()
            scheduler.step()
    return rates


@pytest.mark.parametrize(("total", "warmup"), [(50, 10), (50, 0), (7, 6), (2, 1), (1, 0)])
def test_equals_torchs_schedulers(total: int, warmup: int) -> None:
    rates = [learning_rate(step, total, warmup, 5e-4, 1e-6) for step in range(total)]
    assert rates == pytest.approx(torch_rates(total, warmup, 5e-4, 1e-6), rel=1e-6)


@given(total=st.integers(2, 500), share=st.floats(0, 0.9))
def test_up_then_down(total: int, share: float) -> None:
    warmup = min(int(total * share), total - 2)
    rates = [learning_rate(step, total, warmup, 1.0, 0.01) for step in range(total)]
    assert rates[warmup] == max(rates) == 1.0
    assert rates[:warmup] == sorted(rates[:warmup])
    assert rates[warmup:] == sorted(rates[warmup:], reverse=True)
    assert min(rates) > 0
    assert rates[-1] == learning_rate(total + 5, total, warmup, 1.0, 0.01) == pytest.approx(0.01)


@pytest.mark.parametrize(("step", "total", "warmup"), [(-1, 10, 0), (0, 10, 10), (0, 10, -1)])
def test_impossible_steps_are_refused(step: int, total: int, warmup: int) -> None:
    with pytest.raises(ValueError, match="warm-up"):
        learning_rate(step, total, warmup, 1.0)


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
