"""Augmentations of whole batches, with the drawing of parameters apart from their use.

`draw_...` functions take a `torch.Generator` and return parameters on its device; the others move
them to the devices of spectrograms and labels, which may differ. Spectrograms are mel power
(B, F, T): powers of uncorrelated sounds add on average, so mixing comes before decibels and
normalisation. Waves (B, samples of a frame, T) add exactly: where `domain` is "wave" their gains
are roots of those of power. Labels are (B, K) in 0 to 1. `partner` (B,) is the sample of the batch
that is mixed in.

    >>> generator = torch.Generator().manual_seed(0)
    >>> power, labels = torch.rand(4, 64, 100), torch.eye(4)
    >>> lam, partner = draw_mixup(4, generator, alpha=0.5)
    >>> mixed, labels = mixup(power, labels, lam, partner, "max")
    >>> mixed.shape
    torch.Size([4, 64, 100])
"""

from typing import Literal

import torch
from torch import Generator, Tensor

LabelMix = Literal["soft", "max", "add"]
Domain = Literal["power", "wave"]
"""What sounds are."""


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
    mixed = draw_chosen(batch, probability, generator)
    return torch.where(mixed, lam, 1.0), draw_partner(batch, generator)


def draw_partner(batch: int, generator: Generator) -> Tensor:
    """A partner (B,) for every sample: the next in a random ring, so another sample if B > 1."""
    ring = torch.randperm(batch, generator=generator, device=generator.device)
    return torch.empty_like(ring).scatter_(0, ring, ring.roll(1))


def mixup(
    power: Tensor,
    labels: Tensor,
    lam: Tensor,
    partner: Tensor,
    how: LabelMix,
    domain: Domain = "power",
) -> tuple[Tensor, Tensor]:
    """MixUp in power: lam of each sample and 1 - lam of its partner.

    Args:
        power: (B, F, T), or waves.
        labels: (B, K) in 0 to 1.
        lam: weights (B,); .5 is the sum of two waves, up to a gain.
        partner: (B,).
        how: how labels are mixed, see `mix_labels`.
        domain: of the sounds.

    Returns:
        Sounds and labels of the mixes.
    """
    other = power[partner.to(power.device)]
    mixed = _weighted(other, power, lam.to(power)[:, None, None], domain)
    return mixed, mix_labels(labels, labels[partner.to(labels.device)], lam, how)


def mix_labels(labels: Tensor, other: Tensor, lam: Tensor, how: LabelMix) -> Tensor:
    """Labels (B, K) of sounds mixed at weights lam (B,) and 1 - lam; as they were where lam = 1.

    soft: weighted, like the sound (Zhang et al. 2018).
    max: a class in either part counts in full (8th place 2025; "hard").
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
    power: Tensor,
    other: Tensor,
    weight: float = 0.5,
    *,
    match_power: bool = False,
    domain: Domain = "power",
) -> Tensor:
    """1 - `weight` of power (B, F, T) and `weight` of other (B, F, T), or of the power of waves.

    So 1st place 2025 mixes each labelled clip with a pseudo-labelled chunk; the labels go
    through `mix_labels`. `match_power` first brings `other` to the sample's mean power, unless
    one of the two is silent.
    """
    if match_power:
        mean, other_mean = (mean_power(x, domain) for x in (power, other))
        audible = (mean > 0) & (other_mean > 0)
        other = other * gain_of(torch.where(audible, mean / other_mean, 1.0), domain)
    return _weighted(power, other, weight, domain)


def mean_power(sounds: Tensor, domain: Domain) -> Tensor:
    """The mean power (B, 1, 1) of each of sounds (B, F, T)."""
    power = sounds.square() if domain == "wave" else sounds
    return power.mean(dim=(1, 2), keepdim=True)


def gain_of(power_gain: Tensor, domain: Domain) -> Tensor:
    """What sounds are multiplied by so that their power has this gain."""
    return power_gain.sqrt() if domain == "wave" else power_gain


def _weighted(sounds: Tensor, other: Tensor, weight: Tensor | float, domain: Domain) -> Tensor:
    """1 - `weight` of the power of sounds and `weight` of that of other."""
    if domain == "power":
        return torch.lerp(sounds, other, weight)
    return (1 - weight) ** 0.5 * sounds + weight**0.5 * other


def draw_sumix(
    batch: int, gain_db: tuple[float, float], generator: Generator, *, probability: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Gains (B, 2) in dB, of the sample and its partner, and partners (B,) for `sumix`.

    A sample that is not mixed has (0, -inf).
    """
    gains = draw_uniform((batch, 2), *gain_db, generator)
    alone = torch.tensor([0.0, -torch.inf], device=generator.device)
    mixed = draw_chosen(batch, probability, generator)
    return torch.where(mixed[:, None], gains, alone), draw_partner(batch, generator)


def sumix(
    sounds: Tensor,
    labels: Tensor,
    gains_db: Tensor,
    partner: Tensor,
    domain: Domain,
) -> tuple[Tensor, Tensor]:
    """Sumix (13th place 2025): the sum of each sample and its partner, each at its own gain.

    On mel power it equals the sum of waves on average, for uncorrelated sounds.

    Args:
        sounds: waves (B, ...) or power (B, F, T).
        labels: (B, K); a mix has the maximum of both.
        gains_db: of sample and partner (B, 2).
        partner: (B,).
        domain: of the sounds.

    Returns:
        Sounds and labels of the mixes.
    """
    gains = gain_of(10.0 ** (gains_db.to(sounds) / 10.0), domain)
    gain, partner_gain = (g.reshape(-1, *[1] * (sounds.ndim - 1)) for g in gains.unbind(dim=1))
    mixed = gain * sounds + partner_gain * sounds[partner.to(sounds.device)]
    both = torch.maximum(labels, labels[partner.to(labels.device)])
    alone = gains_db.to(labels.device)[:, 1:].isneginf()
    return mixed, torch.where(alone, labels, both)


def random_gain(
    power: Tensor,
    low_db: float,
    high_db: float,
    generator: Generator,
    domain: Domain = "power",
) -> Tensor:
    """Every sample of power (B, F, T), or wave, louder or softer by a uniform draw in dB."""
    gain_db = draw_uniform((power.shape[0], 1, 1), low_db, high_db, generator)
    return power * gain_of(10.0 ** (gain_db / 10.0), domain).to(power)


def spec_augment(
    x: Tensor,
    freq_width: int,
    time_width: int,
    freq_masks: int,
    time_masks: int,
    generator: Generator,
    fill: float = 0.0,
    bins: Tensor | None = None,
) -> Tensor:
    """Bands of bins and of frames of x (B, F, T) or (B, C, F, T) set to `fill`, for each sample.

    Park et al. 2019 with the limits of `torchaudio.functional.mask_along_axis_iid`: a band is
    narrower than its width and lies within the axis. On normalised input: 0 is a z-score's mean.
    A band is of the first channel's bins; those of others are masked with that bin of it that
    `bins` (C * F,) names, or with the one of the same number.
    """
    in_bins = _draw_bands(x.shape[0], freq_masks, x.shape[-2], freq_width, generator)
    in_frames = _draw_bands(x.shape[0], time_masks, x.shape[-1], time_width, generator)
    if bins is not None:
        in_bins = in_bins[:, bins.to(in_bins.device)]
    masked = in_bins.view(len(x), -1, x.shape[-2], 1) | in_frames[:, None, None, :]
    return x.masked_fill((masked if x.ndim == 4 else masked[:, 0]).to(x.device), fill)


def _draw_bands(batch: int, masks: int, size: int, width: int, generator: Generator) -> Tensor:
    lengths = draw_uniform((batch, masks), 0.0, min(width, size), generator)
    starts = draw_uniform((batch, masks), 0.0, 1.0, generator) * (size - lengths)
    first = starts.long()[:, :, None]
    position = torch.arange(size, device=generator.device)
    inside = (position >= first) & (position < first + lengths.long()[:, :, None])
    return inside.any(dim=1)


def draw_chosen(batch: int, probability: float, generator: Generator) -> Tensor:
    """Which samples (B,) are changed, each with this probability."""
    return draw_uniform((batch,), 0.0, 1.0, generator) < probability


def draw_uniform(shape: tuple[int, ...], low: float, high: float, generator: Generator) -> Tensor:
    """Uniform draws of a shape, on the generator's device."""
    return torch.rand(shape, generator=generator, device=generator.device) * (high - low) + low
