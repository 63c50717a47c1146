from typing import get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from birdcore.config.training import HeadName
from birdcore.models.head import HEADS, AttentionHead, ClipPooling, SedOutput

CLIPS: tuple[ClipPooling, ...] = ("probability", "logit")


def panns(head: AttentionHead, features: Tensor) -> tuple[Tensor, Tensor]:
    """Attention and classification as PANNs' AttBlock writes them, in float64."""
    weight, bias = (head.att.weight, head.cla.weight), (head.att.bias, head.cla.bias)
    att, cla = (
        torch.einsum("kc,bct->bkt", w[:, :, 0].double(), features.double()) + b.double()[:, None]  # type: ignore[union-attr]
        for w, b in zip(weight, bias, strict=True)
    )
    return torch.softmax(torch.tanh(att), dim=-1), cla


@pytest.mark.parametrize("clip", CLIPS)
def test_equals_panns(clip: ClipPooling) -> None:
    torch.manual_seed(0)
    head, features = AttentionHead(24, 7, clip), torch.randn(3, 24, 11) * 3
    output = head(features)
    att, cla = panns(head, features)
    probability = (att * cla.sigmoid()).sum(dim=-1)
    logit = (att * cla).sum(dim=-1) if clip == "logit" else torch.logit(probability)
    assert output.framewise_logit.shape == (3, 7, 11)
    torch.testing.assert_close(output.framewise_logit.double(), cla, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(output.clipwise.double(), probability, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(output.clipwise_logit.double(), logit, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("clip", CLIPS)
def test_attention_is_shared_out_over_time(clip: ClipPooling) -> None:
    """The order of frames and the repetition of a clip change nothing, classes do not compete."""
    torch.manual_seed(1)
    head, features = AttentionHead(16, 5, clip), torch.randn(2, 16, 9)
    output = head(features)
    for same in (features.flip(-1), features.repeat(1, 1, 2)):
        torch.testing.assert_close(head(same).clipwise, output.clipwise)
        torch.testing.assert_close(head(same).clipwise_logit, output.clipwise_logit)
    still = head(features[:, :, :1].expand(-1, -1, 9))
    torch.testing.assert_close(still.clipwise_logit, still.framewise_logit[:, :, 0])


@pytest.mark.parametrize("clip", CLIPS)
@given(scale=st.floats(1.0, 1e6), seed=st.integers(0, 1000))
def test_certain_outputs_are_finite(clip: ClipPooling, scale: float, seed: int) -> None:
    torch.manual_seed(seed)
    head = AttentionHead(8, 4, clip)
    output: SedOutput = head(torch.randn(2, 8, 5) * scale)
    output.clipwise_logit.sum().backward()  # type: ignore[no-untyped-call]
    assert all(part.isfinite().all() for part in output[:3])
    assert ((output.clipwise >= 0) & (output.clipwise <= 1 + 1e-6)).all()
    for weight in head.parameters():
        assert weight.grad is not None
        assert weight.grad.isfinite().all()


@pytest.mark.parametrize("clip", CLIPS)
@pytest.mark.parametrize("certain", [-300.0, 300.0])
def test_a_clip_that_is_wrong_in_every_frame_learns(clip: ClipPooling, certain: float) -> None:
    torch.manual_seed(0)
    head = AttentionHead(8, 4, clip)
    torch.nn.init.constant_(head.cla.bias, certain)  # type: ignore[arg-type]
    head(torch.randn(1, 8, 5)).clipwise_logit.sum().backward()
    gradient = head.cla.bias.grad  # type: ignore[union-attr]
    assert gradient is not None
    torch.testing.assert_close(gradient, torch.ones(4), rtol=1e-4, atol=0)


def test_float32_under_autocast() -> None:
    torch.manual_seed(2)
    head, features = AttentionHead(16, 5), torch.randn(2, 16, 9)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = head(features)
    for got, expected in zip(output[:3], head(features)[:3], strict=True):
        assert got.dtype == torch.float32
        torch.testing.assert_close(got, expected, rtol=0, atol=0)


def test_every_head_of_a_recipe_is_listed() -> None:
    assert set(get_args(HeadName)) == HEADS.keys()
