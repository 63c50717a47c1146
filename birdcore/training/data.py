"""Sampling of labelled clips: the recordings of an epoch, where their crops begin, in batches.

All draws are made on the CPU, so that a run on a GPU sees the same crops.

Letters in names: B crops, T frames, M mel bins, K classes, R recordings.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor

from birdcore.config.training import TrainSettings
from birdcore.features.front_end import FrontEnd
from birdcore.features.recordings import Recordings


def hard_labels(
    names: Sequence[str], recordings: pd.DataFrame, classes: Sequence[str], secondary: float
) -> Tensor:
    """Annotators' labels as targets.

    Args:
        names: R recordings.
        recordings: the catalogue, indexed by name, with `primary_label` and `secondary_labels`.
        classes: K labels, in the order of the columns.
        secondary: target of a secondary label; a primary one has 1.

    Returns:
        Targets (R, K), float32.
    """
    column = {label: k for k, label in enumerate(classes)}
    labels = torch.zeros(len(names), len(classes))
    known = recordings.loc[list(names)]
    for r, (primary, others) in enumerate(
        zip(known["primary_label"], known["secondary_labels"], strict=True)
    ):
        for label in others:
            labels[r, column[label]] = secondary
        labels[r, column[primary]] = 1.0
    return labels


def epoch_rows(
    labels: Tensor,
    rows: Tensor,
    repeat: int,
    min_per_class: int,
    generator: torch.Generator,
    *,
    by_class: bool = False,
    weights: Tensor | None = None,
) -> Tensor:
    """The recordings of one epoch, shuffled: each `repeat` times, those of rare classes more often.

    Args:
        labels: targets (R, K); 1 or more is a primary label.
        rows: recordings to train on.
        repeat: crops of each recording in an epoch.
        min_per_class: recordings of a class that has fewer are repeated up to about that many
            (5th place 2025: 20); a recording of several classes as often as its rarest.
        generator: on the CPU.
        by_class: draw as many rows with replacement, each class equally often.
        weights: how often each recording (R,) is drawn, relative to what is said above; None: 1.

    Returns:
        Rows (N,), with repetitions.
    """
    present = labels[rows] >= 1
    count = present.sum(dim=0).clamp(min=1)
    repeats = torch.where(present, min_per_class / count, 0.0).amax(dim=1)
    repeats = repeats.ceil().clamp(min=1).long() * repeat
    if by_class:
        shares = (present / count).sum(dim=1)
        silent = ~present.any(dim=1)  # windows in which nothing sounds are a class of their own
        if silent.any():
            shares = torch.where(silent, 1 / silent.sum(), shares)
        draws = int(repeats.sum())
        if weights is not None:
            shares = shares * weights[rows]
        return rows[torch.multinomial(shares, draws, replacement=True, generator=generator)]
    if weights is not None:
        times = repeats * weights[rows]
        part = torch.rand(len(rows), generator=generator) < times.frac()
        # An epoch of none, where all are drawn seldom, is one of each.
        repeats = weighted if (weighted := times.floor().long() + part).any() else repeats
    all_rows = rows.repeat_interleave(repeats)
    return all_rows[torch.randperm(len(all_rows), generator=generator)]


@dataclass(frozen=True)
class CropSampling:
    """How crops are drawn from recordings.

    Attributes:
        frames: length of a crop.
        first_frames: crops lie within so many first frames of a recording; None: anywhere.
        loud: probability that the louder of two random crops is taken.
        with_floor: whether the recording's steady noise is appended as one more frame.
        cells: outputs of the model in a crop, where these have targets; 0 where they have none.
    """

    frames: int
    first_frames: int | None = None
    loud: float = 0.0
    with_floor: bool = False
    cells: int = 0


def draw_offsets(
    recordings: Recordings, rows: Tensor, crops: CropSampling, generator: torch.Generator
) -> Tensor:
    """A random first frame (B,) for a crop of each recording.

    With probability `crops.loud` it is that of the louder of two random crops.
    """
    room = (_usable(recordings, rows, crops) - crops.frames).clamp(min=0)
    draws = torch.rand(2, len(rows), generator=generator)
    offsets = (draws * (room + 1)).long().clamp(max=room).to(recordings.device)
    pick_louder = torch.rand(len(rows), generator=generator) < crops.loud
    if not pick_louder.any():
        return offsets[0]
    levels = torch.stack([_level(recordings, rows, o, crops.frames) for o in offsets])
    second = pick_louder.to(recordings.device) & (levels[1] > levels[0])
    return torch.where(second, offsets[1], offsets[0])


def overlapping(
    recordings: Recordings, rows: Tensor, crops: CropSampling, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Rows and first frames of crops that cover these recordings, overlapping by half; shuffled.

    The last crop of a recording ends with it.
    """
    lengths = _usable(recordings, rows, crops)
    last = (lengths - crops.frames).clamp(min=0)
    hop = max(1, crops.frames // 2)
    count = (last + hop - 1) // hop + 1
    within = torch.arange(int(count.sum())) - (count.cumsum(0) - count).repeat_interleave(count)
    offsets = torch.minimum(within * hop, last.repeat_interleave(count))
    order = torch.randperm(len(offsets), generator=generator)
    return rows.repeat_interleave(count)[order], offsets[order]


def _usable(recordings: Recordings, rows: Tensor, crops: CropSampling) -> Tensor:
    """Frames (B,) on the CPU from which crops may come."""
    lengths = recordings.lengths[rows].cpu()
    if crops.first_frames is None:
        return lengths
    return lengths.clamp(max=max(crops.first_frames, crops.frames))


def _level(recordings: Recordings, rows: Tensor, offsets: Tensor, frames: int) -> Tensor:
    """Loudness (B,) of every eighth frame."""
    steps = torch.arange(0, frames, 8, device=recordings.device)
    inside = (offsets[:, None] + steps) % recordings.lengths[rows][:, None]
    return recordings.loudness(recordings.starts[rows][:, None] + inside)


def batches(rows: Tensor, size: int) -> Iterator[Tensor]:
    """Batches of exactly `size` rows; an incomplete last one is dropped unless it is the only one.

    A single row is doubled: batch normalisation needs two.
    """
    if len(rows) == 1:
        rows = rows.repeat_interleave(2, dim=0)
    if len(rows) <= size:
        yield rows
        return
    for first in range(0, len(rows) - size + 1, size):
        yield rows[first : first + size]


def crop_sampling(settings: TrainSettings, spec: FrontEnd) -> CropSampling:
    """A round's settings of crops, in frames of its front end."""
    max_start_s = settings.max_start_s
    return CropSampling(
        frames=spec.fixed_length(settings.crop_s),
        first_frames=None if max_start_s is None else spec.fixed_length(max_start_s),
        loud=settings.loud_crops,
        with_floor=settings.normalise == "floor",
    )
