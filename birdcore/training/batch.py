"""From rows of the training set to a batch: gather, distort, mix in power, label.

In the order of physics: a clip, as it could have been recorded; soundscape or noise laid over it;
other clips of the batch laid over that; noise of the recorder. Decibels, normalisation and masks
come after, in the loop.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor

from birdcore.features.front_end import FrontEnd
from birdcore.training import distort
from birdcore.training.augment import random_gain
from birdcore.training.data import Crops, draw_offsets
from birdcore.training.mix import Second, among_themselves, over_background, with_teacher
from birdcore.training.targets import targets_of
from birdcore.training.training_set import TrainingSet


class Batch(NamedTuple):
    """Power (B, M, T), labels (B, K), under a teacher the mask (B, K) of what counts in them, and
    the labels of the clips mixed in, where those have a loss of their own."""

    power: Tensor
    labels: Tensor
    mask: Tensor | None
    second: Second | None


def draw_batch(
    data: TrainingSet,
    rows: Tensor,
    crops: Crops,
    settings: Mapping[str, Any],
    rng: Generator,
    offsets: Tensor | None = None,
    noise: Generator | None = None,
) -> Batch:
    """A crop of each of these recordings, with all that a round does to crops; a random one, unless
    `offsets` (B,) say where it begins.

    Where crops are drawn with their floor, it is the last frame and mixes as the others do. `rng`
    draws on the CPU which sounds meet; what is done to them is drawn by `noise`, on their device,
    where that is another one.
    """
    noise = noise or rng
    rows_on_device = rows.to(data.clips.device)
    if offsets is None:
        offsets = draw_offsets(data.clips, rows_on_device, crops, rng)
    offsets = offsets.to(data.clips.device)
    power = data.clips.power(rows_on_device, offsets, crops.frames, with_floor=crops.with_floor)
    labels = data.labels[rows]
    if data.told is not None:
        labels = targets_of(labels, data.told.at(rows, offsets), settings["targets"])
    if data.heard is not None:
        rate = data.clips.spec.frame_rate
        labels = data.heard.embedding(rows, offsets / rate, crops.frames / rate)
    power = _distorted(power, data.clips.spec, crops, settings, noise)
    mask = None
    if data.background is not None and data.background.names:
        power = over_background(
            data.background, data.quiet, power, settings["background"], crops, rng, noise
        )
    if data.segments is not None:
        power, labels, mask = with_teacher(data.segments, power, labels, settings, crops, rng)
    power, labels, mask, second = among_themselves(power, labels, mask, settings, rng)
    power = _with_noise(power, data.clips.spec, crops, settings["noise"], noise)
    if settings["gain_db"]:
        power = random_gain(power, -settings["gain_db"], settings["gain_db"], noise)

    def here(labels_or_mask: Tensor | None) -> Tensor | None:
        return None if labels_or_mask is None else labels_or_mask.to(power.device)

    if second is not None:
        second = Second(second.share, second.labels.to(power.device), here(second.mask))
    return Batch(power, labels.to(power.device), here(mask), second)


def _distorted(
    power: Tensor, spec: FrontEnd, crops: Crops, settings: Mapping[str, Any], rng: Generator
) -> Tensor:
    """The clip by itself, as another bird, place and recorder could have made it."""
    floor = int(crops.with_floor)
    if settings["reverse"]:
        power = distort.time_reverse(
            power, rng, floor_frames=floor, probability=settings["reverse"]
        )
    own = settings["shift"]
    if own["probability"]:
        power = distort.time_shift(
            power,
            round(own["max_s"] * spec.frame_rate),
            rng,
            floor_frames=floor,
            probability=own["probability"],
        )
    own = settings["padding"]
    if own["probability"]:
        power = distort.random_padding(
            power,
            own["min_share"],
            rng,
            fill=own["fill"],
            floor_frames=floor,
            probability=own["probability"],
        )
    own = settings["filter"]
    if own["probability"]:
        power = distort.random_filter(
            power, own["limit_db"], rng, points=own["points"], probability=own["probability"]
        )
    own = settings["band"]
    if own["probability"]:
        power = distort.band_pass(
            power, own["attenuation_db"], own["min_share"], rng, probability=own["probability"]
        )
    return power


def _with_noise(
    power: Tensor, spec: FrontEnd, crops: Crops, settings: Mapping[str, Any], rng: Generator
) -> Tensor:
    if not settings["probability"]:
        return power
    widths = spec.bandwidths()
    return distort.coloured_noise(
        power,
        torch.from_numpy(spec.centres()),
        settings["exponent"],
        settings["snr_db"],
        rng,
        widths=None if widths is None else torch.from_numpy(widths),
        floor_frames=int(crops.with_floor),
        probability=settings["probability"],
    )
