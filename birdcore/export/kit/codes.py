"""Features as the codes that models were trained on, and codes as the models' inputs."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from birdcore.export.kit.base import Floats

TINY = 1e-5


def encode(energies: Floats, power: int, scale: Mapping[str, Any]) -> Floats:
    """Energies, values or samples as codes of the type that the models were trained on."""
    small = scale["dtype"] == "uint8"
    if "mu" in scale:  # of samples
        return encode_samples(energies, scale["mu"], small)
    if "top" in scale:  # of values
        codes = energies * np.float32(255 / scale["top"] if small else 1.0)
        return _as_codes(codes, 255.0 if small else scale["top"], small)
    height = scale["ceiling_db"] - scale["floor_db"]
    step, top = (height / 255, 255.0) if small else (1.0, height)
    codes = np.log(np.maximum(energies, np.float32(1e-30)))
    codes *= np.float32(20.0 / power / math.log(10.0) / step)
    codes -= np.float32(scale["floor_db"] / step)
    return _as_codes(codes, top, small)


def encode_samples(samples: Floats, mu: float, small: bool) -> Floats:
    """Samples by a sign and 127 steps that are finer the smaller they are (mu-law, ITU-T G.711)."""
    samples = samples.clip(-1.0, 1.0)
    if not small:
        return samples.astype(np.float16)
    steps = np.log1p(np.abs(samples) * np.float32(mu)) * np.float32(127 / math.log1p(mu))
    return np.copysign(np.rint(steps), samples).astype(np.int8).view(np.uint8)


def _as_codes(codes: Floats, top: float, small: bool) -> Floats:
    np.clip(codes, 0.0, top, out=codes)
    return np.rint(codes).astype(np.uint8) if small else codes.astype(np.float16)


def decode_power(codes: Floats, scale: Mapping[str, Any], table: Floats) -> Floats:
    """The power of codes, or their values or samples; code 0 is none."""
    if codes.dtype == np.uint8:
        return np.asarray(table[codes])
    if "top" in scale or "mu" in scale:
        return codes.astype(np.float32)
    decibels = codes.astype(np.float32) + np.float32(scale["floor_db"])
    return np.where(codes > 0, 10 ** (decibels / 10), np.float32(0))


def lower_median(values: Floats, axis: int) -> Floats:
    """The median; of an even number the lower one of the two in the middle, as torch has it."""
    middle = (values.shape[axis] - 1) // 2
    return np.take(np.partition(values, middle, axis=axis), [middle], axis=axis)


def model_input(
    power: Floats,
    floor: Floats,
    model: Mapping[str, Any],
    channels: int = 1,
    values: bool = False,
) -> Floats:
    """Inputs (B, C, F, T) of power (B, C * F, T) and of a recording's steady noise (C * F, 1).

    values: what is given are values in place of power, which are scaled as decibels are.
    """
    how, top_db = model["normalise"], model["top_db"]
    power = power.reshape(len(power), channels, -1, power.shape[-1])
    if how == "floor":
        floor = floor.reshape(channels, -1, 1)
        least = np.maximum(floor, np.maximum(1e-3 * floor.mean(axis=1, keepdims=True), 1e-12))
        db = 10.0 * np.log10(np.clip(power / least, 0.1, 1e6))
        return np.asarray((db - 5.0) / 10.0, np.float32)
    db = power if values else 10.0 * np.log10(np.maximum(power, np.float32(1e-10)))
    if top_db is not None and not values:
        db = np.maximum(db, db.max(axis=(2, 3), keepdims=True) - top_db)
    if how == "minmax":
        low, high = db.min(axis=(2, 3), keepdims=True), db.max(axis=(2, 3), keepdims=True)
        scaled = (db - low) / np.maximum(high - low, TINY)
    elif how == "none":
        scaled = db if values else (db + 40.0) / 40.0
    else:
        middle = db.mean(axis=(2, 3), keepdims=True) if how == "zscore" else lower_median(db, 3)
        centred = db - middle
        scaled = centred / np.maximum(centred.std(axis=(2, 3), keepdims=True), TINY)
    return np.asarray(scaled, np.float32)
