import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR

from birdcore.training.schedule import learning_rate


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
