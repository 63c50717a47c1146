"""Augmentations of single clips: filters, shifts in time, noise; each sample independently.

Batches are mel power (B, F, T) on any device. Each function draws for every sample, on the device
of its `torch.Generator`, and changes a sample with `probability`; the input is not modified.

Where F are the bins of several channels, `bins_of_first` (F,) names for each the bin of the first
channel whose gain it has, so that all lose the same frequencies.

With `floor_frames` = 1 the last frame is the recording's steady noise: a level, not a moment.
Filters change it like any frame, shifts leave it in place, noise adds its mean power to it.

    >>> power = torch.rand(4, 64, 100)
    >>> time_shift(power, 10, torch.Generator().manual_seed(0)).shape
    torch.Size([4, 64, 100])
"""

import math
from typing import Literal

import torch
from torch import Generator, Tensor
from torch.nn.functional import pad

from birdcore.training.augment import draw_chosen, draw_uniform


def random_filter(
    power: Tensor,
    limit_db: float,
    generator: Generator,
    *,
    points: int = 4,
    apart: float = 6.0,
    probability: float = 1.0,
    bins_of_first: Tensor | None = None,
) -> Tensor:
    """A gain over bins, linear in dB between `points` drawn from -limit_db to limit_db.

    FilterAugment of linear type (Nam et al. 2022): two points at the ends, the others at random,
    at least `apart` bins from each other where there is room. Raises ValueError unless there are
    2 to F points.
    """
    batch, bins = len(power), _drawn_bins(power, bins_of_first)
    if not 2 <= points <= bins:
        raise ValueError(f"a filter of {points} points: choose 2 to {bins}, the number of bins")
    apart = min(apart, (bins - 1) / (points - 1))
    room = bins - 1 - apart * (points - 1)
    inner = draw_uniform((batch, points - 2), 0.0, room, generator).sort(dim=1).values
    knots = pad(pad(inner, (1, 0), value=0.0), (0, 1), value=room)
    knots = knots + apart * torch.arange(points, device=knots.device)
    gains_db = draw_uniform((batch, points), -limit_db, limit_db, generator)
    curve_db = _interpolate(knots, gains_db, bins)
    chosen = draw_chosen(batch, probability, generator)[:, None]
    gain = 10.0 ** (torch.where(chosen, curve_db, 0.0) / 10.0)
    return power * _of_all(gain, bins_of_first).to(power)[:, :, None]


def band_pass(
    power: Tensor,
    attenuation_db: float,
    min_share: float,
    generator: Generator,
    *,
    probability: float = 1.0,
    bins_of_first: Tensor | None = None,
) -> Tensor:
    """All bins below a random one and above another softer by `attenuation_db`.

    The band between them is at least `min_share` of the bins.
    """
    batch, bins = len(power), _drawn_bins(power, bins_of_first)
    kept = _draw_stretch(batch, bins, min_share, generator)
    kept = kept | ~draw_chosen(batch, probability, generator)[:, None]
    gain = torch.where(kept, 1.0, 10.0 ** (-attenuation_db / 10.0))
    return power * _of_all(gain, bins_of_first).to(power)[:, :, None]


def time_shift(
    power: Tensor,
    max_frames: int,
    generator: Generator,
    *,
    floor_frames: int = 0,
    probability: float = 1.0,
) -> Tensor:
    """Rolled in time by up to `max_frames` either way: what leaves at one end enters the other."""
    batch, frames = len(power), power.shape[2] - floor_frames
    shift = draw_uniform((batch, 1), 0.0, 2 * max_frames + 1, generator).long() - max_frames
    shift = shift * draw_chosen(batch, probability, generator)[:, None]
    return _in_order(power, (torch.arange(frames, device=generator.device) - shift) % frames)


def time_reverse(
    power: Tensor, generator: Generator, *, floor_frames: int = 0, probability: float = 0.5
) -> Tensor:
    """Last frame first."""
    batch, frames = len(power), power.shape[2] - floor_frames
    chosen = draw_chosen(batch, probability, generator)[:, None]
    steps = torch.arange(frames, device=generator.device)
    return _in_order(power, torch.where(chosen, steps.flip(0), steps))


def frequency_flip(
    power: Tensor, generator: Generator, *, probability: float = 0.5, channels: int = 1
) -> Tensor:
    """Lowest bin first becomes lowest bin last, within each of `channels` laid end to end."""
    batch, bins, _ = power.shape
    chosen = draw_chosen(batch, probability, generator)[:, None]
    place = torch.arange(bins, device=generator.device)
    upside_down = place.view(channels, -1).flip(1).flatten()
    order = torch.where(chosen, upside_down, place).to(power.device)
    return power.gather(1, order[:, :, None].expand(-1, -1, power.shape[2]))


def random_padding(
    power: Tensor,
    min_share: float,
    generator: Generator,
    *,
    fill: Literal["silence", "floor"] = "silence",
    floor_frames: int = 0,
    probability: float = 1.0,
) -> Tensor:
    """A random stretch of at least `min_share` of the frames kept in place, the rest filled.

    silence: power 0. floor: noise of the floor's power; ValueError if there is no floor.
    """
    if fill == "floor" and floor_frames == 0:
        raise ValueError(
            "padding with the floor needs floor_frames: bring it, or fill with silence"
        )
    frames = power.shape[2] - floor_frames
    rows = draw_chosen(len(power), probability, generator).nonzero()[:, 0]
    kept = _draw_stretch(len(rows), frames, min_share, generator)[:, None, :].to(power.device)
    rows = rows.to(power.device)
    sound, floor = power[rows].tensor_split([frames], dim=2)
    rest = torch.zeros_like(sound)
    if fill == "floor":
        rest = _gaussian_noise(floor.mean(dim=2), frames, generator)
    padded = torch.cat([torch.where(kept, sound, rest), floor], dim=2)
    return power.index_copy(0, rows, padded)


def coloured_noise(
    power: Tensor,
    frequencies: Tensor,
    exponent: tuple[float, float],
    snr_db: tuple[float, float],
    generator: Generator,
    *,
    widths: Tensor | None = None,
    floor_frames: int = 0,
    probability: float = 1.0,
    channels: int = 1,
) -> Tensor:
    """Noise whose density falls as 1 / f^exponent: 0 is white, 1 pink, 2 brown; both are drawn.

    `frequencies` (F,) are the bins' centres in Hz; ValueError unless they are above 0. `snr_db`
    is of mean powers over all cells, in each of `channels` laid end to end. Mel filters of one
    height (MelSpec.norm None) let more through the wider they are: `widths` (F,) are theirs.
    Filters of one area need none.
    """
    if not bool((frequencies > 0).all()):
        raise ValueError("coloured noise needs centre frequencies above 0 Hz")
    frames = power.shape[2] - floor_frames
    rows = draw_chosen(len(power), probability, generator).nonzero()[:, 0]
    slopes = draw_uniform((len(rows), 1), *exponent, generator).to(power)
    snrs_db = draw_uniform((len(rows), 1), *snr_db, generator).to(power)
    rows = rows.to(power.device)
    spectra = (frequencies / frequencies.mean()).to(power) ** -slopes
    if widths is not None:
        spectra = spectra * widths.to(power)
    spectra = spectra.unflatten(1, (channels, -1))
    sound = power[rows, :, :frames].unflatten(1, (channels, -1))
    levels = sound.mean(dim=(2, 3)) * 10.0 ** (-snrs_db / 10.0)
    spectra = (spectra * (levels[:, :, None] / spectra.mean(dim=2, keepdim=True))).flatten(1)
    noise = _gaussian_noise(spectra, frames, generator)
    noise = torch.cat([noise, spectra[:, :, None].expand(-1, -1, floor_frames)], dim=2)
    return power.index_add(0, rows, noise)


def _gaussian_noise(means: Tensor, frames: int, generator: Generator) -> Tensor:
    """Noise (N, F, frames) of these mean powers (N, F), as it is cell by cell.

    The power of Gaussian noise in a band is exponentially distributed; a mel bin is the mean of
    a few bands, two of them here.
    """
    # 1 - u is never 0; the logarithm of a product is the sum of two exponential draws.
    first, second = (1.0 - draw_uniform((2, *means.shape, frames), 0.0, 1.0, generator)).unbind()
    return (first * second).to(means).log() * (-0.5 * means[:, :, None])


def _interpolate(knots: Tensor, values: Tensor, size: int) -> Tensor:
    """Values (B, size) at 0, 1, ... by lines between knots (B, P), as `numpy.interp`."""
    at = torch.arange(size, device=knots.device, dtype=knots.dtype).repeat(len(knots), 1)
    right = torch.searchsorted(knots, at).clamp(1, knots.shape[1] - 1)
    begin, end = knots.gather(1, right - 1), knots.gather(1, right)
    share = ((at - begin) / (end - begin)).clamp(0.0, 1.0)
    return torch.lerp(values.gather(1, right - 1), values.gather(1, right), share)


def _drawn_bins(power: Tensor, bins_of_first: Tensor | None) -> int:
    """For how many bins of power (B, F, T) is drawn: all, or those of the first channel."""
    return power.shape[1] if bins_of_first is None else int(bins_of_first.max()) + 1


def _of_all(gain: Tensor, bins_of_first: Tensor | None) -> Tensor:
    """Gains of all bins (B, F) from those that were drawn."""
    return gain if bins_of_first is None else gain[:, bins_of_first.to(gain.device)]


def _in_order(power: Tensor, order: Tensor) -> Tensor:
    """Frames of each sample in its `order` (B, frames); those behind stay."""
    batch, bins, total = power.shape
    behind = torch.arange(order.shape[1], total, device=order.device).expand(batch, -1)
    order = torch.cat([order, behind], dim=1).to(power.device)
    return power.gather(2, order[:, None, :].expand(-1, bins, -1))


def _draw_stretch(batch: int, size: int, min_share: float, generator: Generator) -> Tensor:
    """True (batch, size) on one stretch, of `min_share` to all of `size`, anywhere in it."""
    # Less a rounding error: a tenth of 30 is 3.
    fewest = min(max(math.ceil(min_share * size - 1e-9), 1), size)
    lengths = draw_uniform((batch, 1), fewest, size + 1, generator).long()
    first = (draw_uniform((batch, 1), 0.0, 1.0, generator) * (size - lengths + 1)).long()
    position = torch.arange(size, device=generator.device)
    return (position >= first) & (position < first + lengths)
