"""Mixing of labelled clips, in power, with pseudo-labelled soundscapes and with each other."""

from typing import NamedTuple

import torch
from torch import Generator, Tensor

from birdcore.config.augment import Mixup, Sumix
from birdcore.config.training import TrainSettings
from birdcore.training.augment import draw_mixup, draw_sumix, mix_constant, mixup, sumix
from birdcore.training.data import CropSampling
from birdcore.training.segments import Segments


class MixedTargets(NamedTuple):
    """Labels (B, K) and mask of the clips that were mixed in, and the share of their loss."""

    share: float
    labels: Tensor
    mask: Tensor | None

    def to(self, device: torch.device) -> "MixedTargets":
        mask = None if self.mask is None else self.mask.to(device)
        return MixedTargets(self.share, self.labels.to(device), mask)


def mix_pseudo_labelled(
    power: Tensor,
    labels: Tensor,
    segments: Segments,
    settings: TrainSettings,
    crops: CropSampling,
    rng: Generator,
    known: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Mix clips with pseudo-labelled segments, or replace them (`settings.mix_as`).

    A mix has the maximum of both labels. A class counts where the teacher was certain of it, or
    the clip itself has it.

    Args:
        power: clips (B, M, T), or T + 1 with the floor.
        labels: (B, K) in 0 to 1, on the CPU.
        segments: what is drawn from.
        settings: `mix`, `mix_share`, `mix_as` and `match_power` are read.
        crops: length of crops.
        rng: on the CPU.
        known: which labels of the clips count (B, K); None: all of them.

    Returns:
        Power, labels and a mask (B, K) of the labels that count.
    """
    batch = len(power)
    drawn, found = segments.draw(batch, rng), torch.ones(batch, dtype=torch.bool)
    if settings.mix_as == "replace-same":
        drawn, found = segments.draw_same(labels, rng)
    chosen = (torch.rand(batch, generator=rng) < settings.mix_share) & found
    on_device = drawn.to(power.device)
    chunks = segments.soundscapes.power(
        segments.rows[on_device],
        segments.offsets[on_device],
        crops.frames,
        with_floor=crops.with_floor,
    )
    if settings.mix_as == "mix":
        mixed = mix_constant(power, chunks, settings.mix, match_power=settings.match_power)
        mixed_labels = torch.maximum(labels, segments.labels[drawn])
        counts = segments.mask[drawn] | (labels > 0)
        if known is not None:
            counts = counts & (known | (mixed_labels > 0))
    else:
        mixed, mixed_labels, counts = chunks, segments.labels[drawn], segments.mask[drawn]
    own = torch.ones_like(counts) if known is None else known
    return (
        torch.where(chosen.to(power.device)[:, None, None], mixed, power),
        torch.where(chosen[:, None], mixed_labels, labels),
        torch.where(chosen[:, None], counts, own),
    )


def mix_within_batch(
    power: Tensor,
    labels: Tensor,
    mask: Tensor | None,
    mixup_settings: Mixup,
    sumix_settings: Sumix,
    rng: Generator,
) -> tuple[Tensor, Tensor, Tensor | None, MixedTargets | None]:
    """MixUp and Sumix between the clips of a batch.

    A class counts in a mix if it counts in both parts. With `labels = "losses"` there is one weight
    for the whole batch, both parts keep their labels, and their losses are weighted (4th place
    2025).

    Args:
        power: clips (B, M, T).
        labels: (B, K) in 0 to 1, on the CPU.
        mask: (B, K), which labels count; None: all of them.
        mixup_settings: off at probability 0.
        sumix_settings: off at probability 0.
        rng: on the CPU.

    Returns:
        Power, labels, mask, and the targets of a second loss, if there is one.
    """
    second = None
    if mixup_settings.probability:
        constant = mixup_settings.weight is not None
        lam, partner = draw_mixup(
            len(power),
            rng,
            probability=mixup_settings.probability,
            alpha=None if constant else mixup_settings.alpha,
            weight=mixup_settings.weight,
        )
        if mixup_settings.labels == "losses":
            share = 1 - float(lam[0])
            power, _ = mixup(power, labels, lam[:1].expand_as(lam), partner, "soft")
            second = MixedTargets(share, labels[partner], None if mask is None else mask[partner])
        else:
            power, labels = mixup(power, labels, lam, partner, mixup_settings.labels)
            mask = None if mask is None else mask & (mask[partner] | (lam == 1)[:, None])
    if sumix_settings.probability:
        gain_db = sumix_settings.gain_db
        gains, partner = draw_sumix(
            len(power), (-gain_db, gain_db), rng, probability=sumix_settings.probability
        )
        power, labels = sumix(power, labels, gains, partner, "power")
        if mask is not None:
            mask = mask & (mask[partner] | gains[:, 1].isneginf()[:, None])
    return power, labels, mask, second
