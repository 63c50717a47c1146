"""From mel power to a model's input: decibels, then one scale per sample.

Runs on the device after mixing, since powers of uncorrelated sounds add, and decibels do not. Every
statistic is of one sample and never of the batch, so that a clip's input does not depend on what
else is in its batch. Training and prediction call the same functions.
"""

from typing import Literal

import torch
from torch import Tensor

Normalisation = Literal["zscore", "minmax", "bins", "none"]

TINY = 1e-5
"""Smallest standard deviation or range that is divided by: a constant sample becomes zeros."""


def to_db(power: Tensor, floor_db: float = -100.0, top_db: float | None = 80.0) -> Tensor:
    """Power (B, n_mels, T) as decibels over 1, in float32.

    Nothing falls below `floor_db`, nor more than `top_db` under its own sample's maximum.
    """
    db = 10.0 * torch.log10(power.float().clamp_min(10.0 ** (floor_db / 10.0)))
    if top_db is None:
        return db
    return torch.maximum(db, db.amax(dim=(-2, -1), keepdim=True) - top_db)


def normalise(db: Tensor, how: Normalisation) -> Tensor:
    """Scale decibels (B, n_mels, T), each sample by itself.

    zscore: mean 0, standard deviation 1.
    minmax: 0 to 1. (A z-score followed by min-max, as 1st place 2025 has it, is the same.)
    bins: each mel bin without its median over time, so that steady noise goes and calls stay;
        then the sample over its standard deviation.
    none: a constant scale, (dB + 40) / 40, that keeps absolute levels.

    Raises ValueError for another `how`.
    """
    if how == "zscore":
        return _over_std(db - db.mean(dim=(-2, -1), keepdim=True))
    if how == "minmax":
        low = db.amin(dim=(-2, -1), keepdim=True)
        return (db - low) / (db.amax(dim=(-2, -1), keepdim=True) - low).clamp_min(TINY)
    if how == "bins":
        return _over_std(db - db.median(dim=-1, keepdim=True).values)
    if how == "none":
        return (db + 40.0) / 40.0
    raise ValueError(f"normalise = {how!r}: choose zscore, minmax, bins or none")


def over_floor(power: Tensor, floor: Tensor) -> Tensor:
    """Decibels of power (B, n_mels, T) over a recording's steady noise (B, n_mels, 1), scaled.

    A constant scale: noise alone is flat and small, however quiet, and a bird is as high as it is
    above its noise. From 10 dB under the floor to 60 over it; a bin without any noise counts as
    30 dB under the mean of the others.
    """
    floor = torch.maximum(floor, 1e-3 * floor.mean(dim=1, keepdim=True)).clamp_min(1e-12)
    db = 10.0 * torch.log10((power / floor).float().clamp(0.1, 1e6))
    return (db - 5.0) / 10.0


def _over_std(x: Tensor) -> Tensor:
    return x / x.std(dim=(-2, -1), correction=0, keepdim=True).clamp_min(TINY)
