"""Augmentations on whole batches, on the device, with their randomness apart.

`draw_...` functions take a `torch.Generator` and return parameters on its device; the others move
them to where the sounds and the labels are, which may be two places. Spectrograms are mel power
(B, F, T): sounds that do not know each other add up in power on average, so mixing happens there,
before decibels and normalisation. Labels are (B, K) in 0 to 1. `partner` (B,) says which sample of
the batch is mixed in.
"""

from typing import Literal

import torch
from torch import Generator, Tensor

LabelMix = Literal["soft", "max", "add"]


def draw_mixup(
    batch: int,
    generator: Generator,
    *,
    probability: float = 0.5,
    alpha: float | None = None,
    weight: float | None = None,
) -> tuple[Tensor, Tensor]:
    """Weights (B,) and partners (B,) for `mixup`; a sample that is not mixed has weight 1.

    Either `alpha`: weights from Beta(alpha, alpha), or a constant `weight`.
    Raises ValueError unless exactly one of the two is given.
    """
    if (alpha is None) == (weight is None):
        raise ValueError("mixup takes either alpha (a Beta distribution) or a constant weight")
    lam = torch.full((batch,), 1.0 if weight is None else weight, device=generator.device)
    if alpha is not None:
        concentration = torch.full((batch, 2), alpha, device=generator.device)
        # torch.distributions takes no generator; a Dirichlet of two is a Beta.
        lam = torch._sample_dirichlet(concentration, generator=generator)[:, 0]
    mixed = _draw_mixed(batch, probability, generator)
    return torch.where(mixed, lam, 1.0), draw_partner(batch, generator)


def draw_partner(batch: int, generator: Generator) -> Tensor:
    """A partner (B,) for every sample along a random ring: nobody's own if B > 1."""
    ring = torch.randperm(batch, generator=generator, device=generator.device)
    return torch.empty_like(ring).scatter_(0, ring, ring.roll(1))


def mixup(
    power: Tensor, labels: Tensor, lam: Tensor, partner: Tensor, how: LabelMix
) -> tuple[Tensor, Tensor]:
    """lam of each sample and 1 - lam of its partner, in power; labels by `mix_labels`.

    The half-and-half of two waves is a weight of .5 here, up to a gain.
    """
    other = power[partner.to(power.device)]
    mixed = torch.lerp(other, power, lam.to(power)[:, None, None])
    return mixed, mix_labels(labels, labels[partner.to(labels.device)], lam, how)


def mix_labels(labels: Tensor, other: Tensor, lam: Tensor, how: LabelMix) -> Tensor:
    """Labels (B, K) of sounds mixed at weights lam (B,) and 1 - lam; as they were where lam = 1.

    soft: weighted, like the sound (Zhang et al. 2018).
    max: a bird that sounds is there, however faint (8th place 2025; "hard").
    add: the sum, at most 1 (2nd place 2025).
    """
    lam = lam.to(labels)[:, None]
    if how == "soft":
        return torch.lerp(other, labels, lam)
    if how == "max":
        return torch.where(lam < 1, torch.maximum(labels, other), labels)
    if how == "add":
        return torch.where(lam < 1, (labels + other).clamp_max(1.0), labels)
    raise ValueError(f"labels of a mix: choose soft, max or add, not {how!r}")


def mix_constant(
    power: Tensor, other: Tensor, weight: float = 0.5, *, match_power: bool = False
) -> Tensor:
    """1 - `weight` of power (B, F, T) and `weight` of other (B, F, T).

    So 1st place 2025 mixes each labelled clip with a pseudo-labelled chunk; the labels go
    through `mix_labels`. `match_power` first brings `other` to the sample's mean power, unless
    one of the two is silent.
    """
    if match_power:
        mean, other_mean = (x.mean(dim=(1, 2), keepdim=True) for x in (power, other))
        audible = (mean > 0) & (other_mean > 0)
        other = other * torch.where(audible, mean / other_mean, 1.0)
    return torch.lerp(power, other, weight)


def draw_sumix(
    batch: int, gain_db: tuple[float, float], generator: Generator, *, probability: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Gains (B, 2) in dB, of the sample and its partner, and partners (B,) for `sumix`.

    A sample that is not mixed has (0, -inf).
    """
    gains = _uniform((batch, 2), *gain_db, generator)
    alone = torch.tensor([0.0, -torch.inf], device=generator.device)
    mixed = _draw_mixed(batch, probability, generator)
    return torch.where(mixed[:, None], gains, alone), draw_partner(batch, generator)


def sumix(
    sounds: Tensor,
    labels: Tensor,
    gains_db: Tensor,
    partner: Tensor,
    domain: Literal["wave", "power"],
) -> tuple[Tensor, Tensor]:
    """The sum of each sample and its partner, each at a gain of its own; the maximum of labels.

    Sumix as 13th place 2025 uses it on waves (B, samples); on mel power (B, F, T), all that a
    cache of spectrograms has, it is the same on average, for independent sounds.
    """
    gains = 10.0 ** (gains_db.to(sounds) / (20.0 if domain == "wave" else 10.0))
    own, others = (gain.reshape(-1, *[1] * (sounds.ndim - 1)) for gain in gains.unbind(dim=1))
    mixed = own * sounds + others * sounds[partner.to(sounds.device)]
    both = torch.maximum(labels, labels[partner.to(labels.device)])
    alone = gains_db.to(labels.device)[:, 1:].isneginf()
    return mixed, torch.where(alone, labels, both)


def random_gain(power: Tensor, low_db: float, high_db: float, generator: Generator) -> Tensor:
    """Every sample of power (B, F, T) louder or softer by a uniform draw in dB."""
    gain_db = _uniform((power.shape[0], 1, 1), low_db, high_db, generator)
    return power * (10.0 ** (gain_db / 10.0)).to(power)


def spec_augment(
    x: Tensor,
    freq_width: int,
    time_width: int,
    freq_masks: int,
    time_masks: int,
    generator: Generator,
    fill: float = 0.0,
) -> Tensor:
    """Bands of bins and of frames of x (B, F, T) set to `fill`, drawn for each sample.

    Park et al. 2019 with the limits of `torchaudio.functional.mask_along_axis_iid`: a band is
    narrower than its width and lies within the axis. On normalised input: 0 is a z-score's mean.
    """
    in_bins = _draw_bands(x.shape[0], freq_masks, x.shape[1], freq_width, generator)
    in_frames = _draw_bands(x.shape[0], time_masks, x.shape[2], time_width, generator)
    masked = in_bins[:, :, None] | in_frames[:, None, :]
    return x.masked_fill(masked.to(x.device), fill)


def _draw_bands(batch: int, masks: int, size: int, width: int, generator: Generator) -> Tensor:
    lengths = _uniform((batch, masks), 0.0, min(width, size), generator)
    starts = _uniform((batch, masks), 0.0, 1.0, generator) * (size - lengths)
    first = starts.long()[:, :, None]
    position = torch.arange(size, device=generator.device)
    inside = (position >= first) & (position < first + lengths.long()[:, :, None])
    return inside.any(dim=1)


def _draw_mixed(batch: int, probability: float, generator: Generator) -> Tensor:
    return _uniform((batch,), 0.0, 1.0, generator) < probability


def _uniform(shape: tuple[int, ...], low: float, high: float, generator: Generator) -> Tensor:
    return torch.rand(shape, generator=generator, device=generator.device) * (high - low) + low
