"""Mixing of labelled clips, in power, with labelled soundscapes and with each other."""

from typing import NamedTuple

import torch
from torch import Generator, Tensor

from birdcore.config.augment import Mixup, Sumix
from birdcore.config.training import TrainSettings
from birdcore.training.augment import Domain, draw_mixup, draw_sumix, mix_constant, mixup, sumix
from birdcore.training.companions import Companions, teachers_chunks
from birdcore.training.data import CropSampling
from birdcore.training.frames import FrameTargets
from birdcore.training.frames import mixed as mixed_frames
from birdcore.training.segments import Segments


class MixedTargets(NamedTuple):
    """Labels (B, K), mask, moments and voters of the clips mixed in; the share of their loss."""

    share: float
    labels: Tensor
    mask: Tensor | None
    frames: FrameTargets | None = None
    voters: Tensor | None = None

    def to(self, device: torch.device) -> "MixedTargets":
        mask = None if self.mask is None else self.mask.to(device)
        frames = None if self.frames is None else self.frames.to(device)
        voters = None if self.voters is None else self.voters.to(device)
        return MixedTargets(self.share, self.labels.to(device), mask, frames, voters)


def mix_with_chunks(
    power: Tensor,
    labels: Tensor,
    segments: Segments | None,
    companions: Companions | None,
    settings: TrainSettings,
    crops: CropSampling,
    rng: Generator,
    known: Tensor | None = None,
    frames: FrameTargets | None = None,
    domain: Domain = "power",
) -> tuple[Tensor, Tensor, Tensor, FrameTargets | None]:
    """Mix clips with pseudo-labelled segments or annotated ones, or replace them (`mix_as`).

    A mix has the maximum of both labels. A class counts where the chunk's label counts, or the clip
    itself has the class.

    Args:
        power: clips (B, M, T), or T + 1 with the floor; or their waves.
        labels: (B, K) in 0 to 1, on the CPU.
        segments: what a teacher labelled, if there is one.
        companions: annotated segments, of which `annotated.mix` of the mixes are; at least one of
            the two is given.
        settings: `mix`, `mix_share`, `mix_as`, `match_power` and `annotated.mix` are read.
        crops: length of crops.
        rng: on the CPU.
        known: which labels of the clips count (B, K); None: all of them.
        frames: what is known of their moments, where `crops.cells` is set.
        domain: of clips and chunks.

    Returns:
        Power, labels, a mask (B, K) of the labels that count, and the moments.
    """
    batch, same = len(power), settings.mix_as == "replace-same"
    chunks = None
    if segments is not None:
        chunks = teachers_chunks(segments, labels, crops, rng, same=same)
    chosen = torch.rand(batch, generator=rng) < settings.mix_share
    if companions is not None:
        annotated = companions.draw(labels, crops, rng, same=same)
        taken = (torch.rand(batch, generator=rng) < settings.annotated.mix) & annotated.found
        if chunks is None:
            chunks = annotated._replace(found=taken)
        else:
            chunks = chunks.where(taken, annotated)
    assert chunks is not None
    chosen &= chunks.found
    if settings.mix_as == "mix":
        mixed = mix_constant(
            power,
            chunks.power,
            settings.mix,
            match_power=settings.match_power,
            domain=domain,
        )
        mixed_labels = torch.maximum(labels, chunks.labels)
        counts = chunks.mask | (labels > 0)
        if known is not None:
            counts = counts & (known | (mixed_labels > 0))
    else:
        mixed, mixed_labels, counts = chunks.power, chunks.labels, chunks.mask
    own = torch.ones_like(counts) if known is None else known
    if frames is not None and chunks.frames is not None:
        of_mix = chunks.frames
        if settings.mix_as == "mix":
            of_mix = mixed_frames(frames, of_mix, torch.zeros(batch))
        frames = frames.where(chosen, of_mix)
    return (
        torch.where(chosen.to(power.device)[:, None, None], mixed, power),
        torch.where(chosen[:, None], mixed_labels, labels),
        torch.where(chosen[:, None], counts, own),
        frames,
    )


def mix_within_batch(
    power: Tensor,
    labels: Tensor,
    mask: Tensor | None,
    mixup_settings: Mixup,
    sumix_settings: Sumix,
    rng: Generator,
    frames: FrameTargets | None = None,
    voters: Tensor | None = None,
    domain: Domain = "power",
) -> tuple[Tensor, Tensor, Tensor | None, MixedTargets | None, FrameTargets | None]:
    """MixUp and Sumix between the clips of a batch.

    A class counts in a mix if it counts in both parts. With `labels = "losses"` there is one weight
    for the whole batch, both parts keep their labels, and their losses are weighted (4th place
    2025).

    Args:
        power: clips (B, M, T), or their waves.
        labels: (B, K) in 0 to 1, on the CPU.
        mask: (B, K), which labels count; None: all of them.
        mixup_settings: off at probability 0.
        sumix_settings: off at probability 0.
        rng: on the CPU.
        frames: what is known of the clips' moments, where frames train.
        voters: how many people the labels are of (B,), for those of a second loss.
        domain: of the clips.

    Returns:
        Power, labels, mask, the targets of a second loss, if there is one, and the moments.
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
            power, _ = mixup(power, labels, lam[:1].expand_as(lam), partner, "soft", domain)
            others = None if frames is None else frames.at(partner)
            of_partner = None if mask is None else mask[partner]
            people = None if voters is None else voters[partner]
            second = MixedTargets(share, labels[partner], of_partner, others, people)
        else:
            power, labels = mixup(power, labels, lam, partner, mixup_settings.labels, domain)
            mask = None if mask is None else mask & (mask[partner] | (lam == 1)[:, None])
            if frames is not None:
                frames = mixed_frames(frames, frames.at(partner), lam, mixup_settings.labels)
    if sumix_settings.probability:
        gain_db = sumix_settings.gain_db
        gains, partner = draw_sumix(
            len(power), (-gain_db, gain_db), rng, probability=sumix_settings.probability
        )
        power, labels = sumix(power, labels, gains, partner, domain)
        if mask is not None:
            mask = mask & (mask[partner] | gains[:, 1].isneginf()[:, None])
        if frames is not None:
            alone = gains[:, 1].isneginf().float()
            frames = mixed_frames(frames, frames.at(partner), alone)
    return power, labels, mask, second, frames
