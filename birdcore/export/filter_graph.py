"""Filters over a short-time Fourier transform as a part of a model's graph: mel, stft and pcen.

ONNX has operators for Fourier transforms, but OpenVINO does not read STFT with a batch of any
size, and ONNX Runtime takes twice as long for it. So the transform is two small matrix products
(one step of Cooley and Tukey 1965), which any runtime computes, as exactly as an FFT: with
n = rows * cols samples x[cols * a + b] of a frame,

    X[c + rows * d] = sum_b w(cols)^(b d) w(rows * cols)^(b c) sum_a x[cols * a + b] w(rows)^(a c),

where w(n) = exp(-2 pi i / n). PCEN's smoothed past is a product with a triangular matrix, whose row
t has the weights that frames up to t have in it.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from birdcore.export.front_end import FilterSpec, filters_of
from birdcore.features.pcen import EPS, FULL_SCALE, PcenSpec
from birdcore.features.spectrogram import hann_window


class FilterEnergies(nn.Module):
    """Samples (B, n) at the spec's rate to energies (B, T, bins), or PCEN's values."""

    first_cos: Tensor
    first_sin: Tensor
    twiddle_cos: Tensor
    twiddle_sin: Tensor
    second_cos: Tensor
    second_sin: Tensor
    window: Tensor
    bank: Tensor

    def __init__(self, spec: FilterSpec) -> None:
        super().__init__()
        self.spec = spec
        self.rows = max(d for d in range(1, math.isqrt(spec.n_fft) + 1) if spec.n_fft % d == 0)
        self.cols = spec.n_fft // self.rows
        half = self.cols // 2 + 1  # beyond are the conjugates of bins that are there
        self._add("first", self.rows, self.rows, self.rows)
        self._add("twiddle", self.rows, self.cols, spec.n_fft)
        self._add("second", self.cols, half, self.cols)
        self.register_buffer("window", torch.from_numpy(hann_window(spec.n_fft)))
        self.register_buffer("bank", torch.from_numpy(filters_of(spec).copy()))

    def _add(self, name: str, height: int, width: int, n: int) -> None:
        """Cosines and sines of 2 pi a b / n, (height, width)."""
        steps = torch.outer(torch.arange(height), torch.arange(width)).double()
        angles = steps * (2 * math.pi / n)
        self.register_buffer(f"{name}_cos", angles.cos().float())
        self.register_buffer(f"{name}_sin", angles.sin().float())

    def forward(self, samples: Tensor) -> Tensor:
        spec, reach = self.spec, self.spec.n_fft // 2
        mirrored = pad(samples[:, None], (reach, reach), mode="reflect")[:, 0]
        frames = mirrored.unfold(-1, spec.n_fft, spec.hop_length) * self.window
        power = self.spectrum(frames)
        energies = (power if spec.power == 2 else power.sqrt()) @ self.bank
        return pcen(energies, spec) if isinstance(spec, PcenSpec) else energies

    def spectrum(self, frames: Tensor) -> Tensor:
        """Power (B, t, n_fft // 2 + 1) of windowed frames (B, t, n_fft)."""
        x = frames.unflatten(-1, (self.rows, self.cols))
        re, im = self.first_cos @ x, -(self.first_sin @ x)
        re, im = _turned(re, im, self.twiddle_cos, self.twiddle_sin)
        real = re @ self.second_cos + im @ self.second_sin
        imaginary = im @ self.second_cos - re @ self.second_sin
        power = real * real + imaginary * imaginary
        return power.transpose(-1, -2).flatten(-2)[..., : self.spec.n_fft // 2 + 1]


def pcen(energies: Tensor, spec: PcenSpec) -> Tensor:
    """Values (B, T, F) of a mel's magnitudes (B, T, F), as `PcenSpec.energies` has them."""
    energies = energies * FULL_SCALE
    frame = torch.arange(energies.shape[1], dtype=torch.float64)
    b, lag = spec.smoothing, frame[:, None] - frame
    weights = torch.where(lag >= 0, b * (1 - b) ** lag.clamp_min(0.0), 0.0)
    # What was before the first frame is as that.
    weights = torch.cat([((1 - b) ** frame)[:, None], weights[:, 1:]], dim=1)
    ratios = energies / (EPS + weights.float() @ energies) ** spec.pcen_gain
    values: Tensor = (ratios + spec.pcen_bias) ** spec.pcen_power - spec.pcen_bias**spec.pcen_power
    return values


def _turned(re: Tensor, im: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
    """Complex numbers times exp(-i angle)."""
    return re * cos + im * sin, im * cos - re * sin
