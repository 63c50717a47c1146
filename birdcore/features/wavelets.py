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
Ints = npt.NDArray[np.int64]

REACH = 4.5
"""Standard deviations at which Gaussians are cut: 4e-5 of the peak, 88 decibels below it."""
DENSITY = 6.0
"""Values a second of a wavelet's power for each Hz of its standard deviation. With a Gaussian's
power of exp(-t^2 / s^2) their sum depends on where they lie by 2 exp(-DENSITY^2 / 4), .03 %."""
TONE_POWER = 512.0
"""Of a tone with an amplitude of 1: about a mel's of 2048 samples, so that floors and scales of
codes suit both."""
BLOCK_SAMPLES = 1 << 16
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
class _Crop:
    """Parts of a spectrum that wavelets let through.

    starts: The first bin of each of K scales. weights: complex64 (K, width). exponent: Of the
    wavelets' power in the mean over orders.
    """

    starts: tuple[int, ...]
    weights: Tensor
    exponent: float


@dataclass(frozen=True)
class _Batch:
    """Scales with as many values a frame; a crop for each order."""

    scales: slice
    values: int
    crops: tuple[_Crop, ...]


@dataclass(frozen=True)
class Bank:
    """All wavelets on a device, for blocks of `samples` samples.

    These are kept + 2 * overlap frames; those that overlap are thrown away.
    """

    samples: int
    kept: int
    overlap: int
    scales: int
    batches: tuple[_Batch, ...]
    device: torch.device


def frame_power(samples: Tensor, bank: Bank) -> Tensor:
    """Powers (B, bank.kept, scales), float32, of blocks (B, bank.samples)."""
    spectrum: Tensor = torch.fft.rfft(samples)
    power = spectrum.new_empty((len(samples), bank.kept, bank.scales), dtype=torch.float32)
    for batch in bank.batches:
        power[:, :, batch.scales] = _mean_power(spectrum, batch, bank).transpose(1, 2)
    return power


def _mean_power(spectrum: Tensor, batch: _Batch, bank: Bank) -> Tensor:
    """Powers (B, K, bank.kept) of one batch of scales."""
    if len(batch.crops) == 1:
        values = torch.view_as_real(_waves(spectrum, batch, batch.crops[0], bank)).flatten(-2)
        norms = torch.linalg.vector_norm(values, dim=-1)
        power: Tensor = norms.square_() / batch.values
        return power
    nepers = torch.zeros((), device=bank.device)
    for crop in batch.crops:
        waves = _waves(spectrum, batch, crop, bank)
        log = torch.addcmul(waves.real.square(), waves.imag, waves.imag).log_()
        nepers = log.mul_(crop.exponent).add_(nepers)
    return nepers.exp_().mean(dim=-1)


def _waves(spectrum: Tensor, batch: _Batch, crop: _Crop, bank: Bank) -> Tensor:
    """The wavelets' complex values (B, K, bank.kept, batch.values) in time."""
    width, frames = crop.weights.shape[1], bank.kept + 2 * bank.overlap
    parts = torch.stack([spectrum[:, at : at + width] for at in crop.starts], dim=1)
    count = frames * batch.values
    padded = spectrum.new_zeros((*parts.shape[:2], max(count, width)))
    torch.mul(parts, crop.weights, out=padded[:, :, :width])
    if width > count:
        # Of fewer values a second than its bandwidth the spectrum is the sum of its parts.
        padded[:, :, : width - count] += padded[:, :, count:]
    waves: Tensor = torch.fft.ifft(padded[:, :, :count], norm="forward")
    waves = waves.view(*parts.shape[:2], frames, batch.values)
    return waves[:, :, bank.overlap : frames - bank.overlap]


@lru_cache(maxsize=8)
def wavelet_bank(spec: CwtSpec, device: torch.device) -> Bank:
    """The wavelets of a spec; kept, as making them takes longer than using them once."""
    hop, rate, wavelets = spec.hop_length, spec.sample_rate, spec.wavelets
    longest = wavelets[-1][0] * spec.cycles / (2 * math.pi * spec.f_min)
    overlap = math.ceil(REACH * longest * rate / hop)
    kept = max(math.ceil(BLOCK_SAMPLES / hop), 4 * overlap)
    frames = next_fast_len(kept + 2 * overlap, real=True)  # it has no factor above 5
    samples = frames * hop
    centres = spec.centres().astype(np.float64) * (samples / rate)  # in bins

    def passed(multiple: float) -> tuple[Ints, Ints]:
        reach = REACH * centres / (multiple * spec.cycles)
        first, last = np.ceil(centres - reach), np.floor(centres + reach)
        return first.clip(1).astype(int), last.clip(max=samples // 2).astype(int) + 1

    def crop(scales: slice, values: int, multiple: float, exponent: float) -> _Crop:
        first, stop = (edge[scales, None] for edge in passed(multiple))
        width = int((stop - first).max())
        starts = np.minimum(first, samples // 2 + 1 - width)
        bins = starts + np.arange(width)
        middle = centres[scales, None]
        weights = np.exp(-0.5 * ((bins - middle) * (multiple * spec.cycles / middle)) ** 2)
        weights *= (bins >= first) & (bins < stop)
        # Value i of a frame is of its sample (i + 1/2) / values; frames of odd hops begin between
        # two samples, blocks half a sample behind.
        delay = (hop / values - hop % 2) / 2 / samples
        turned = weights * np.exp(2j * math.pi * delay * bins)
        turned *= 2 * math.sqrt(TONE_POWER) / samples
        on_device = torch.from_numpy(turned.astype(np.complex64)).to(device)
        return _Crop(tuple(starts[:, 0].tolist()), on_device, exponent)

    # The mean over the orders is longer than the first wavelet, and so its power narrower.
    narrower = math.sqrt(sum(exponent / multiple**2 for multiple, exponent in wavelets))
    density = max(REACH, narrower * DENSITY)  # the sum of parts has two at most
    first, stop = passed(1.0)
    needed = np.minimum(density / spec.cycles * centres, stop - first) / frames
    values = [next_fast_len(math.ceil(n), real=True) for n in needed]
    batches, at = [], 0
    for per_frame, group in groupby(values):
        most = max(1, BATCH_VALUES // (frames * per_frame))
        end = at + len(list(group))
        for start in range(at, end, most):
            scales = slice(start, min(start + most, end))
            crops = tuple(crop(scales, per_frame, *wavelet) for wavelet in wavelets)
            batches.append(_Batch(scales, per_frame, crops))
        at = end
    return Bank(samples, frames - 2 * overlap, overlap, spec.scales, tuple(batches), device)
