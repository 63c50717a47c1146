"""From rows of the training set to a batch: gather crops, distort, mix in power, label.

The order is that of a recording in the field: a clip by itself, soundscape or noise laid under it,
other clips of the batch mixed in, noise of the recorder. Decibels, normalisation and masks come
after, in the training step.
"""

from typing import NamedTuple

import torch
from torch import Generator, Tensor

from birdcore.config.augment import Noise
from birdcore.config.training import TrainSettings
from birdcore.features.front_end import FrontEnd
from birdcore.features.stacked import bins_of_first
from birdcore.training import distort
from birdcore.training.augment import Domain, random_gain
from birdcore.training.background import add_background
from birdcore.training.data import CropSampling, draw_offsets
from birdcore.training.frames import FrameTargets, rendered, untimed
from birdcore.training.mix import MixedTargets, mix_with_chunks, mix_within_batch
from birdcore.training.targets import combine_targets
from birdcore.training.training_set import TrainingSet


class Batch(NamedTuple):
    """Crops with what the loss needs.

    power: (B, M, T), or T + 1 frames where the last is the recording's steady noise; or waves.
    labels: (B, K) in 0 to 1, or embeddings (B, D).
    mask: (B, K), which labels count; None: all of them.
    mixed: labels of the clips mixed in, where those have a loss of their own.
    frames: what is known of the crops' moments, where frames train.
    voters: how many people each crop's labels are of (B,), where people are told apart.
    """

    power: Tensor
    labels: Tensor
    mask: Tensor | None
    mixed: MixedTargets | None
    frames: FrameTargets | None = None
    voters: Tensor | None = None


def make_batch(
    data: TrainingSet,
    rows: Tensor,
    crops: CropSampling,
    settings: TrainSettings,
    rng: Generator,
    offsets: Tensor | None = None,
    noise: Generator | None = None,
) -> Batch:
    """A crop of each recording, with all augmentations of a round that work in power.

    Args:
        data: what crops, labels, soundscapes and pseudo-labels are taken from.
        rows: items (B,) of the training set: clips, or segments of annotated recordings.
        crops: length of crops, and how they are drawn.
        settings: the round's.
        rng: draws on the CPU: offsets, partners, weights.
        offsets: first frames (B,); drawn at random if None.
        noise: draws what is as large as the batch, on the batch's device; `rng` if None.

    Returns:
        The batch on the device of the training set's clips.
    """
    noise = noise or rng
    domain: Domain = "wave" if data.clips.spec.recovers_wave else "power"
    items, rows = rows, data.rows_of(rows)
    rows_on_device = rows.to(data.clips.device)
    if offsets is None:
        offsets = draw_offsets(data.clips, rows_on_device, crops, rng)
        offsets = _around_segments(data, items, offsets.cpu(), rng)
    offsets = offsets.to(data.clips.device)
    power = data.clips.power(rows_on_device, offsets, crops.frames, with_floor=crops.with_floor)
    labels, mask = data.labels[rows], None
    if data.clip_targets is not None:
        teacher = data.clip_targets.at(rows, offsets)
        labels = combine_targets(labels, teacher, settings.targets)
    if data.annotated is not None:
        labels, mask = _labels_of_events(data, items, offsets, crops.frames, labels)
    if data.teacher_outputs is not None:
        rate = data.clips.spec.frame_rate
        labels = data.teacher_outputs.embedding(rows, offsets / rate, crops.frames / rate)
    power, numbers = _distort(power, data.clips.spec, crops, settings, noise)
    frames = None
    if numbers is not None:
        frames = _frames(data, items, offsets.cpu(), numbers.cpu(), labels, mask, crops.cells)
    if data.background is not None and data.background.names:
        power = add_background(
            power, data.background, data.quiet, settings.background, crops, rng, noise, domain
        )
    if data.segments is not None or data.companions is not None:
        power, labels, mask, frames = mix_with_chunks(
            power,
            labels,
            data.segments,
            data.companions,
            settings,
            crops,
            rng,
            mask,
            frames,
            domain,
        )
    voters = _voters(data, items)
    power, labels, mask, mixed, frames = mix_within_batch(
        power, labels, mask, settings.mixup, settings.sumix, rng, frames, voters, domain
    )
    power = _add_noise(power, data.clips.spec, crops, settings.noise, noise)
    if settings.gain_db:
        power = random_gain(power, -settings.gain_db, settings.gain_db, noise, domain)
    device = power.device
    if mask is not None:
        mask = mask.to(device)
    frames = None if frames is None else frames.to(device)
    voters = None if voters is None else voters.to(device)
    return Batch(power, labels.to(device), mask, mixed and mixed.to(device), frames, voters)


def _voters(data: TrainingSet, items: Tensor) -> Tensor | None:
    """How many people annotated the recordings of items (B,); 1 for clips."""
    if data.annotated is None or not data.annotated.labels.people:
        return None
    is_segment, segments = data.segments_of(items)
    return torch.where(is_segment, data.annotated.labels.voters[data.annotated.rows[segments]], 1.0)


def _around_segments(data: TrainingSet, items: Tensor, offsets: Tensor, rng: Generator) -> Tensor:
    """First frames (B,) of crops: those of annotated segments are drawn around them."""
    is_segment, segments = data.segments_of(items)
    if data.annotated is None or not is_segment.any():
        return offsets
    return torch.where(is_segment, data.annotated.draw(segments, rng), offsets)


def _labels_of_events(
    data: TrainingSet, items: Tensor, offsets: Tensor, frames: int, labels: Tensor
) -> tuple[Tensor, Tensor | None]:
    """Labels of crops, in which those of segments have the events that they hold; which count."""
    is_segment, segments = data.segments_of(items)
    if data.annotated is None or not is_segment.any():
        return labels, None
    at = is_segment.nonzero()[:, 0]
    rows = data.annotated.rows[segments[at]]
    of_events, known = data.annotated.labels.at(
        rows, offsets.cpu()[at], torch.full_like(rows, frames)
    )
    mask = torch.ones(labels.shape, dtype=torch.bool)
    mask[at] = known
    return labels.index_copy(0, at, of_events), mask


def _frames(
    data: TrainingSet,
    items: Tensor,
    offsets: Tensor,
    numbers: Tensor,
    labels: Tensor,
    mask: Tensor | None,
    cells: int,
) -> FrameTargets:
    """What is known of the moments of crops (B,), whose frames are those of `numbers` (B, T)."""
    frames = untimed(labels, mask, cells)
    is_segment, segments = data.segments_of(items)
    at = is_segment.nonzero()[:, 0]
    if data.annotated is None or not len(at):
        return frames
    rows = data.annotated.rows[segments[at]]
    own = rendered(data.annotated.labels, rows, offsets[at], numbers[at], cells)
    return frames.put(at, own)


def _distort(
    power: Tensor,
    spec: FrontEnd,
    crops: CropSampling,
    settings: TrainSettings,
    rng: Generator,
) -> tuple[Tensor, Tensor | None]:
    """The augmentations of one clip by itself.

    One that is off draws nothing: a recipe without it trains on the same crops as before it
    existed. Where frames train, the numbers of the crop's frames (B, T) are returned too: they
    travel as one more bin through what is done in time. -1 is a frame that is not the crop's.
    """
    if not crops.cells:
        power = _in_time(power, spec, crops, settings, rng)
        return _in_frequency(power, spec, settings, rng), None
    numbers = torch.zeros(power.shape[2], device=power.device)
    numbers[: crops.frames] = torch.arange(1, crops.frames + 1)  # 0 is silence, and the floor
    power = torch.cat([power, numbers.to(power).expand(len(power), 1, -1)], dim=1)
    power = _in_time(power, spec, crops, settings, rng)
    of_frames = power[:, -1, : crops.frames].round().long() - 1
    return _in_frequency(power[:, :-1], spec, settings, rng), of_frames


def _in_time(
    power: Tensor,
    spec: FrontEnd,
    crops: CropSampling,
    settings: TrainSettings,
    rng: Generator,
) -> Tensor:
    floor, shift, padding = int(crops.with_floor), settings.shift, settings.padding
    if settings.reverse:
        power = distort.time_reverse(power, rng, floor_frames=floor, probability=settings.reverse)
    if shift.probability:
        frames = round(shift.max_s * spec.frame_rate)
        power = distort.time_shift(
            power, frames, rng, floor_frames=floor, probability=shift.probability
        )
    if padding.probability:
        power = distort.random_padding(
            power,
            padding.min_share,
            rng,
            fill=padding.fill,
            floor_frames=floor,
            probability=padding.probability,
        )
    return power


def _in_frequency(power: Tensor, spec: FrontEnd, settings: TrainSettings, rng: Generator) -> Tensor:
    gains, band, first = settings.filter, settings.band, bins_of_first(spec)
    if settings.flip_frequency:
        power = distort.frequency_flip(
            power, rng, probability=settings.flip_frequency, channels=spec.input_channels
        )
    if gains.probability:
        power = distort.random_filter(
            power,
            gains.limit_db,
            rng,
            points=gains.points,
            probability=gains.probability,
            bins_of_first=first,
        )
    if band.probability:
        power = distort.band_pass(
            power,
            band.attenuation_db,
            band.min_share,
            rng,
            probability=band.probability,
            bins_of_first=first,
        )
    return power


def _add_noise(
    power: Tensor, spec: FrontEnd, crops: CropSampling, settings: Noise, rng: Generator
) -> Tensor:
    if not settings.probability:
        return power
    # Filters of equal height pass more power the wider they are; those of equal area do not.
    widths = spec.bandwidths()
    return distort.coloured_noise(
        power,
        torch.from_numpy(spec.centres()),
        settings.exponent,
        settings.snr_db,
        rng,
        widths=None if widths is None else torch.from_numpy(widths),
        floor_frames=int(crops.with_floor),
        probability=settings.probability,
        channels=spec.input_channels,
    )
