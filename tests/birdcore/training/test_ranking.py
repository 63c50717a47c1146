"""Each loss against the loops of its source, value and gradient, in float64."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch import Tensor
from torch.nn.functional import relu, softplus

from birdcore.training.ranking import (
    halves_auc,
    hinge_auc,
    rarity_weights,
    soft_auc,
    weighted_hinge_auc,
)

Loss = Callable[..., Tensor]


def soft_auc_loops(s: Tensor, y: Tensor, margin: float = 1.0) -> Tensor:
    """4th place 2025, term by term."""
    s, y = s.flatten(), y.flatten()
    terms = [
        (y[i] - 0.5) * (0.5 - y[j]) * softplus(-margin * (s[i] - s[j]))
        for i in range(len(y))
        for j in range(len(y))
        if y[i] > 0.5 > y[j]
    ]
    return torch.stack(terms).mean()


def halves_loops(s: Tensor, y: Tensor) -> Tensor:
    """The card's SoftAUCLoss, with a stable order of equal targets."""
    losses = []
    for p, t in zip(s.sigmoid().T, y.T, strict=True):
        order = torch.argsort(t, descending=True, stable=True)
        upper, lower = p[order[: len(p) // 2]], p[order[len(p) // 2 :]]
        losses.append(torch.sigmoid(-(upper[:, None] - lower[None])).mean())
    return torch.stack(losses).mean()


def hinge_loops(
    s: Tensor,
    y: Tensor,
    margin: float = 1.0,
    temperature: float = 1.0,
    weighted: bool = False,
    class_weights: Tensor | None = None,
) -> Tensor:
    """The card's ImprovedAUCLoss and, weighted, its SoftAUCLoss_Advanced."""
    losses = []
    weights = torch.ones(y.shape[1]) if class_weights is None else class_weights
    for p, t, w in zip((s / temperature).sigmoid().T, y.T, weights, strict=True):
        ahead = t[:, None] - t[None]
        pairs = ahead > 0
        if pairs.any():
            terms = relu(margin - (p[:, None] - p[None]))[pairs]
            mean = (terms * ahead[pairs]).sum() / ahead[pairs].sum() if weighted else terms.mean()
            losses.append(mean * w)
    return torch.stack(losses).mean()


RARE = torch.tensor([0.5, 2.0, 1.0, 1.0, 0.5], dtype=torch.float64)
FORMS: list[tuple[Loss, Loss]] = [
    (soft_auc, soft_auc_loops),
    (partial(soft_auc, margin=2.5), partial(soft_auc_loops, margin=2.5)),
    (halves_auc, halves_loops),
    (hinge_auc, hinge_loops),
    (partial(hinge_auc, margin=1.7), partial(hinge_loops, margin=1.7)),
    (partial(hinge_auc, margin=0.2), partial(hinge_loops, margin=0.2)),
    (weighted_hinge_auc, partial(hinge_loops, weighted=True)),
    (
        partial(weighted_hinge_auc, margin=0.3, temperature=2.0, class_weights=RARE),
        partial(hinge_loops, margin=0.3, temperature=2.0, weighted=True, class_weights=RARE),
    ),
]
LOSSES = [soft_auc, halves_auc, hinge_auc, partial(hinge_auc, margin=0.5), weighted_hinge_auc]


def draw(kind: str, rows: int = 12) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(rows, 5, generator=generator).double() * 3
    y = torch.rand(rows, 5, generator=generator).double()
    return logits, {"hard": (y > 0.7).double(), "soft": y, "ties": (y * 4).round() / 4}[kind]


def value_and_gradient(loss: Loss, logits: Tensor, *rest: Tensor) -> tuple[Tensor, Tensor]:
    logits = logits.clone().requires_grad_()
    value = loss(logits, *rest)
    value.backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    return value.detach(), logits.grad


@pytest.mark.parametrize("kind", ["hard", "soft", "ties"])
@pytest.mark.parametrize("at", range(len(FORMS)))
def test_equals_its_loops(at: int, kind: str) -> None:
    ours, theirs = (value_and_gradient(form, *draw(kind)) for form in FORMS[at])
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", ["hard", "soft"])
@pytest.mark.parametrize("at", range(len(FORMS)))
def test_what_is_masked_is_as_if_it_were_not_there(at: int, kind: str) -> None:
    logits, targets = draw(kind)
    mask = torch.ones_like(targets, dtype=torch.bool)
    mask[[1, 4, 7]] = False
    value, gradient = value_and_gradient(FORMS[at][0], logits, targets, mask)
    rest = value_and_gradient(FORMS[at][0], logits[mask[:, 0]], targets[mask[:, 0]])
    torch.testing.assert_close((value, gradient[mask[:, 0]]), rest)
    assert (gradient[~mask[:, 0]] == 0).all()


@pytest.mark.parametrize("loss", [one for one in LOSSES if one is not halves_auc])
@pytest.mark.parametrize("targets", [torch.zeros(6, 4), torch.full((6, 4), 0.5), torch.ones(6, 4)])
def test_without_a_pair_it_is_zero(loss: Loss, targets: Tensor) -> None:
    value, gradient = value_and_gradient(loss, torch.randn(6, 4), targets)
    assert value == 0
    assert (gradient == 0).all()


@pytest.mark.parametrize("loss", LOSSES)
def test_minus_zero_is_zero(loss: Loss) -> None:
    logits, targets = draw("hard")
    signed = torch.where((targets == 0) & (logits > 0), -0.0, targets)
    assert signed.signbit().any()
    torch.testing.assert_close(
        value_and_gradient(loss, logits, signed), value_and_gradient(loss, logits, targets)
    )


@pytest.mark.parametrize("loss", LOSSES)
def test_all_masked_is_zero(loss: Loss) -> None:
    logits, targets = draw("hard")
    value, gradient = value_and_gradient(loss, logits, targets, torch.zeros_like(targets))
    assert value == 0
    assert (gradient == 0).all()


@pytest.mark.parametrize("loss", LOSSES)
def test_a_single_row_has_no_pair_in_its_class(loss: Loss) -> None:
    value, gradient = value_and_gradient(loss, torch.randn(1, 4), torch.ones(1, 4))
    assert value == 0
    assert (gradient == 0).all()


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("scale", [1e4, 1e18])
def test_extreme_logits_are_finite(loss: Loss, scale: float) -> None:
    logits, targets = draw("soft")
    value, gradient = value_and_gradient(loss, (logits * scale).float(), targets.float())
    assert value.isfinite()
    assert gradient.isfinite().all()
    assert gradient.dtype == torch.float32


@pytest.mark.parametrize("loss", LOSSES)
def test_no_tensor_of_all_pairs(loss: Loss) -> None:
    """Bytes that autograd keeps grow with B, or B log B, not with B·B."""
    kept = []
    for rows in (64, 256):
        sizes: list[int] = []

        def size(x: Tensor, sizes: list[int] = sizes) -> Tensor:
            sizes.append(x.numel())
            return x

        with torch.autograd.graph.saved_tensors_hooks(size, lambda x: x):
            loss(*(x.requires_grad_(at == 0) for at, x in enumerate(draw("soft", rows))))
        kept.append(sum(sizes))
    assert kept[1] < 6 * kept[0]


def test_rarity_is_scikit_learns_balance() -> None:
    single = torch.eye(4)[torch.tensor([0, 0, 0, 1, 1, 2, 3])]
    theirs = compute_class_weight("balanced", classes=np.arange(4), y=single.argmax(dim=1).numpy())
    ours = rarity_weights(single)
    torch.testing.assert_close(ours / ours[0], torch.from_numpy(theirs / theirs[0]))
    assert float(ours.mean()) == pytest.approx(1.0)


@pytest.mark.parametrize("margin", [0.0, -1.0, float("nan")])
def test_a_margin_of_nothing_is_refused(margin: float) -> None:
    for loss in (soft_auc, hinge_auc):
        with pytest.raises(ValueError, match="above 0"):
            loss(*draw("hard"), margin=margin)
