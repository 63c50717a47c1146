"""Morlet wavelets at many scales, as frames: what the front ends `cwt` and `superlet` compute.

A Morlet wavelet of frequency f and c cycles is a Gaussian in frequency, with a standard deviation
of f / c, and one in time, of c / (2 pi f). Blocks of samples are transformed once; of each wavelet
only that part of the spectrum is multiplied and transformed back that the Gaussian lets through,
so that no more values come out than its bandwidth needs, several a frame at high frequencies and
one at low ones. Their power is averaged over the frame, so a click between the centres of two
frames is not lost. Blocks overlap by the longest wavelet. Only positive frequencies are read.

A superlet (Moca et al. 2021, Nature Communications 12:337) is the geometric mean over wavelets of
1, 2, 3 ... times as many cycles: as short as the first and as narrow as the last. With an order
that is no whole number the last of them has a smaller exponent (Barzan et al. 2021, FASLT).
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby

import numpy as np
import numpy.typing as npt
import torch
from scipy.fft import next_fast_len
from torch import Tensor

from birdcore.features.cwt import CwtSpec
from birdcore.features.spectrogram import centred_frames

Floats = npt.NDArray[np.float32]

REACH = 4.5
"""Standard deviations at which Gaussians are cut: 4e-5 of the peak, 88 decibels below it."""
DENSITY = 6.0
"""Values a second of a wavelet's power for each Hz of its standard deviation. With a Gaussian's
power of exp(-t^2 / s^2) their sum depends on where they lie by 2 exp(-DENSITY^2 / 4), .03 %."""
TONE_POWER = 512.0
"""Of a tone with an amplitude of 1: about a mel's of 2048 samples, so that floors and scales of
codes suit both."""
BLOCK_SAMPLES = 54_000
"""Samples of which a block gives the frames, at least: longer ones overlap less and leave the
processor's cache."""
BATCH_VALUES = 1 << 16
"""Complex values of a block that are transformed back at once: 512 KiB."""


def wavelet_blocks(
    blocks: Iterable[Floats],
    spec: CwtSpec,
    *,
    device: str | torch.device = "cpu",
    batch: int = 4,
) -> Iterator[Floats]:
    """Powers (t, scales), float32, of mono samples at `spec.sample_rate` in blocks (n,).

    The signal is mirrored at its ends. In all there come spec.frames(samples).

    Args:
        blocks: The samples.
        spec: The wavelets, or the superlets.
        device: Computes.
        batch: Blocks of `BLOCK_SAMPLES` or more that go there at once. On a processor 4 share what
            MKL prepares for a transform, and stay in the cache; a GPU wants dozens.

    Raises:
        ValueError: There is no sample, or more than one channel.
    """
    bank = wavelet_bank(spec, torch.device(device))
    read = done = 0

    def counted() -> Iterator[Floats]:
        nonlocal read
        for block in blocks:
            read += len(block)
            yield block

    step = bank.kept * spec.hop_length
    before = bank.overlap * spec.hop_length + spec.hop_length // 2
    for pieces in centred_frames(counted(), bank.samples, step, before=before, most=batch):
        # A copy, as pieces overlap: they are views of what was read.
        power = frame_power(torch.from_numpy(pieces.copy()).to(bank.device), bank)
        frames = power.flatten(0, 1)[: spec.frames(read) - done].cpu().numpy()
        done += len(frames)
        yield frames


@dataclass(frozen=True)
class Crop:
    """Parts of a spectrum that wavelets let through.

    starts: The first bin of each of K scales. weights: complex64 (K, width). exponent: Of the
    wavelets' power in the mean over orders.
    """

    starts: tuple[int, ...]
    weights: Tensor
    exponent: float


@dataclass(frozen=True)
class Batch:
    """Scales with as many values a frame; a crop for each order."""

    scales: slice
    values: int
    crops: tuple[Crop, ...]


@dataclass(frozen=True)
class Tier:
    """Scales whose wavelets reach as far: `overlap` frames before and after those of a block."""

    overlap: int
    batches: tuple[Batch, ...]


@dataclass(frozen=True)
class Bank:
    """All wavelets on a device, for blocks of kept + 2 * overlap frames of `hop` samples.

    Tiers with shorter wavelets read less of a block.
    """

    hop: int
    kept: int
    overlap: int
    scales: int
    tiers: tuple[Tier, ...]
    device: torch.device

    @property
    def samples(self) -> int:
        """The length of a block."""
        return (self.kept + 2 * self.overlap) * self.hop


def frame_power(samples: Tensor, bank: Bank) -> Tensor:
    """Powers (B, bank.kept, scales), float32, of blocks (B, bank.samples)."""
    power = samples.new_empty((len(samples), bank.kept, bank.scales))
    for tier in bank.tiers:
        unread = (bank.overlap - tier.overlap) * bank.hop
        spectrum: Tensor = torch.fft.rfft(samples[:, unread : bank.samples - unread])
        for batch in tier.batches:
            waves = (_waves(spectrum, batch, crop, tier, bank.kept) for crop in batch.crops)
            power[:, :, batch.scales] = _mean_power(waves, batch).transpose(1, 2)
    return power


def _waves(spectrum: Tensor, batch: Batch, crop: Crop, tier: Tier, kept: int) -> Tensor:
    """The wavelets' complex values (B, K, kept, batch.values) in time."""
    (scales, width), frames = crop.weights.shape, kept + 2 * tier.overlap
    count = frames * batch.values
    padded = spectrum.new_empty((len(spectrum), scales, max(count, width)))
    # Several times as fast as by indices.
    parts = torch.stack([spectrum[:, at : at + width] for at in crop.starts], dim=1)
    torch.mul(parts, crop.weights, out=padded[:, :, :width])
    padded[:, :, width:] = 0
    if width > count:
        # Of fewer values a second than its bandwidth the spectrum is the sum of its parts.
        padded[:, :, : width - count] += padded[:, :, count:]
    waves: Tensor = torch.fft.ifft(padded[:, :, :count], norm="forward")
    waves = waves.view(-1, scales, frames, batch.values)
    return waves[:, :, tier.overlap : tier.overlap + kept]


def _mean_power(waves: Iterator[Tensor], batch: Batch) -> Tensor:
    """Powers (B, K, kept) of the geometric mean over orders of values (B, K, kept, values)."""
    if len(batch.crops) == 1:
        norms = torch.linalg.vector_norm(torch.view_as_real(next(waves)).flatten(-2), dim=-1)
        power: Tensor = norms.square_() / batch.values
        return power
    nepers = torch.zeros(())
    for crop, wave in zip(batch.crops, waves, strict=True):
        squares = torch.view_as_real(wave).square()
        log = (squares[..., 0] + squares[..., 1]).log_()
        nepers = log.mul_(crop.exponent).add_(nepers)
    return nepers.exp_().mean(dim=-1)


@lru_cache(maxsize=8)
def wavelet_bank(spec: CwtSpec, device: torch.device) -> Bank:
    """The wavelets of a spec; kept, as making them takes longer than using them once."""
    hop = spec.hop_length
    seconds = spec.wavelets[-1][0] * spec.cycles / (2 * math.pi * spec.centres().astype(np.float64))
    overlaps = np.ceil(REACH * seconds * (spec.sample_rate / hop)).astype(int)
    least = max(math.ceil(BLOCK_SAMPLES / hop), overlaps[0])
    kept = _even_fast(least + 2) - 2
    # Most values are of high frequencies, whose blocks need to overlap by a frame only.
    long = int(np.count_nonzero(overlaps > 1))
    tiers = []
    for scales in filter(None, (range(long), range(long, spec.scales))):
        overlap = (_even_fast(kept + 2 * overlaps[scales[0]]) - kept) // 2
        tiers.append(Tier(overlap, tuple(_batches(spec, scales, kept + 2 * overlap, device))))
    return Bank(hop, kept, tiers[0].overlap, spec.scales, tuple(tiers), device)


def _even_fast(frames: int) -> int:
    """An even number, as large or larger, of which transforms are fast: no factor is above 5."""
    return 2 * int(next_fast_len(math.ceil(frames / 2), real=True))


def _batches(spec: CwtSpec, scales: range, frames: int, device: torch.device) -> Iterator[Batch]:
    """Batches of scales of blocks of so many frames."""
    hertz = spec.centres().astype(np.float64)
    # The mean over the orders is longer than the first wavelet, and so its power narrower.
    narrower = math.sqrt(sum(exponent / multiple**2 for multiple, exponent in spec.wavelets))
    density = max(REACH, narrower * DENSITY)  # the sum of parts has two at most
    reach = REACH * hertz / spec.cycles
    widths = np.minimum(hertz + reach, spec.sample_rate / 2) - np.maximum(hertz - reach, 0)
    needed = np.minimum(density * hertz / spec.cycles, widths) * spec.hop_length / spec.sample_rate
    for values, group in groupby(scales, key=lambda scale: _rounded(needed[scale])):
        alike, most = list(group), max(1, BATCH_VALUES // (frames * values))
        for part in range(0, len(alike), most):
            chosen = slice(alike[part], alike[part : part + most][-1] + 1)
            crops = tuple(
                _crop(spec, hertz[chosen], frames, values, *wavelet, device)
                for wavelet in spec.wavelets
            )
            yield Batch(chosen, values, crops)


def _rounded(values: float) -> int:
    """Up to 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20 ...: few numbers make large batches."""
    step = 2.0 ** max(0, math.floor(math.log2(max(values, 1))) - 2)
    return int(max(1, math.ceil(values / step)) * step)


def _crop(
    spec: CwtSpec,
    hertz: npt.NDArray[np.float64],
    frames: int,
    values: int,
    multiple: float,
    exponent: float,
    device: torch.device,
) -> Crop:
    """What wavelets (K,) of `multiple` times the cycles let through of a block's spectrum."""
    samples = frames * spec.hop_length
    centres = hertz[:, None] * (samples / spec.sample_rate)  # in bins
    deviations = centres / (multiple * spec.cycles)
    first = np.ceil(centres - REACH * deviations).clip(1).astype(int)
    last = np.floor(centres + REACH * deviations).clip(max=samples // 2).astype(int)
    width = int((last - first).max()) + 1
    starts = np.minimum(first, samples // 2 + 1 - width)
    bins = starts + np.arange(width)
    weights = np.exp(-0.5 * ((bins - centres) / deviations) ** 2)
    weights *= (bins >= first) & (bins <= last)
    weights *= 2 * math.sqrt(TONE_POWER) / samples
    # Value i of a frame is of its sample (i + 1/2) / values; frames of odd hops begin between two
    # samples, blocks half a sample behind.
    delay = (spec.hop_length / values - spec.hop_length % 2) / 2 / samples
    turned = (weights * np.exp(2j * math.pi * delay * bins)).astype(np.complex64)
    return Crop(tuple(starts[:, 0].tolist()), torch.from_numpy(turned).to(device), exponent)
