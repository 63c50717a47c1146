"""A front end as a part of a model's graph: samples in, power out (or values, or samples).

It computes what `features/` does for a recording that is as long as a window: peak division,
energies (of several front ends at once laid end to end), codes, and the power of codes.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from birdcore.export.filter_graph import FilterEnergies
from birdcore.export.front_end import FilterSpec, parts_of
from birdcore.export.wavelet_graph import WaveletPowers
from birdcore.features.cwt import CwtSpec
from birdcore.features.front_end import FrontEnd
from birdcore.features.scale import WAVE_STEPS, AnyScale, Scale, ValueScale, WaveScale
from birdcore.models.input import InputSpec, model_input
from birdcore.models.normalise import TINY, to_db

SILENCE = 1e-30


class WaveformFrontEnd(nn.Module):
    """Samples (B, n) at the spec's rate to power (B, bins, frames), see the module.

    Args:
        spec: The front end.
        scale: Their codes.
        with_floor: Add a last frame, the window's steady noise, as `Recordings.power` does.
    """

    def __init__(self, spec: FrontEnd, scale: AnyScale, *, with_floor: bool = False) -> None:
        super().__init__()
        self.power, self.scale, self.with_floor = spec.power, scale, with_floor
        self.parts = nn.ModuleList(_part(part) for part in parts_of(spec, "a graph"))

    def forward(self, samples: Tensor) -> Tensor:
        peak = samples.abs().amax(dim=1, keepdim=True)
        codes = self.codes(self.energies(samples / torch.where(peak > 0, peak, 1.0)))
        power = self.decoded(codes)
        if not self.with_floor:
            return power
        floor = self.decoded(lower_median(codes))
        return torch.cat([power, floor / math.log(2)], dim=2)

    def energies(self, samples: Tensor) -> Tensor:
        """Energies (B, frames, bins) of samples (B, n), or values, or samples."""
        return torch.cat([part(samples) for part in self.parts], dim=2)

    def codes(self, energies: Tensor) -> Tensor:
        """Codes (B, bins, frames) as floats, see `scale.encode`; of samples with a sign."""
        scale = self.scale
        if isinstance(scale, Scale):
            to_codes = 20.0 / (self.power * math.log(10.0) * scale.step_db)
            codes = energies.clamp_min(SILENCE).log() * to_codes
            codes = (codes - scale.floor_db / scale.step_db).clamp(0.0, float(scale.top_code))
        elif isinstance(scale, ValueScale):
            codes = (energies / scale.step).clamp(0.0, scale.top / scale.step)
        else:
            codes = energies.clamp(-1.0, 1.0)
            if scale.dtype == "uint8":
                steps = (codes.abs() * scale.mu).log1p() * (WAVE_STEPS / math.log1p(scale.mu))
                codes = codes.sign() * steps
        codes = codes.round() if scale.dtype == "uint8" else codes.half().float()
        return codes.transpose(1, 2)

    def decoded(self, codes: Tensor) -> Tensor:
        """Power of codes of any shape, or values, or samples; code 0 is none."""
        scale = self.scale
        if isinstance(scale, ValueScale):
            return codes * scale.step
        if isinstance(scale, WaveScale):
            if scale.dtype == "float16":
                return codes
            sizes = (codes.abs() * (math.log1p(scale.mu) / WAVE_STEPS)).exp() - 1.0
            samples: Tensor = codes.sign() * sizes / scale.mu
            return samples
        decibels = codes * scale.step_db + scale.floor_db
        return torch.where(codes > 0, (decibels * (math.log(10.0) / 10.0)).exp(), 0.0)


class SampleFrames(nn.Module):
    """Samples (B, n) to frames (B, T, hop) of them, each around its middle."""

    def __init__(self, hop: int) -> None:
        super().__init__()
        self.hop = hop

    def forward(self, samples: Tensor) -> Tensor:
        before = self.hop // 2
        mirrored = pad(samples[:, None], (before, self.hop - before), mode="reflect")[:, 0]
        frames = 1 + samples.shape[1] // self.hop
        framed: Tensor = mirrored[:, : frames * self.hop].unflatten(1, (frames, self.hop))
        return framed


def _part(spec: FrontEnd) -> nn.Module:
    """From samples (B, n) to energies (B, T, bins) of one front end."""
    if isinstance(spec, FilterSpec):
        return FilterEnergies(spec)
    return WaveletPowers(spec) if isinstance(spec, CwtSpec) else SampleFrames(spec.bins)


def lower_median(x: Tensor) -> Tensor:
    """`x.median(dim=2, keepdim=True).values` of (B, F, T), which ONNX has no operator for."""
    middle = (x.shape[2] - 1) // 2
    return x.sort(dim=2).values[:, :, middle : middle + 1]


def graph_input(power: Tensor, reads: InputSpec) -> Tensor:
    """`model_input`, by operators that ONNX has."""
    if reads.normalise != "bins":
        return model_input(power, reads)
    channels, bins, _ = reads.shape
    each = power.unflatten(1, (channels, bins)).flatten(0, 1)
    db = to_db(each, top_db=reads.top_db) if reads.mel.recovers_power else each
    db = db - lower_median(db)
    scaled = db / db.std(dim=(-2, -1), correction=0, keepdim=True).clamp_min(TINY)
    inputs: Tensor = scaled.unflatten(0, (-1, channels))
    return inputs
