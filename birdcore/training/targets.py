"""Targets of crops of clips where a teacher has labelled the clips themselves.

An annotator's label is of a whole recording; a teacher's labels say in which segments a class
sounds, and which others do. 5th place 2025 distilled its models into themselves four or five times
in this way.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from birdcore.features.columns import stacked
from birdcore.features.recordings import Recordings

Targets: TypeAlias = Literal["hard", "soft", "enriched"]

FOUND = 0.3
"""A class of a higher teacher probability counts as present (5th place 2025)."""
SOFT_SHARE = 0.7


@dataclass(frozen=True)
class ClipTargets:
    """A teacher's labels (S, K) of segments of clips, sorted by clip (first row) and time.

    starts (S,) in frames; clip r has the count[r] segments that begin at first[r].
    """

    first: Tensor
    count: Tensor
    starts: Tensor
    labels: Tensor

    def at(self, rows: Tensor, offsets: Tensor) -> Tensor:
        """Labels (B, K) of crops as long as the segments, linear between the two around each."""
        offsets = offsets.cpu().double()
        last = self.first[rows] + self.count[rows] - 1
        before = torch.searchsorted(self._key(self._row, self.starts), self._key(rows, offsets))
        before = torch.minimum((before - 1).maximum(self.first[rows]), last)
        after = torch.minimum(before + 1, last)
        apart = (self.starts[after] - self.starts[before]).clamp(min=1.0)
        share = ((offsets - self.starts[before]) / apart).clamp(0.0, 1.0)
        return torch.lerp(self.labels[before], self.labels[after], share[:, None].to(self.labels))

    @cached_property
    def _row(self) -> Tensor:
        return torch.arange(len(self.first)).repeat_interleave(self.count)

    def _key(self, rows: Tensor, frames: Tensor) -> Tensor:
        """One number that sorts by row, then by frame."""
        return rows * 1e9 + frames


def read_clip_targets(
    clips: Recordings, paths: Sequence[Path], count: int | None = None
) -> ClipTargets:
    """Labels of all segments of these clips.

    Args:
        clips: recordings, in the order of the result's rows.
        paths: `labels.parquet` of label artifacts.
        count: how many clips, the first ones, must have labels; all of them, if None.

    Raises:
        ValueError: a clip has no labelled segment.
    """
    table = pd.concat([pd.read_parquet(path) for path in paths], ignore_index=True)
    row_of = {name: r for r, name in enumerate(clips.names)}
    table = table.assign(row=table["recording"].map(row_of)).dropna(subset="row")
    table = table.sort_values(["row", "start"], kind="stable")
    rows = torch.tensor(table["row"].to_numpy(np.int64))
    segments = torch.bincount(rows, minlength=len(clips.names))
    if (segments[:count] == 0).any():
        name = clips.names[int((segments == 0).nonzero()[0])]
        raise ValueError(f"the teacher labelled no segment of {name}")
    starts = torch.tensor(table["start"].to_numpy(np.float64))
    return ClipTargets(
        first=segments.cumsum(0) - segments,
        count=segments,
        starts=starts * clips.spec.frame_rate,
        labels=torch.from_numpy(stacked(table["labels"], np.float32)),
    )


def combine_targets(hard: Tensor, teacher: Tensor, how: Targets) -> Tensor:
    """Targets (B, K) of crops from an annotator's labels and a teacher's probabilities.

    Args:
        hard: annotators' labels (B, K) in 0 to 1.
        teacher: the teacher's probabilities (B, K).
        how: hard: the annotators' alone. soft: the teacher's alone. enriched: with p the teacher's
            probability, .7 clip(p [p > .3] + p²) + .3 hard (5th place 2025): classes found in a
            crop are added, and labels not found there are weakened.

    Example:
        >>> combine_targets(torch.tensor([[1.0]]), torch.tensor([[0.0]]), "enriched")
        tensor([[0.3000]])
    """
    if how == "hard":
        return hard
    if how == "soft":
        return teacher
    found = torch.where(teacher > FOUND, teacher, 0.0) + teacher**2
    return SOFT_SHARE * found.clamp(max=1.0) + (1 - SOFT_SHARE) * hard
