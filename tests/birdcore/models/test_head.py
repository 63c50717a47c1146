import math
from collections.abc import Callable
from itertools import pairwise
from typing import get_args

import entmax
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from birdcore.config.training import HeadName
from birdcore.models.head import HEADS, AttentionHead, ClipPooling, HeadSettings, SedOutput

CLIPS: tuple[ClipPooling, ...] = ("probability", "logit")
EACH = [(name, clip) for name in HEADS for clip in CLIPS if (name, clip) != ("gem", "logit")]
each_head = pytest.mark.parametrize(("name", "clip"), EACH)


def head_of(name: str, clip: ClipPooling, width: int, classes: int) -> torch.nn.Module:
    return HEADS[name](width, classes, HeadSettings(clip))


def panns(head: AttentionHead, features: Tensor) -> tuple[Tensor, Tensor]:
    """Scores of attention and classification as PANNs' AttBlock writes them, in float64."""
    weight, bias = (head.att.weight, head.cla.weight), (head.att.bias, head.cla.bias)
    att, cla = (
        torch.einsum("kc,bct->bkt", w[:, :, 0].double(), features.double()) + b.double()[:, None]  # type: ignore[union-attr]
        for w, b in zip(weight, bias, strict=True)
    )
    return torch.tanh(att), cla


WEIGHTS: dict[str, Callable[[Tensor], Tensor]] = {
    "attention": lambda scores: torch.softmax(scores, dim=-1),
    "entmax": lambda scores: entmax.entmax15(scores, dim=-1),
    "sparsemax": lambda scores: entmax.sparsemax(scores, dim=-1),
}


@pytest.mark.parametrize("clip", CLIPS)
@pytest.mark.parametrize("name", WEIGHTS)
def test_attention_equals_panns(name: str, clip: ClipPooling) -> None:
    """Outputs and gradients of each weight, also where most frames have none."""
    torch.manual_seed(0)
    head, features = head_of(name, clip, 24, 7), torch.randn(3, 24, 11) * 3
    assert isinstance(head, AttentionHead)
    output = head(features)
    scores, cla = panns(head, features)
    weights = WEIGHTS[name](scores)
    assert (weights == 0).any() == (name != "attention")
    probability = (weights * cla.sigmoid()).sum(dim=-1)
    logit = (weights * cla).sum(dim=-1) if clip == "logit" else torch.logit(probability)
    assert output.framewise_logit.shape == (3, 7, 11)
    torch.testing.assert_close(output.framewise_logit.double(), cla, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(output.clipwise.double(), probability, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(output.clipwise_logit.double(), logit, rtol=1e-4, atol=1e-5)
    found = torch.autograd.grad(output.clipwise_logit.square().sum(), [*head.parameters()])
    expected = torch.autograd.grad(logit.square().sum(), [*head.parameters()])
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


def test_a_frame_without_weight_is_left_out() -> None:
    """However sure it is of its class; softmax would give it a share."""
    head = head_of("sparsemax", "probability", 1, 1)
    with torch.no_grad():
        for parameter, value in zip(head.parameters(), (1.0, 0.0, -300.0, 0.0), strict=True):
            parameter.fill_(value)  # scores are tanh(x), classes -300 x
    features = torch.tensor([[[3.0, -3.0, -3.0]]])
    torch.testing.assert_close(head(features).clipwise_logit, torch.tensor([[-900.0]]))


def test_pooling_without_attention_is_what_its_formula_says() -> None:
    torch.manual_seed(0)
    features = torch.randn(3, 24, 11) * 3
    for name, clip in EACH:
        head = HEADS[name](24, 7, HeadSettings(clip, sharpness=2.5))
        output = head(features)
        v = output.framewise_logit.double()
        p = v.sigmoid()
        formulas = {
            ("mean", "probability"): torch.logit(p.mean(dim=-1)),
            ("mean", "logit"): v.mean(dim=-1),
            ("max", "probability"): v.amax(dim=-1),
            ("max", "logit"): v.amax(dim=-1),
            ("logmeanexp", "probability"): torch.logit((2.5 * p).exp().mean(-1).log() / 2.5),
            ("logmeanexp", "logit"): (2.5 * v).exp().mean(dim=-1).log() / 2.5,
        }
        if (name, clip) in formulas:
            torch.testing.assert_close(
                output.clipwise_logit.double(), formulas[name, clip], rtol=1e-4, atol=1e-5
            )
            torch.testing.assert_close(
                output.clipwise.double(), formulas[name, "probability"].sigmoid(), rtol=1e-4, atol=0
            )


def test_gem_is_the_generalised_mean_of_features() -> None:
    torch.manual_seed(0)
    head, features = head_of("gem", "probability", 24, 7), torch.rand(3, 24, 11) * 9
    for p in (1.0, 3.0, 6.5):
        torch.nn.init.constant_(head.log_p, math.log(p))  # type: ignore[arg-type]
        pooled = features.double().pow(p).mean(dim=-1).pow(1 / p)
        expected = pooled @ head.cla.weight[:, :, 0].double().T + head.cla.bias.double()  # type: ignore[union-attr,index,operator]
        torch.testing.assert_close(
            head(features).clipwise_logit.double(), expected, rtol=1e-5, atol=1e-5
        )


def test_sharpness_lies_between_mean_and_maximum() -> None:
    torch.manual_seed(0)
    features, states = torch.randn(2, 16, 9), head_of("mean", "logit", 16, 5).state_dict()

    def logits(name: str, clip: ClipPooling, sharpness: float) -> Tensor:
        head = HEADS[name](16, 5, HeadSettings(clip, sharpness))
        head.load_state_dict(states)
        found: Tensor = head(features).clipwise_logit
        return found

    for clip in CLIPS:
        mean, highest = logits("mean", clip, 1), logits("max", clip, 1)
        torch.testing.assert_close(logits("logmeanexp", clip, 1e-2), mean, rtol=0, atol=2e-2)
        rising = [mean, *(logits("logmeanexp", clip, r) for r in (0.1, 1, 10, 50)), highest]
        for low, high in pairwise(rising):
            assert (low <= high).all()


@each_head
def test_frames_are_pooled_over_time(name: str, clip: ClipPooling) -> None:
    """The order of frames and the repetition of a clip change nothing, classes do not compete."""
    torch.manual_seed(1)
    head, features = head_of(name, clip, 16, 5), torch.randn(2, 16, 9)
    output = head(features)
    for same in (features.flip(-1), features.repeat(1, 1, 2)):
        if name not in ("entmax", "sparsemax") or same.shape == features.shape:
            torch.testing.assert_close(head(same).clipwise, output.clipwise)
            torch.testing.assert_close(head(same).clipwise_logit, output.clipwise_logit)
    still = head(features[:, :, :1].expand(-1, -1, 9))
    torch.testing.assert_close(still.clipwise_logit, still.framewise_logit[:, :, 0])


@each_head
@settings(max_examples=20)
@given(scale=st.floats(1.0, 1e6), seed=st.integers(0, 1000))
def test_certain_outputs_are_finite(name: str, clip: ClipPooling, scale: float, seed: int) -> None:
    torch.manual_seed(seed)
    head = head_of(name, clip, 8, 4)
    output: SedOutput = head(torch.randn(2, 8, 5) * scale)
    output.clipwise_logit.sum().backward()  # type: ignore[no-untyped-call]
    assert all(part.isfinite().all() for part in output[:3])
    assert ((output.clipwise >= 0) & (output.clipwise <= 1 + 1e-6)).all()
    for weight in head.parameters():
        assert weight.grad is not None
        assert weight.grad.isfinite().all()


@each_head
@pytest.mark.parametrize("certain", [-300.0, 300.0])
def test_a_clip_that_is_wrong_in_every_frame_learns(
    name: str, clip: ClipPooling, certain: float
) -> None:
    torch.manual_seed(0)
    head = head_of(name, clip, 8, 4)
    torch.nn.init.constant_(head.cla.bias, certain)  # type: ignore[arg-type,union-attr]
    head(torch.randn(1, 8, 5)).clipwise_logit.sum().backward()
    gradient = head.cla.bias.grad  # type: ignore[union-attr]
    assert gradient is not None
    torch.testing.assert_close(gradient, torch.ones(4), rtol=1e-4, atol=0)


@each_head
def test_float32_under_autocast(name: str, clip: ClipPooling) -> None:
    torch.manual_seed(2)
    head, features = head_of(name, clip, 16, 5), torch.randn(2, 16, 9)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = head(features)
    for got, expected in zip(output[:3], head(features)[:3], strict=True):
        assert got.dtype == torch.float32
        torch.testing.assert_close(got, expected, rtol=0, atol=0)


def test_every_head_of_a_recipe_is_listed() -> None:
    assert set(get_args(HeadName)) == HEADS.keys()
