"""Samples as frames of a short-time Fourier transform under filters, and PCEN of them."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from birdcore.export.kit.base import Floats

FULL_SCALE, EPS = 2.0**31, 1e-6  # of PCEN: samples count as 32-bit integers
BLOCK_SAMPLES = 1 << 18  # windowed samples at once: they stay in the processor's cache
BAND = 16  # filters multiplied at once: most of a filter is zero


def features(samples: Floats, front_end: Mapping[str, Any], arrays: Mapping[str, Any]) -> Floats:
    """Energies (frames, bins) of mono samples at the front end's rate, or values of PCEN."""
    energies = band_energies(samples, front_end, arrays)
    return pcen(energies, front_end) if front_end["name"] == "pcen" else energies


def pcen(energies: Floats, front_end: Mapping[str, Any]) -> Floats:
    """Magnitudes (frames, bins), each over its own smoothed past (Wang et al. 2017)."""
    gain, bias, power = (front_end[f"pcen_{key}"] for key in ("gain", "bias", "power"))
    energies = energies.astype(np.float64) * FULL_SCALE
    smooth, past = np.empty_like(energies), energies[0]
    for frame, now in enumerate(energies):
        past = past + front_end["pcen_smoothing"] * (now - past)
        smooth[frame] = past
    values = energies / (EPS + smooth) ** gain
    if bias == 0:
        return np.asarray(values**power, np.float32)
    # Of small ratios a difference of powers would lose its digits.
    return np.asarray(np.expm1(power * np.log1p(values / bias)) * bias**power, np.float32)


def band_energies(
    samples: Floats, front_end: Mapping[str, Any], arrays: Mapping[str, Any]
) -> Floats:
    """Energies (frames, bins) of mono samples at the front end's rate under its filters."""
    n_fft, hop = front_end["n_fft"], front_end["hop_length"]
    window, bank = arrays["window"], arrays["bank"]
    bands = [_band(bank, first) for first in range(0, bank.shape[1], BAND)]
    padded = np.pad(samples, n_fft // 2, mode="reflect" if len(samples) > 1 else "edge")
    frames = np.lib.stride_tricks.sliding_window_view(padded, n_fft)[::hop]
    frames = frames[: 1 + len(samples) // hop]
    energies = np.empty((len(frames), bank.shape[1]), np.float32)
    step = max(1, BLOCK_SAMPLES // n_fft)
    for first in range(0, len(frames), step):
        bins = np.abs(np.fft.rfft(frames[first : first + step] * window)).astype(np.float32)
        if front_end["power"] == 2:
            np.square(bins, out=bins)
        for mels, touched, weights in bands:
            energies[first : first + step, mels] = bins[:, touched] @ weights
    return energies


def _band(bank: Floats, first: int) -> tuple[slice, slice, Floats]:
    """Some filters, the bins that they touch, and their weights there."""
    mels = slice(first, min(first + BAND, bank.shape[1]))
    touched = np.flatnonzero(bank[:, mels].any(axis=1))
    bins = slice(int(touched[0]), int(touched[-1]) + 1)
    return mels, bins, np.ascontiguousarray(bank[bins, mels])
