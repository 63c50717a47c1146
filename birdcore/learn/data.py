"""What a model learns from, as arrays: labelled clips and pseudo-labelled soundscape segments.

The codes of all mels lie in one (frames, n_mels) tensor; a crop is an index into it. Batches of
crops are drawn, gathered and turned into power on the device, so that no Python runs per item.
Letters in names: B crops, T frames, M mel bins, K classes, R recordings, S segments.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from birdcore.columns import stacked
from birdcore.label.soft import soundscape_weights
from birdcore.mel.scale import Scale, power_table
from birdcore.mel.shard import read_shards
from birdcore.mel.spec import MelSpec


@dataclass(frozen=True)
class Recordings:
    """Mels of R recordings: codes (frames, M), and where each begins and how long it is."""

    names: tuple[str, ...]
    codes: Tensor
    starts: Tensor
    lengths: Tensor
    spec: MelSpec
    scale: Scale

    @property
    def device(self) -> torch.device:
        return self.codes.device

    def power(self, rows: Tensor, offsets: Tensor, frames: int) -> Tensor:
        """Power (B, M, frames) of crops at `offsets` into recordings `rows` (both B,).

        A recording shorter than the crop is repeated, so that a crop is never mostly padding.
        """
        steps = torch.arange(frames, device=self.device)
        inside = (offsets[:, None] + steps) % self.lengths[rows][:, None]
        codes = self.codes[self.starts[rows][:, None] + inside]
        return self._table[codes.long()].transpose(1, 2) if self._is_coded else _power(codes, self)

    @property
    def _is_coded(self) -> bool:
        return self.scale.dtype == "uint8"

    @property
    def _table(self) -> Tensor:
        return torch.from_numpy(power_table(self.scale)).to(self.device)


def _power(codes: Tensor, recordings: Recordings) -> Tensor:
    """Power of float16 codes, which are decibels above the floor."""
    decibels = codes.float() + recordings.scale.floor_db
    return torch.where(codes > 0, 10 ** (decibels / 10), 0.0).transpose(1, 2)


def read_mels(shards: Sequence[Path], device: torch.device) -> Recordings:
    mels = read_shards(shards)
    starts = torch.from_numpy(mels.starts)
    return Recordings(
        names=mels.recordings,
        codes=torch.from_numpy(mels.codes).to(device),
        starts=starts[:-1].to(device),
        lengths=(starts[1:] - starts[:-1]).to(device),
        spec=mels.spec,
        scale=mels.scale,
    )


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

    With `min_per_class` a class with fewer recordings is repeated up to about that many
    (5th place 2025: 20).
    """
    counts = (labels[rows] >= 1).sum(dim=0).clamp(min=1)
    primary = labels[rows].argmax(dim=1)
    times = (min_per_class / counts[primary]).ceil().clamp(min=1).long() * repeat
    all_rows = rows.repeat_interleave(times)
    return all_rows[torch.randperm(len(all_rows), generator=generator)]


@dataclass(frozen=True)
class Crops:
    """How crops are drawn from recordings."""

    frames: int
    first_frames: int | None
    loud: float


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


def read_segments(soundscapes: Recordings, labels: Sequence[Path]) -> Segments:
    """Segments of label artifacts, drawn as 1st place 2025 did: soundscapes by their certainty.

    Raises ValueError where no segment passed the teacher's threshold.
    """
    table = pd.concat([pd.read_parquet(path) for path in labels], ignore_index=True)
    table = table[table["kept"]].reset_index(drop=True)
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
    offsets = torch.from_numpy(np.rint(table["start"].to_numpy() * soundscapes.spec.frame_rate))
    return Segments(
        soundscapes,
        rows.to(soundscapes.device),
        offsets.long().to(soundscapes.device),
        torch.from_numpy(stacked(table["labels"], np.float32)),
        torch.from_numpy(stacked(table["mask"], np.bool_)),
        weights + 1e-12,
    )


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
    )
