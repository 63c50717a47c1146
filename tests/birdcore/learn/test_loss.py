from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy, binary_cross_entropy_with_logits

from birdcore.learn.loss import bce, focal
from birdcore.model.head import AttBlockV2, SedOutput

Loss = Callable[..., Tensor]


def draw(scale: float = 2.0) -> tuple[SedOutput, Tensor]:
    generator = torch.Generator().manual_seed(0)
    frames = torch.randn(6, 5, 9, generator=generator) * scale
    logit = torch.randn(6, 5, generator=generator) * scale
    targets = torch.rand(6, 5, generator=generator)
    targets[:3] = targets[:3].round()
    return SedOutput(logit, frames, logit.sigmoid()), targets


def focal_reference(logit: Tensor, target: Tensor, gamma: float) -> Tensor:
    """Lin et al. 2017, eq. 4, with p_t taken between the two answers for soft targets."""
    p, t = logit.double().sigmoid(), target.double()
    p_t = p * t + (1 - p) * (1 - t)
    return (1 - p_t) ** gamma * -(t * p.log() + (1 - t) * (1 - p).log())


def test_bce_equals_torch() -> None:
    output, targets = draw()
    expected = binary_cross_entropy(output.clipwise.double(), targets.double())
    torch.testing.assert_close(bce(output, targets).double(), expected, rtol=1e-5, atol=0)


def test_bce_of_the_head_is_bce_on_its_probabilities() -> None:
    torch.manual_seed(0)
    output = AttBlockV2(8, 5)(torch.randn(6, 8, 7))
    _, targets = draw()
    expected = binary_cross_entropy(output.clipwise, targets)
    torch.testing.assert_close(bce(output, targets), expected)


@pytest.mark.parametrize("gamma", [1.0, 2.0, 3.5])
def test_focal_equals_its_formula(gamma: float) -> None:
    output, targets = draw()
    expected = focal_reference(output.clipwise_logit, targets, gamma).mean()
    got = focal(output, targets, gamma=gamma).double()
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=0)


def test_frames_add_their_loudest() -> None:
    output, targets = draw()
    loudest = output.framewise_logit.amax(dim=-1)
    expected = bce(output, targets) + 0.5 * binary_cross_entropy_with_logits(loudest, targets)
    torch.testing.assert_close(bce(output, targets, framewise_weight=0.5), expected)
    expected = focal(output, targets) + 0.5 * focal_reference(loudest, targets, 2.0).mean().float()
    torch.testing.assert_close(focal(output, targets, framewise_weight=0.5), expected)


@pytest.mark.parametrize("loss", [bce, focal])
def test_a_mask_leaves_classes_out(loss: Loss) -> None:
    output, targets = draw()
    mask = torch.zeros(6, 5, dtype=torch.bool)
    mask[:, 1:3] = True
    kept = SedOutput(*(part[:, 1:3] for part in output))
    expected = loss(kept, targets[:, 1:3], framewise_weight=0.3)
    torch.testing.assert_close(loss(output, targets, mask, framewise_weight=0.3), expected)


@pytest.mark.parametrize("loss", [bce, focal])
def test_nothing_counted_is_zero_with_a_gradient(loss: Loss) -> None:
    output, targets = draw()
    logit = output.clipwise_logit.requires_grad_()
    total = loss(SedOutput(logit, *output[1:]), targets, torch.zeros(6, 5))
    total.backward()  # type: ignore[no-untyped-call]
    assert total == 0
    assert logit.grad is not None
    assert (logit.grad == 0).all()


@pytest.mark.parametrize("loss", [bce, focal])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_extreme_outputs_are_finite(loss: Loss, dtype: torch.dtype) -> None:
    output, targets = draw(scale=1e4)
    logit = output.clipwise_logit.to(dtype).requires_grad_()
    frames = output.framewise_logit.to(dtype).requires_grad_()
    total = loss(SedOutput(logit, frames, output.clipwise), targets.to(dtype), None, 1.0)
    total.backward()  # type: ignore[no-untyped-call]
    assert total.dtype == torch.float32
    assert total.isfinite()
    assert logit.grad is not None
    assert frames.grad is not None
    assert logit.grad.isfinite().all()
    assert frames.grad.isfinite().all()


def test_a_small_gamma_is_refused() -> None:
    with pytest.raises(ValueError, match="gamma >= 1"):
        focal(*draw(), gamma=0.5)
