"""What a model learns from, as arrays: labelled clips and pseudo-labelled soundscape segments.

Which recordings an epoch has, where their crops begin, what their labels are: drawn in batches.
Letters in names: B crops, T frames, M mel bins, K classes, R recordings, S segments.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from birdcore.columns import stacked
from birdcore.label.soft import cap_sum, keep_top, minmax_by_class, soundscape_weights
from birdcore.mel.recordings import Recordings
from birdcore.mel.spec import MelSpec


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
    labels: Tensor, rows: Tensor, repeat: int, min_per_class: int, generator: torch.Generator
) -> Tensor:
    """The recordings of one epoch, shuffled: each `repeat` times, those of rare classes more.

    With `min_per_class` the recordings of a class that has fewer are repeated up to about that
    many (5th place 2025: 20); one of several classes as often as its rarest.
    """
    present = labels[rows] >= 1
    rarity = min_per_class / present.sum(dim=0).clamp(min=1)
    times = torch.where(present, rarity, 0.0).amax(dim=1).ceil().clamp(min=1).long() * repeat
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
    lengths = recordings.lengths[rows].cpu()
    if crops.first_frames is not None:
        lengths = lengths.clamp(max=max(crops.first_frames, crops.frames))
    room = (lengths - crops.frames).clamp(min=0)
    draws = torch.rand(2, len(rows), generator=generator)
    offsets = (draws * (room + 1)).long().clamp(max=room).to(recordings.device)
    pick_louder = torch.rand(len(rows), generator=generator) < crops.loud
    if not pick_louder.any():
        return offsets[0]
    levels = torch.stack([_level(recordings, rows, o, crops.frames) for o in offsets])
    second = pick_louder.to(recordings.device) & (levels[1] > levels[0])
    return torch.where(second, offsets[1], offsets[0])


def _level(recordings: Recordings, rows: Tensor, offsets: Tensor, frames: int) -> Tensor:
    """Mean code (B,) of every eighth frame: enough to tell a call from a pause."""
    steps = torch.arange(0, frames, 8, device=recordings.device)
    inside = (offsets[:, None] + steps) % recordings.lengths[rows][:, None]
    return recordings.codes[recordings.starts[rows][:, None] + inside].float().mean(dim=(1, 2))


TOLERANCE_S = 0.1
"""A segment that sticks out of a crop by less lies in it: frames round times."""


@dataclass(frozen=True)
class Segments:
    """Pseudo-labelled pieces of soundscapes: S segments with soft labels (S, K).

    mask (S, K) tells which classes of a label count; weights (S,) how often each is drawn.
    """

    soundscapes: Recordings
    rows: Tensor
    offsets: Tensor
    labels: Tensor
    mask: Tensor
    weights: Tensor

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        return torch.multinomial(self.weights, count, replacement=True, generator=generator)

    def draw_same(self, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """For each clip's labels (B, K) a segment in which the teacher heard its class, and
        whether there is one (both B,); the surer, the more often."""
        wanted = labels.argmax(dim=1)
        sure = torch.where(self.labels >= 0.5, self.labels, 0.0).double() * self.weights[:, None]
        of_class = sure.T[wanted]
        found = of_class.sum(dim=1) > 0
        of_class[~found] = 1.0
        return torch.multinomial(of_class, 1, generator=generator)[:, 0], found


def read_segments(
    soundscapes: Recordings,
    labels: Sequence[Path],
    crop_s: float,
    settings: Mapping[str, Any] | None = None,
) -> Segments:
    """Segments of label artifacts, drawn as 1st place 2025 did: soundscapes by their certainty.

    A crop that is longer than its segment has, class by class, the maximum of the segments that
    lie in it. `settings` are those of a round's labels that look at all segments at once: minmax,
    keep, cap. Raises ValueError where no segment passed the teacher's threshold.
    """
    table = pd.concat([pd.read_parquet(path) for path in labels], ignore_index=True)
    if settings is not None:
        table = _over_all(table, settings)
    table = table[table["kept"]].sort_values(["recording", "start"]).reset_index(drop=True)
    if table.empty:
        raise ValueError(
            "no soundscape segment passed round.label.threshold: set it lower, or train the "
            "teacher longer"
        )
    row_of = {name: r for r, name in enumerate(soundscapes.names)}
    rows = torch.tensor([row_of[name] for name in table["recording"]])
    probabilities = stacked(table["probabilities"], np.float32)
    by_soundscape = soundscape_weights(probabilities, rows.numpy())
    weights = (
        torch.from_numpy(np.asarray(by_soundscape, np.float64))[rows] / torch.bincount(rows)[rows]
    )
    frames = torch.from_numpy(np.rint(table["start"].to_numpy() * soundscapes.spec.frame_rate))
    last = soundscapes.lengths.cpu()[rows] - soundscapes.spec.fixed_length(crop_s)
    offsets = torch.minimum(frames.long(), last.clamp(min=0))
    loudest = _loudest_in_crop(table, offsets.numpy() / soundscapes.spec.frame_rate, crop_s)
    return Segments(
        soundscapes,
        rows.to(soundscapes.device),
        offsets.to(soundscapes.device),
        torch.from_numpy(np.take_along_axis(stacked(table["labels"], np.float32), loudest, 0)),
        torch.from_numpy(np.take_along_axis(stacked(table["mask"], np.bool_), loudest, 0)),
        weights + 1e-12,
    )


def _over_all(table: pd.DataFrame, settings: Mapping[str, Any]) -> pd.DataFrame:
    if table.empty:
        return table
    labels = stacked(table["labels"], np.float32)
    if settings["minmax"]:
        labels = minmax_by_class(labels)
    kept = table["kept"].to_numpy() & keep_top(labels, settings["keep"])
    if settings["cap"] is not None:
        labels = cap_sum(labels, settings["cap"])
    return table.assign(labels=list(labels), kept=kept)


def _loudest_in_crop(
    table: pd.DataFrame, crop_starts: npt.NDArray[np.float64], crop_s: float
) -> npt.NDArray[np.int64]:
    """For each crop and class (S, K) the row of the surest segment that lies in the crop.

    The table is sorted by recording and start; row i is the segment that crop i was drawn for.
    """
    probabilities = stacked(table["probabilities"], np.float32)
    starts, ends = table["start"].to_numpy(), table["end"].to_numpy()
    loudest = np.empty(probabilities.shape, np.int64)
    for rows in table.groupby("recording", sort=False).indices.values():
        base = int(rows[0])
        inside = slice(base, base + len(rows))
        begin = crop_starts[inside]
        first = base + np.searchsorted(starts[inside], begin - TOLERANCE_S)
        after = base + np.searchsorted(ends[inside], begin + crop_s + TOLERANCE_S, "right")
        for row, a, b in zip(range(base, base + len(rows)), first, after, strict=True):
            a, b = min(a, row), max(b, row + 1)
            loudest[row] = a + probabilities[a:b].argmax(axis=0)
    return loudest


def batches(rows: Tensor, size: int) -> Iterator[Tensor]:
    """Batches of exactly `size` rows; the rest of an epoch is dropped unless it is all there is."""
    if len(rows) <= size:
        yield rows
        return
    for first in range(0, len(rows) - size + 1, size):
        yield rows[first : first + size]


def crops_of(settings: Mapping[str, Any], spec: MelSpec) -> Crops:
    """The crops of a round's settings, in frames."""
    first_s = settings["first_s"]
    return Crops(
        frames=spec.fixed_length(settings["crop_s"]),
        first_frames=None if first_s is None else spec.fixed_length(first_s),
        loud=settings["loud_crops"],
        with_floor=settings["normalise"] == "floor",
    )
