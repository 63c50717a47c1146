"""Frames of a short-time Fourier transform under filters, and PCEN of them."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from birdcore.export.kit.base import Features, Floats

FULL_SCALE, EPS = 2.0**31, 1e-6  # of PCEN: samples count as 32-bit integers
BLOCK_SAMPLES = 1 << 18  # windowed samples at once: they stay in the processor's cache
BAND = 16  # filters multiplied at once: most of a filter is zero

Band = tuple[slice, slice, Floats]
"""Some filters, the bins that they touch, and their weights there."""


def open_filters(settings: Mapping[str, Any], arrays: Mapping[str, Any]) -> Features:
    """The front ends mel and stft."""
    bank = arrays["bank"]
    bands = [_band(bank, first) for first in range(0, bank.shape[1], BAND)]
    return partial(band_energies, settings, arrays["window"], bands)


def open_pcen(settings: Mapping[str, Any], arrays: Mapping[str, Any]) -> Features:
    """The front end pcen: of a mel's magnitudes."""
    energies = open_filters(settings, arrays)
    return lambda samples: pcen(energies(samples), settings)


def band_energies(
    settings: Mapping[str, Any], window: Floats, bands: Sequence[Band], samples: Floats
) -> Floats:
    """Energies (frames, bins) of samples under filters."""
    n_fft, hop = settings["n_fft"], settings["hop_length"]
    padded = np.pad(samples, n_fft // 2, mode="reflect" if len(samples) > 1 else "edge")
    frames = np.lib.stride_tricks.sliding_window_view(padded, n_fft)[::hop]
    frames = frames[: 1 + len(samples) // hop]
    energies = np.empty((len(frames), bands[-1][0].stop), np.float32)
    step = max(1, BLOCK_SAMPLES // n_fft)
    for first in range(0, len(frames), step):
        bins = np.abs(np.fft.rfft(frames[first : first + step] * window)).astype(np.float32)
        if settings["power"] == 2:
            np.square(bins, out=bins)
        for filters, touched, weights in bands:
            energies[first : first + step, filters] = bins[:, touched] @ weights
    return energies


def _band(bank: Floats, first: int) -> Band:
    filters = slice(first, min(first + BAND, bank.shape[1]))
    touched = np.flatnonzero(bank[:, filters].any(axis=1))
    bins = slice(int(touched[0]), int(touched[-1]) + 1)
    return filters, bins, np.ascontiguousarray(bank[bins, filters])


def pcen(energies: Floats, settings: Mapping[str, Any]) -> Floats:
    """Magnitudes (frames, bins), each over its own smoothed past (Wang et al. 2017)."""
    gain, bias, power = (settings[f"pcen_{key}"] for key in ("gain", "bias", "power"))
    energies = energies.astype(np.float64) * FULL_SCALE
    smooth, past = np.empty_like(energies), energies[0]
    for frame, now in enumerate(energies):
        past = past + settings["pcen_smoothing"] * (now - past)
        smooth[frame] = past
    values = energies / (EPS + smooth) ** gain
    if bias == 0:
        return np.asarray(values**power, np.float32)
    # Of small ratios a difference of powers would lose its digits.
    return np.asarray(np.expm1(power * np.log1p(values / bias)) * bias**power, np.float32)
