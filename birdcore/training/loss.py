"""Losses against soft, multi-label targets, on clips and, if the recipe says so, on frames.

Each takes logits (B, K), targets (B, K) in 0 to 1 and a mask (B, K) of the labels that count: a
pseudo-label between two thresholds is neither positive nor negative. Computed in float32 or better,
so that extreme outputs and bfloat16 stay finite. With everything masked the loss is 0, and so is
its gradient. Ranking losses are in ranking.py.

To add one: its function, its line in `LOSSES`, and its name in `birdcore.config.training.Loss`.

    >>> bce(torch.zeros(2, 3), torch.ones(2, 3))
    tensor(0.6931)
"""

from collections.abc import Callable, Mapping
from functools import partial
from inspect import signature
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits
from torchvision.ops import sigmoid_focal_loss

from birdcore.config.training import LossSettings
from birdcore.models.head import SedOutput
from birdcore.training.ranking import halves_auc, hinge_auc, soft_auc, weighted_hinge_auc

Loss: TypeAlias = Callable[[Tensor, Tensor, Tensor | None], Tensor]


def bce(logits: Tensor, targets: Tensor, mask: Tensor | None = None) -> Tensor:
    """Binary cross-entropy, the mean over what counts."""
    return _mean(binary_cross_entropy_with_logits(logits, targets, reduction="none"), mask)


def focal(
    logits: Tensor,
    targets: Tensor,
    mask: Tensor | None = None,
    gamma: float = 2.0,
    alpha: float = -1.0,
) -> Tensor:
    """As `bce`, with each term times (1 - p_t)^gamma (Lin et al. 2017).

    `alpha` in 0 to 1 weighs positives against negatives, below 0 not at all.
    Raises ValueError for a gamma below 1, where certain answers have an infinite gradient.
    """
    if gamma < 1:
        raise ValueError(f"focal loss takes gamma >= 1, not {gamma}; gamma = 0 is bce")
    return _mean(sigmoid_focal_loss(logits, targets, alpha=alpha, gamma=gamma), mask)


def bce_focal(
    logits: Tensor, targets: Tensor, mask: Tensor | None = None, gamma: float = 2.0
) -> Tensor:
    """The sum of the two (2nd place 2025)."""
    return bce(logits, targets, mask) + focal(logits, targets, mask, gamma)


def cross_entropy(logits: Tensor, targets: Tensor, mask: Tensor | None = None) -> Tensor:
    """-Σ y log softmax(s) over classes, the mean over samples; targets need not sum to 1 (1st place
    2025). A class that does not count is in neither sum nor softmax."""
    if mask is not None:
        counts = mask.bool()
        logits = logits.masked_fill(~counts, -1e9)
        targets = targets * counts
    return -(targets * logits.log_softmax(dim=1)).sum(dim=1).mean()


def kl(
    logits: Tensor, targets: Tensor, mask: Tensor | None = None, temperature: float = 1.0
) -> Tensor:
    """T² · KL(teacher || student), class by class between Bernoullis, the mean over what counts.

    Both logits are over T (Hinton et al. 2015, for labels that do not exclude each other). At T = 1
    it is `bce` less the entropy of the targets: the same gradients, and 0 at its best.
    """
    if not temperature > 0:
        raise ValueError(f"temperature must be above 0, not {temperature:g}")
    softer = torch.sigmoid(torch.logit(targets.clamp(0, 1)) / temperature)
    terms = binary_cross_entropy_with_logits(logits / temperature, softer, reduction="none")
    entropy = torch.special.entr(softer) + torch.special.entr(1 - softer)
    return temperature**2 * _mean(terms - entropy, mask)


def symmetric_kl(logits: Tensor, targets: Tensor, mask: Tensor | None = None) -> Tensor:
    """Half of KL(t || s) + KL(s || t) between Bernoullis (8th place 2025).

    Which is (t - s)(logit t - logit s) / 2. Targets are kept 1e-6 from 0 and 1, where the second
    term is infinite.
    """
    teacher = torch.logit(targets, eps=1e-6)
    return _mean((teacher.sigmoid() - logits.sigmoid()) * (teacher - logits) / 2, mask)


LOSSES: Mapping[str, Callable[..., Tensor]] = {
    "bce": bce,
    "focal": focal,
    "bce+focal": bce_focal,
    "cross_entropy": cross_entropy,
    "kl": kl,
    "symmetric_kl": symmetric_kl,
    "soft_auc": soft_auc,
    "halves_auc": halves_auc,
    "hinge_auc": hinge_auc,
    "weighted_hinge_auc": weighted_hinge_auc,
}
"""By their names in a recipe. A parameter that is also a key of `LossSettings`, or
`class_weights`, is given to the loss."""


def build_loss(name: str, settings: LossSettings, class_weights: Tensor | None = None) -> Loss:
    """The loss that a recipe names; a ranking loss (`*_auc`) with its share of BCE.

    Args:
        name: a key of `LOSSES`.
        settings: parameters of the losses that have them.
        class_weights: weights (K,) for weighted_hinge_auc; None: all classes alike.
    """
    function = LOSSES[name]
    known = settings.model_dump(exclude={"bce", "by_rarity"}) | {"class_weights": class_weights}
    parameters = signature(function).parameters
    loss: Loss = partial(function, **{k: v for k, v in known.items() if k in parameters})
    if not name.endswith("_auc") or not settings.bce:
        return loss

    def with_bce(logits: Tensor, targets: Tensor, mask: Tensor | None) -> Tensor:
        return loss(logits, targets, mask) + settings.bce * bce(logits, targets, mask)

    return with_bce


def clip_and_frames(
    loss: Loss,
    output: SedOutput,
    targets: Tensor,
    mask: Tensor | None = None,
    framewise_weight: float = 0.0,
) -> Tensor:
    """The loss of clipwise logits, plus `framewise_weight` times that of each class's largest
    framewise logit, as sound event detection is trained.

    Args:
        loss: of logits (B, K).
        output: the model's, for B clips.
        targets: (B, K) in 0 to 1.
        mask: (B, K), which targets count; None: all.
        framewise_weight: 0 leaves the frames out.
    """
    targets = targets.float()
    total = loss(output.clipwise_logit.float(), targets, mask)
    if framewise_weight:
        loudest = output.framewise_logit.float().amax(dim=-1)
        total = total + framewise_weight * loss(loudest, targets, mask)
    return total


def smoothed(
    targets: Tensor,
    mask: Tensor | None,
    smoothing: float,
    loss: str,
    offset: float = 0.0,
    votes: Tensor | None = None,
) -> Tensor:
    """Targets with label smoothing (Szegedy et al. 2016), as the loss of this name needs it.

    (1 - s) y + s / C, where C is the number of outcomes between which a label decides. Where
    classes exclude each other (cross_entropy), these are the K that count, as
    `torch.nn.functional.cross_entropy` has it: two, under a softmax over 206 classes, would leave
    the true one 8.5 % of the mass at s = .1. Where each class is a decision of its own, they are
    its two, yes and no.

    With `offset` o, each outcome gets o votes beside those of n people: (v + o) / (n + C o) for v
    votes, y = v / n. That is s = C o / (n + C o), so a label of few votes is smoothed more (HMS -
    Harmful Brain Activity Classification 2024: .02 on votes of 1 to 20 experts for 6 classes).

    Args:
        targets: (B, K) in 0 to 1.
        mask: (B, K), which of them count; None: all.
        smoothing: s.
        loss: a key of `LOSSES`.
        offset: o; above 0, `smoothing` is not used.
        votes: n (B,); None: 1.
    """
    outcomes: float | Tensor = 2.0
    if loss == "cross_entropy":
        outcomes = float(targets.shape[1])
        if mask is not None:
            outcomes = mask.sum(dim=1, keepdim=True).clamp_min(1).to(targets)
    share: float | Tensor = smoothing
    if offset:
        people = 1.0 if votes is None else votes.to(targets)[:, None]
        share = outcomes * offset / (people + outcomes * offset)
    return targets * (1 - share) + share / outcomes


def _mean(terms: Tensor, mask: Tensor | None) -> Tensor:
    if mask is None:
        return terms.mean()
    counted = mask.to(terms)
    return torch.sum(terms * counted) / counted.sum().clamp_min(1.0)
