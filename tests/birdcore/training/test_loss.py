from collections.abc import Callable
from functools import partial
from typing import get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.distributions import Bernoulli, kl_divergence
from torch.nn.functional import binary_cross_entropy
from torch.nn.functional import cross_entropy as torch_cross_entropy

from birdcore.config.training import Loss as Name
from birdcore.config.training import LossSettings
from birdcore.models.head import AttentionHead, SedOutput
from birdcore.training.loss import (
    LOSSES as BY_NAME,
)
from birdcore.training.loss import (
    bce,
    bce_focal,
    build_loss,
    clip_and_frames,
    cross_entropy,
    focal,
    kl,
    smoothed,
    symmetric_kl,
)
from birdcore.training.ranking import halves_auc, hinge_auc, soft_auc, weighted_hinge_auc

Loss = Callable[..., Tensor]

LOSSES: list[Loss] = [
    bce,
    focal,
    bce_focal,
    cross_entropy,
    partial(kl, temperature=2.0),
    symmetric_kl,
]


def draw(scale: float = 2.0) -> tuple[Tensor, Tensor]:
    """Logits and targets, of which half are hard."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(6, 5, generator=generator) * scale
    targets = torch.rand(6, 5, generator=generator)
    targets[:3] = targets[:3].round()
    return logits, targets


def focal_reference(logit: Tensor, target: Tensor, gamma: float) -> Tensor:
    """Lin et al. 2017, eq. 4, with p_t taken between the two answers for soft targets."""
    p, t = logit.double().sigmoid(), target.double()
    p_t = p * t + (1 - p) * (1 - t)
    return (1 - p_t) ** gamma * -(t * p.log() + (1 - t) * (1 - p).log())


def test_bce_equals_torch() -> None:
    logits, targets = draw()
    expected = binary_cross_entropy(logits.double().sigmoid(), targets.double())
    torch.testing.assert_close(bce(logits, targets).double(), expected, rtol=1e-5, atol=0)


def test_bce_of_the_head_is_bce_on_its_probabilities() -> None:
    torch.manual_seed(0)
    output = AttentionHead(8, 5)(torch.randn(6, 8, 7))
    _, targets = draw()
    expected = binary_cross_entropy(output.clipwise, targets)
    torch.testing.assert_close(clip_and_frames(bce, output, targets), expected)


@pytest.mark.parametrize("gamma", [1.0, 2.0, 3.5])
def test_focal_equals_its_formula(gamma: float) -> None:
    logits, targets = draw()
    expected = focal_reference(logits, targets, gamma).mean()
    got = focal(logits, targets, gamma=gamma).double()
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=0)
    both = bce_focal(logits, targets, gamma=gamma)
    torch.testing.assert_close(both, bce(logits, targets) + got.float())


def test_cross_entropy_equals_torchs_over_classes() -> None:
    logits, targets = draw()
    expected = torch.nn.functional.cross_entropy(logits.double(), targets.double())
    torch.testing.assert_close(cross_entropy(logits, targets).double(), expected)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_kl_equals_torchs_between_bernoullis(temperature: float) -> None:
    logits, targets = (x.double() for x in draw())
    targets = targets.clamp(1e-9, 1 - 1e-9)
    teacher, student = (Bernoulli(logits=x / temperature) for x in (torch.logit(targets), logits))
    expected = temperature**2 * kl_divergence(teacher, student).mean()
    torch.testing.assert_close(kl(logits, targets, temperature=temperature), expected)


def test_kl_at_temperature_1_has_the_gradient_of_bce() -> None:
    logits, targets = draw()
    logits.requires_grad_()
    ours, theirs = (torch.autograd.grad(f(logits, targets), logits)[0] for f in (kl, bce))
    torch.testing.assert_close(ours, theirs)


def test_symmetric_kl_is_the_mean_of_both_directions() -> None:
    logits, targets = (x.double() for x in draw())
    targets = targets.clamp(1e-6, 1 - 1e-6)
    teacher, student = Bernoulli(probs=targets), Bernoulli(logits=logits)
    both = kl_divergence(teacher, student) + kl_divergence(student, teacher)
    torch.testing.assert_close(symmetric_kl(logits, targets), both.mean() / 2)


@pytest.mark.parametrize("loss", [kl, partial(kl, temperature=3.0), symmetric_kl])
def test_a_student_that_says_what_its_teacher_says_has_no_loss(loss: Loss) -> None:
    logits, _ = draw()
    assert float(loss(logits.double(), logits.double().sigmoid())) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("loss", LOSSES)
def test_frames_add_their_loudest(loss: Loss) -> None:
    logits, targets = draw()
    frames = torch.randn(6, 5, 9, generator=torch.Generator().manual_seed(1))
    output = SedOutput(logits, frames, logits.sigmoid())
    expected = loss(logits, targets) + 0.5 * loss(frames.amax(dim=-1), targets)
    torch.testing.assert_close(clip_and_frames(loss, output, targets, None, 0.5), expected)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_mask_leaves_classes_out(loss: Loss) -> None:
    logits, targets = draw()
    mask = torch.zeros(6, 5, dtype=torch.bool)
    mask[:, 1:3] = True
    expected = loss(logits[:, 1:3], targets[:, 1:3])
    torch.testing.assert_close(loss(logits, targets, mask), expected)


@pytest.mark.parametrize("loss", LOSSES)
def test_nothing_counted_is_zero_with_a_gradient(loss: Loss) -> None:
    logits, targets = draw()
    logits.requires_grad_()
    total = loss(logits, targets, torch.zeros(6, 5))
    total.backward()  # type: ignore[no-untyped-call]
    assert total == 0
    assert logits.grad is not None
    assert (logits.grad == 0).all()


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_extreme_outputs_are_finite(loss: Loss, dtype: torch.dtype) -> None:
    logits, targets = draw(scale=1e4)
    logits = logits.to(dtype).requires_grad_()
    frames = (logits.detach()[..., None] * torch.ones(3, dtype=dtype)).requires_grad_()
    output = SedOutput(logits, frames, logits.sigmoid())
    total = clip_and_frames(loss, output, targets.to(dtype), None, 1.0)
    total.backward()  # type: ignore[no-untyped-call]
    assert total.dtype == torch.float32
    assert total.isfinite()
    assert logits.grad is not None
    assert frames.grad is not None
    assert logits.grad.isfinite().all()
    assert frames.grad.isfinite().all()


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="gamma >= 1"):
        focal(*draw(), gamma=0.5)
    with pytest.raises(ValueError, match="above 0"):
        kl(*draw(), temperature=0.0)


@pytest.mark.parametrize("name", get_args(Name))
def test_a_recipes_name_is_a_loss_with_its_settings(name: str) -> None:
    logits, targets = draw()
    settings = LossSettings(gamma=3.0, temperature=2.0, margin=0.7, bce=0.25)
    rare = torch.tensor([1.0, 2.0, 0.5, 1.0, 0.5])
    by_hand = {
        "bce": bce,
        "focal": partial(focal, gamma=3.0),
        "bce+focal": partial(bce_focal, gamma=3.0),
        "cross_entropy": cross_entropy,
        "kl": partial(kl, temperature=2.0),
        "symmetric_kl": symmetric_kl,
        "soft_auc": partial(soft_auc, margin=0.7),
        "halves_auc": halves_auc,
        "hinge_auc": partial(hinge_auc, margin=0.7),
        "weighted_hinge_auc": partial(
            weighted_hinge_auc, margin=0.7, temperature=2.0, class_weights=rare
        ),
    }
    expected = by_hand[name](logits, targets, None)
    if name.endswith("_auc"):
        expected = expected + 0.25 * bce(logits, targets)
    got = build_loss(name, settings, rare)(logits, targets, None)
    torch.testing.assert_close(got, expected)


CLASSES_OF_SMOOTHING = st.integers(2, 1000)
SMOOTHING = st.floats(0.0, 0.99)


def labels_of(kind: str, classes: int, generator: torch.Generator) -> Tensor:
    """Targets (8, K): one class each, several, soft ones of a mix, or none at all."""
    if kind == "one":
        return torch.eye(classes)[torch.randint(classes, (8,), generator=generator)]
    if kind == "none":
        return torch.zeros(8, classes)
    soft = torch.rand(8, classes, generator=generator)
    return (soft < 3 / classes).float() if kind == "several" else soft**4


@given(CLASSES_OF_SMOOTHING, SMOOTHING, st.sampled_from(["one", "several", "mixed", "none"]))
def test_smoothing_under_a_softmax_is_torchs(classes: int, smoothing: float, kind: str) -> None:
    generator = torch.Generator().manual_seed(classes)
    logits = 3 * torch.randn(8, classes, generator=generator, dtype=torch.float64)
    targets = labels_of(kind, classes, generator).double()
    expected = torch_cross_entropy(logits, targets, label_smoothing=smoothing)
    for mask in (None, torch.ones(8, classes, dtype=torch.bool)):
        got = cross_entropy(logits, smoothed(targets, mask, smoothing, "cross_entropy"), mask)
        torch.testing.assert_close(got, expected)


@given(CLASSES_OF_SMOOTHING, SMOOTHING)
def test_smoothing_under_a_softmax_keeps_the_mass(classes: int, smoothing: float) -> None:
    targets = torch.eye(classes, dtype=torch.float64)[:1]
    got = smoothed(targets, None, smoothing, "cross_entropy")
    assert float(got.sum()) == pytest.approx(1)
    assert float(got[0, 0]) == pytest.approx(1 - smoothing + smoothing / classes)


@given(st.integers(3, 50), SMOOTHING)
def test_what_does_not_count_takes_no_part_of_the_smoothing(k: int, smoothing: float) -> None:
    generator = torch.Generator().manual_seed(k)
    logits = torch.randn(4, k, generator=generator, dtype=torch.float64)
    targets = labels_of("mixed", k, generator)[:4].double()
    mask = torch.ones(4, k, dtype=torch.bool)
    mask[:, 2:] = torch.rand(k - 2, generator=generator) < 0.5
    got = cross_entropy(logits, smoothed(targets, mask, smoothing, "cross_entropy"), mask)
    left = mask[0]
    expected = torch_cross_entropy(logits[:, left], targets[:, left], label_smoothing=smoothing)
    torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("name", [n for n in get_args(Name) if n != "cross_entropy"])
def test_smoothing_of_answers_by_class_is_between_yes_and_no(name: str) -> None:
    targets = torch.tensor([[1.0, 0.0, 0.5]])
    got = smoothed(targets, torch.ones(1, 3, dtype=torch.bool), 0.2, name)
    torch.testing.assert_close(got, torch.tensor([[0.9, 0.1, 0.5]]))
    assert torch.equal(smoothed(targets, None, 0.0, name), targets)


def test_offset_under_a_softmax_is_added_to_the_votes() -> None:
    votes = torch.tensor([[3, 0, 0, 0, 0, 0], [0, 2, 1, 0, 12, 5]], dtype=torch.float64)
    people = votes.sum(dim=1)
    expected = (votes + 0.02) / (votes + 0.02).sum(dim=1, keepdim=True)
    got = smoothed(votes / people[:, None], None, 0.0, "cross_entropy", 0.02, people)
    torch.testing.assert_close(got, expected)


@given(st.integers(1, 30), st.floats(1e-3, 1.0))
def test_offset_of_a_class_is_added_to_yes_and_no(people: int, offset: float) -> None:
    votes = torch.arange(people + 1, dtype=torch.float64)[None]
    yes, no = votes + offset, people - votes + offset
    got = smoothed(votes / people, None, 0.0, "bce", offset, torch.tensor([people]))
    torch.testing.assert_close(got, yes / (yes + no))


def test_a_label_of_one_person_is_smoothed_more_than_one_of_ten() -> None:
    mask = torch.tensor([[True, True, False]])
    for name in ("bce", "cross_entropy"):  # two outcomes either way: the third class counts not
        alone, ten = (
            smoothed(torch.tensor([[1.0, 0.0, 0.0]]), mask, 0.0, name, 0.02, people)
            for people in (None, torch.tensor([10]))
        )
        torch.testing.assert_close(alone[:, :2], torch.tensor([[1.02 / 1.04, 0.02 / 1.04]]))
        torch.testing.assert_close(ten[:, :2], torch.tensor([[10.02 / 10.04, 0.02 / 10.04]]))


def test_without_a_class_that_counts_smoothing_is_no_loss() -> None:
    targets, mask = torch.zeros(2, 3), torch.zeros(2, 3, dtype=torch.bool)
    logits = torch.randn(2, 3, requires_grad=True)
    value = cross_entropy(logits, smoothed(targets, mask, 0.1, "cross_entropy"), mask)
    value.backward()
    assert value.item() == 0
    assert logits.grad is not None
    assert not logits.grad.any()


def test_every_loss_of_a_recipe_is_listed() -> None:
    assert set(get_args(Name)) == BY_NAME.keys()
