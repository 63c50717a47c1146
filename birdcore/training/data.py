"""What a model learns of labelled clips, as arrays: which recordings an epoch has, where their
crops begin, what their labels are; drawn in batches.

Letters in names: B crops, T frames, M mel bins, K classes, R recordings.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from birdcore.features.front_end import FrontEnd
from birdcore.features.recordings import Recordings


def hard_labels(
    names: Sequence[str], recordings: pd.DataFrame, classes: Sequence[str], secondary: float
) -> Tensor:
    """Targets (R, K): 1 for the primary label, `secondary` for each secondary one."""
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
) -> Tensor:
    """The recordings of one epoch, shuffled: each `repeat` times, those of rare classes more.

    With `min_per_class` the recordings of a class that has fewer are repeated up to about that
    many (5th place 2025: 20); one of several classes as often as its rarest. `by_class` draws as
    many with replacement, each class as often as any other.
    """
    present = labels[rows] >= 1
    count = present.sum(dim=0).clamp(min=1)
    times = torch.where(present, min_per_class / count, 0.0).amax(dim=1)
    times = times.ceil().clamp(min=1).long() * repeat
    if by_class:
        shares = (present / count).sum(dim=1)
        draws = int(times.sum())
        return rows[torch.multinomial(shares, draws, replacement=True, generator=generator)]
    all_rows = rows.repeat_interleave(times)
    return all_rows[torch.randperm(len(all_rows), generator=generator)]


@dataclass(frozen=True)
class Crops:
    """How crops are drawn from recordings."""

    frames: int
    first_frames: int | None
    loud: float
    with_floor: bool = False


def draw_offsets(
    recordings: Recordings, rows: Tensor, crops: Crops, generator: torch.Generator
) -> Tensor:
    """A random first frame (B,) for a crop of each recording.

    With probability `crops.loud` it is the louder of two draws. Draws are made on the CPU, so
    that a GPU sees the same crops.
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
    recordings: Recordings, rows: Tensor, crops: Crops, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Every crop of these recordings that begins half a crop after the last, and the one at the
    end: rows and first frames, shuffled."""
    lengths = _usable(recordings, rows, crops)
    last = (lengths - crops.frames).clamp(min=0)
    hop = max(1, crops.frames // 2)
    count = (last + hop - 1) // hop + 1
    within = torch.arange(int(count.sum())) - (count.cumsum(0) - count).repeat_interleave(count)
    offsets = torch.minimum(within * hop, last.repeat_interleave(count))
    order = torch.randperm(len(offsets), generator=generator)
    return rows.repeat_interleave(count)[order], offsets[order]


def _usable(recordings: Recordings, rows: Tensor, crops: Crops) -> Tensor:
    """Frames (B,) on the CPU from which crops may come."""
    lengths = recordings.lengths[rows].cpu()
    if crops.first_frames is None:
        return lengths
    return lengths.clamp(max=max(crops.first_frames, crops.frames))


def _level(recordings: Recordings, rows: Tensor, offsets: Tensor, frames: int) -> Tensor:
    """Mean code (B,) of every eighth frame: enough to tell a call from a pause."""
    steps = torch.arange(0, frames, 8, device=recordings.device)
    inside = (offsets[:, None] + steps) % recordings.lengths[rows][:, None]
    return recordings.codes[recordings.starts[rows][:, None] + inside].float().mean(dim=(1, 2))


def batches(rows: Tensor, size: int) -> Iterator[Tensor]:
    """Batches of exactly `size` rows; the rest of an epoch is dropped unless it is all there is.

    A single row comes twice: there is no batch statistic of one.
    """
    if len(rows) == 1:
        rows = rows.repeat_interleave(2, dim=0)
    if len(rows) <= size:
        yield rows
        return
    for first in range(0, len(rows) - size + 1, size):
        yield rows[first : first + size]


def crops_of(settings: Mapping[str, Any], spec: FrontEnd) -> Crops:
    """The crops of a round's settings, in frames."""
    max_start_s = settings["max_start_s"]
    return Crops(
        frames=spec.fixed_length(settings["crop_s"]),
        first_frames=None if max_start_s is None else spec.fixed_length(max_start_s),
        loud=settings["loud_crops"],
        with_floor=settings["normalise"] == "floor",
    )
