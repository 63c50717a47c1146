"""What is laid over clips, in power: noise, soundscapes that a teacher labelled, other clips."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor

from birdcore.features.recordings import Recordings
from birdcore.training.augment import draw_mixup, draw_sumix, mix_constant, mixup, sumix
from birdcore.training.data import Crops, draw_offsets
from birdcore.training.segments import Segments


class Second(NamedTuple):
    """What the clips that were mixed in are labelled, and their share in the loss."""

    share: float
    labels: Tensor
    mask: Tensor | None


def over_background(
    background: Recordings,
    quiet: tuple[Tensor, Tensor] | None,
    power: Tensor,
    settings: Mapping[str, Any],
    crops: Crops,
    rng: Generator,
    noise: Generator,
) -> Tensor:
    """Clips over random pieces of soundscapes at a random signal-to-noise ratio of mean powers."""
    batch = len(power)
    rows = torch.randint(len(background.names), (batch,), generator=rng).to(background.device)
    if settings["source"] == "floors":
        beneath = _steady_noise(background.floors[rows], crops, noise)
    elif quiet is not None:
        drawn = torch.randint(len(quiet[0]), (batch,), generator=rng).to(background.device)
        rows, offsets = (of_pieces[drawn] for of_pieces in quiet)
        beneath = background.power(rows, offsets, crops.frames, with_floor=crops.with_floor)
    else:
        whole = Crops(crops.frames, None, 0.0)
        offsets = draw_offsets(background, rows, whole, rng)
        beneath = background.power(rows, offsets, crops.frames, with_floor=crops.with_floor)
    low, high = settings["snr_db"]
    snr_db = torch.rand(batch, 1, 1, generator=rng) * (high - low) + low
    chosen = torch.rand(batch, 1, 1, generator=rng) < settings["probability"]
    gain = torch.where(chosen, 10 ** (-snr_db / 10), 0.0).to(power)
    mean, mean_beneath = (x.mean(dim=(1, 2), keepdim=True) for x in (power, beneath))
    return power + gain * (mean / mean_beneath.clamp_min(1e-12)) * beneath


def _steady_noise(floors: Tensor, crops: Crops, generator: Generator) -> Tensor:
    """Noise (B, M, T) of these mean powers (B, M), as it is cell by cell.

    The power of Gaussian noise in a band is exponentially distributed; a mel bin is the mean of
    a few bands, two of them here.
    """
    shape = (2, *floors.shape, crops.frames)
    drawn = torch.rand(shape, generator=generator, device=generator.device).clamp(min=1e-12)
    noise = floors[:, :, None] * (-drawn.log()).mean(dim=0).to(floors)
    return torch.cat([noise, floors[:, :, None]], dim=2) if crops.with_floor else noise


def with_teacher(
    segments: Segments,
    power: Tensor,
    labels: Tensor,
    settings: Mapping[str, Any],
    crops: Crops,
    rng: Generator,
) -> tuple[Tensor, Tensor, Tensor]:
    """Clips mixed at a constant weight with pseudo-labelled segments, with the maximum of labels,
    or replaced by them.

    A class counts where the teacher was sure of it, or the clip itself has it.
    """
    batch = len(power)
    drawn, found = segments.draw(batch, rng), torch.ones(batch, dtype=torch.bool)
    if settings["mix_as"] == "replace-same":
        drawn, found = segments.draw_same(labels, rng)
    chosen = (torch.rand(batch, generator=rng) < settings["mix_share"]) & found
    on_device = drawn.to(power.device)
    chunks = segments.soundscapes.power(
        segments.rows[on_device],
        segments.offsets[on_device],
        crops.frames,
        with_floor=crops.with_floor,
    )
    if settings["mix_as"] == "mix":
        mixed = mix_constant(power, chunks, settings["mix"], match_power=settings["match_power"])
        both = torch.maximum(labels, segments.labels[drawn])
        counts = segments.mask[drawn] | (labels > 0)
    else:
        mixed, both, counts = chunks, segments.labels[drawn], segments.mask[drawn]
    return (
        torch.where(chosen.to(power.device)[:, None, None], mixed, power),
        torch.where(chosen[:, None], both, labels),
        counts | ~chosen[:, None],
    )


def among_themselves(
    power: Tensor,
    labels: Tensor,
    mask: Tensor | None,
    settings: Mapping[str, Any],
    rng: Generator,
) -> tuple[Tensor, Tensor, Tensor | None, Second | None]:
    """MixUp and Sumix between the clips of a batch; a class must count in both parts, or each part
    keeps its labels and has its share of the loss (one for the whole batch; 4th place 2025)."""
    second = None
    own = settings["mixup"]
    if own["probability"]:
        constant = own["weight"] is not None
        lam, partner = draw_mixup(
            len(power),
            rng,
            probability=own["probability"],
            alpha=None if constant else own["alpha"],
            weight=own["weight"],
        )
        if own["labels"] == "losses":
            share = 1 - float(lam[0])
            power, _ = mixup(power, labels, lam[:1].expand_as(lam), partner, "soft")
            second = Second(share, labels[partner], None if mask is None else mask[partner])
        else:
            power, labels = mixup(power, labels, lam, partner, own["labels"])
            mask = None if mask is None else mask & (mask[partner] | (lam == 1)[:, None])
    own = settings["sumix"]
    if own["probability"]:
        gains, partner = draw_sumix(
            len(power), (-own["gain_db"], own["gain_db"]), rng, probability=own["probability"]
        )
        power, labels = sumix(power, labels, gains, partner, "power")
        if mask is not None:
            mask = mask & (mask[partner] | gains[:, 1].isneginf()[:, None])
    return power, labels, mask, second
