"""Wavelets and superlets as a part of a model's graph: samples in, powers out, by convolutions.

`features/wavelets.py` transforms blocks of a recording there and back. A graph has windows of one
length and better convolutions than transforms, and a wavelet that gives so many values a frame is
short where these are many: so each is what its part of the spectrum is in time, cut where it has
faded, in steps of a frame or an even part of it. Where values of a frame lie between two such steps
(7 of a frame of 512 samples) there is a wavelet for each of them.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import conv1d, pad

from birdcore.features.cwt import CwtSpec
from birdcore.features.wavelets import REACH as CUT
from birdcore.features.wavelets import Bank, Batch, Crop, Tier, wavelet_bank

REACH = 5.0
"""Standard deviations in time at which wavelets are cut: 4e-6 of the peak."""
EDGE = 128
"""Samples over which those fade out that half the sample rate cuts: they ring far beyond their
reach, and where that ended at once, they would hear other frequencies."""
SILENCE = 1e-37
"""Of a power of which a logarithm is taken."""


class WaveletPowers(nn.Module):
    """Samples (B, n) at the spec's rate to powers (B, T, scales).

    Args:
        spec: The wavelets, or the superlets, which reach less far than a window is long.
    """

    def __init__(self, spec: CwtSpec) -> None:
        super().__init__()
        bank = wavelet_bank(spec, torch.device("cpu"))
        self.hop = spec.hop_length
        self.batches = nn.ModuleList(
            WaveletBatch(spec, bank, tier, batch) for tier in bank.tiers for batch in tier.batches
        )

    def forward(self, samples: Tensor) -> Tensor:
        frames = 1 + samples.shape[1] // self.hop
        powers = [batch(samples[:, None], frames) for batch in self.batches]
        return torch.cat(powers, dim=1).transpose(1, 2)


class WaveletBatch(nn.Module):
    """Scales with as many values a frame: a convolution for each order."""

    def __init__(self, spec: CwtSpec, bank: Bank, tier: Tier, batch: Batch) -> None:
        super().__init__()
        self.hop, self.parts = bank.hop, math.gcd(batch.values, bank.hop)
        self.between = batch.values // self.parts
        self.exponents = [crop.exponent for crop in batch.crops]
        self.reaches: list[int] = []
        samples, step = (bank.kept + 2 * tier.overlap) * bank.hop, bank.hop // self.parts
        shifts = [value * bank.hop / batch.values for value in range(self.between)]
        highest = float(spec.centres()[batch.scales.stop - 1])
        for order, (multiple, _) in enumerate(spec.wavelets):
            cut = highest * (1 + CUT / (multiple * spec.cycles)) > spec.sample_rate / 2
            edge = EDGE if cut else 0
            reach = reach_of(spec, batch.scales.start, multiple) + edge
            kernels = _kernels(batch.crops[order], samples, shifts, reach, step)
            self.register_buffer(f"order_{order}", _faded(kernels, edge))
            self.reaches.append(reach)

    def forward(self, samples: Tensor, frames: int) -> Tensor:
        """Powers (B, K, frames) of samples (B, 1, n)."""
        power, nepers = torch.zeros(()), torch.zeros(())
        for order, (exponent, reach) in enumerate(zip(self.exponents, self.reaches, strict=True)):
            kernels = self.get_buffer(f"order_{order}")
            ends = (reach + self.hop // 2, reach + self.hop - self.hop // 2)
            mirrored = pad(samples, ends, mode="reflect")
            waves = conv1d(mirrored, kernels, stride=self.hop // self.parts)
            waves = waves[..., : frames * self.parts].unflatten(1, (-1, self.between, 2))
            power = waves.square().sum(dim=3)
            if len(self.exponents) > 1:
                nepers = nepers + exponent * power.clamp_min(SILENCE).log()
        if len(self.exponents) > 1:
            power = nepers.exp()
        mean: Tensor = power.unflatten(-1, (frames, self.parts)).mean(dim=(2, 4))
        return mean


def reach_of(spec: CwtSpec, scale: int = 0, multiple: float | None = None) -> int:
    """How many samples a wavelet has on either side of its middle; the longest, if not said."""
    cycles = (spec.wavelets[-1][0] if multiple is None else multiple) * spec.cycles
    seconds = cycles / (2 * math.pi * float(spec.centres()[scale]))
    return math.ceil(REACH * seconds * spec.sample_rate)


def check_window(spec: CwtSpec, samples: int, where: str) -> None:
    """Raises ValueError where wavelets reach beyond a window, whose ends mirror it once."""
    if reach_of(spec) + spec.hop_length >= samples:
        raise ValueError(
            f"{where} can't hold {spec.name!r} with mel.f_min = {spec.f_min:g}: its longest "
            "wavelets reach further than a window is long. Leave --single-onnx out: predict.py has "
            "no such limit"
        )


def _kernels(crop: Crop, samples: int, shifts: Sequence[float], reach: int, step: int) -> Tensor:
    """Wavelets in time, (K * shifts * 2, 1, 2 * reach + step): real and imaginary parts.

    Args:
        crop: The wavelets in a spectrum of `samples` samples.
        samples: How many.
        shifts: Of the moments that are looked at, in samples, from the beginning of a step.
        reach: Samples before and after a step.
        step: Of the convolution.
    """
    scales, width = crop.weights.shape
    bins = np.array(crop.starts)[:, None] + np.arange(width)
    after = (reach - np.arange(2 * reach + step)) % samples
    kernels = np.empty((scales, len(shifts), 2, len(after)), np.float32)
    for number, shift in enumerate(shifts):
        spectrum = np.zeros((scales, samples), np.complex128)
        turned = crop.weights.numpy() * np.exp(2j * math.pi * shift / samples * bins)
        np.put_along_axis(spectrum, bins, turned, axis=1)
        waves = np.fft.ifft(spectrum, norm="forward")[:, after]
        kernels[:, number, 0], kernels[:, number, 1] = waves.real, waves.imag
    return torch.from_numpy(kernels.reshape(-1, 1, len(after)))


def _faded(kernels: Tensor, edge: int) -> Tensor:
    """Kernels whose first and last `edge` samples rise and fall as a sine's square."""
    if edge:
        rise = torch.sin(torch.arange(0.5, edge) * (math.pi / 2 / edge)).square()
        kernels[..., :edge] *= rise
        kernels[..., -edge:] *= rise.flip(0)
    return kernels
