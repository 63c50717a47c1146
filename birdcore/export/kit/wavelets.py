"""Morlet wavelets as frames, and superlets, their geometric mean over orders.

A wavelet is a Gaussian in frequency. A block of samples is transformed once; of each wavelet
that part of the spectrum is transformed back that the Gaussian lets through, to as few values
a frame as its bandwidth needs. Their power is averaged over the frame.
"""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from birdcore.export.kit.base import Features, Floats

REACH = 4.5  # standard deviations at which Gaussians are cut
TONE_POWER = 512.0  # of a tone with an amplitude of 1


class Crop(NamedTuple):
    """What the wavelets (K,) of an order let through of a spectrum: each from a first bin on, by
    weights (K, width); and the order's exponent in the mean."""

    starts: Sequence[int]
    weights: Floats
    exponent: float


class Batch(NamedTuple):
    """Scales with as many values a frame; a crop for each order."""

    scales: slice
    values: int
    crops: Sequence[Crop]


class Tier(NamedTuple):
    """Scales whose wavelets reach as many frames beyond those of a block."""

    overlap: int
    batches: Sequence[Batch]


def open_wavelets(settings: Mapping[str, Any], arrays: Mapping[str, Any]) -> Features:
    """The front ends cwt and superlet."""
    tiers = []
    for tier in settings["tiers"]:
        frames = settings["kept"] + 2 * tier["overlap"]
        batches = [
            Batch(
                slice(first, stop),
                values,
                [
                    _crop(settings, arrays["hertz"][first:stop], frames, values, *wavelet)
                    for wavelet in settings["wavelets"]
                ],
            )
            for first, stop, values in tier["batches"]
        ]
        tiers.append(Tier(tier["overlap"], batches))
    return partial(wavelet_powers, settings, tiers)


def _crop(
    settings: Mapping[str, Any],
    hertz: Floats,
    frames: int,
    values: int,
    multiple: float,
    exponent: float,
) -> Crop:
    """Wavelets (K,) of `multiple` times the cycles, for blocks of so many frames."""
    hop, samples = settings["hop_length"], frames * settings["hop_length"]
    centres = hertz[:, None] * (samples / settings["sample_rate"])  # in bins
    deviations = centres / (multiple * settings["cycles"])
    first = np.ceil(centres - REACH * deviations).clip(1).astype(int)
    last = np.floor(centres + REACH * deviations).clip(max=samples // 2).astype(int)
    width = int((last - first).max()) + 1
    starts = np.minimum(first, samples // 2 + 1 - width)
    bins = starts + np.arange(width)
    weights = np.exp(-0.5 * ((bins - centres) / deviations) ** 2)
    weights *= ((bins >= first) & (bins <= last)) * (2 * math.sqrt(TONE_POWER) / samples)
    # Value i of a frame is of its sample (i + 1/2) / values; frames of odd hops begin between two
    # samples, blocks half a sample behind.
    delay = (hop / values - hop % 2) / 2 / samples
    turned = (weights * np.exp(2j * math.pi * delay * bins)).astype(np.complex64)
    return Crop(starts[:, 0].tolist(), turned, exponent)


def wavelet_powers(settings: Mapping[str, Any], tiers: Sequence[Tier], samples: Floats) -> Floats:
    """Powers (frames, scales) of samples, block by block."""
    hop, kept, scales = settings["hop_length"], settings["kept"], settings["scales"]
    frames = 1 + len(samples) // hop
    power = np.empty((frames, scales), np.float32)
    for first in range(0, frames, kept):
        rows = slice(first, min(first + kept, frames))
        for tier in tiers:
            start = (first - tier.overlap) * hop - hop // 2
            stop = start + (kept + 2 * tier.overlap) * hop
            spectrum = np.fft.rfft(mirrored(samples, start, stop))
            for batch in tier.batches:
                found = _batch_power(spectrum, batch, tier.overlap, kept)
                power[rows, batch.scales] = found.T[: rows.stop - first]
    return power


def mirrored(samples: Floats, start: int, stop: int) -> Floats:
    """Samples from one moment to another, which are mirrored at the ends of what there is."""
    period = max(1, 2 * (len(samples) - 1))
    index = np.arange(start, stop) % period
    return samples[np.minimum(index, period - index)]


def _batch_power(spectrum: Floats, batch: Batch, overlap: int, kept: int) -> Floats:
    """Powers (K, kept) of a batch of scales."""
    nepers: Floats | float = 0.0
    for crop in batch.crops:
        waves = _in_time(spectrum, crop, (kept + 2 * overlap) * batch.values)
        waves = waves.reshape(len(waves), -1, batch.values)[:, overlap : overlap + kept]
        squares = waves.real**2 + waves.imag**2
        if len(batch.crops) == 1:
            return np.asarray(squares.mean(axis=2))
        with np.errstate(divide="ignore"):  # silence
            nepers = nepers + crop.exponent * np.log(squares)
    return np.asarray(np.exp(nepers).mean(axis=2))


def _in_time(spectrum: Floats, crop: Crop, count: int) -> Floats:
    """The wavelets' complex values (K, count) in time."""
    width = crop.weights.shape[1]
    parts = np.zeros((len(crop.starts), max(count, width)), np.complex64)
    for part, start, weights in zip(parts, crop.starts, crop.weights, strict=True):
        np.multiply(spectrum[start : start + width], weights, out=part[:width])
    if width > count:
        # Of fewer values a second than its bandwidth the spectrum is the sum of its parts.
        parts[:, : width - count] += parts[:, count:]
    return np.fft.ifft(parts[:, :count], norm="forward")
