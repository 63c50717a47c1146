"""Losses against soft, multi-label targets, on the clip and, if wanted, on its frames.

Each takes logits and targets in 0 to 1, both (B, K), and a mask (B, K) that says which classes of
which samples count: a pseudo-label between two thresholds is neither yes nor no. Always in float32
or better, so extreme outputs and bfloat16 stay finite. All masked, a loss is 0, and its gradient.
The losses on the order of logits are in ranking.py.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits
from torchvision.ops import sigmoid_focal_loss

from birdcore.models.head import SedOutput
from birdcore.training.ranking import halves_auc, hinge_auc, soft_auc, weighted_hinge_auc

Loss = Callable[[Tensor, Tensor, Tensor | None], Tensor]


def loss_of(name: str, settings: Mapping[str, Any], class_weights: Tensor | None = None) -> Loss:
    """The loss that a recipe names; one that ends in _auc with its share of BCE."""
    margin, gamma, temperature = (settings[key] for key in ("margin", "gamma", "temperature"))
    losses: dict[str, Loss] = {
        "bce": bce,
        "focal": partial(focal, gamma=gamma),
        "bce+focal": partial(bce_focal, gamma=gamma),
        "cross_entropy": cross_entropy,
        "kl": partial(kl, temperature=temperature),
        "symmetric_kl": symmetric_kl,
        "soft_auc": partial(soft_auc, margin=margin),
        "halves_auc": halves_auc,
        "hinge_auc": partial(hinge_auc, margin=margin),
        "weighted_hinge_auc": partial(
            weighted_hinge_auc,
            margin=margin,
            temperature=temperature,
            class_weights=class_weights,
        ),
    }
    loss = losses[name]
    if not name.endswith("_auc") or not settings["bce"]:
        return loss

    def both(logits: Tensor, targets: Tensor, mask: Tensor | None) -> Tensor:
        return loss(logits, targets, mask) + float(settings["bce"]) * bce(logits, targets, mask)

    return both


def clip_and_frames(
    loss: Loss,
    output: SedOutput,
    targets: Tensor,
    mask: Tensor | None = None,
    framewise_weight: float = 0.0,
) -> Tensor:
    """The loss of a clip, plus `framewise_weight` times that of each class's loudest frame, as SED
    trains."""
    targets = targets.float()
    total = loss(output.clipwise_logit.float(), targets, mask)
    if framewise_weight:
        loudest = output.framewise_logit.float().amax(dim=-1)
        total = total + framewise_weight * loss(loudest, targets, mask)
    return total


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


def smoothed(targets: Tensor, mask: Tensor | None, smoothing: float, loss: str) -> Tensor:
    """Targets (B, K) that are less sure, as the loss of this name reads them.

    Where classes exclude each other (cross_entropy), `smoothing` is spread over the K that count,
    as `torch.nn.functional.cross_entropy` does (Szegedy et al. 2016): (1 - s) y + s / K. Where each
    class is a yes or no of its own, it is spread over these two: (1 - s) y + s / 2. That, under a
    softmax over 206 classes, would leave the true one 8.5 % of the mass at s = .1.
    """
    if loss != "cross_entropy":
        return targets * (1 - smoothing) + smoothing / 2
    if mask is None:
        return targets * (1 - smoothing) + smoothing / targets.shape[1]
    classes = mask.sum(dim=1, keepdim=True).clamp_min(1)
    return targets * (1 - smoothing) + smoothing / classes


def _mean(terms: Tensor, mask: Tensor | None) -> Tensor:
    if mask is None:
        return terms.mean()
    counted = mask.to(terms)
    return torch.sum(terms * counted) / counted.sum().clamp_min(1.0)
