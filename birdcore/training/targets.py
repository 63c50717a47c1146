"""What a clip's crops are to be, where a teacher has listened to the clips themselves.

A label says that a bird sings somewhere in a recording; a teacher says where, and which others do.
So 5th place 2025 distilled its models into themselves four or five times.
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

HEARD = 0.3
"""A class that the teacher is surer of is taken as found (5th place 2025)."""
SOFT_SHARE = 0.7


@dataclass(frozen=True)
class ClipLabels:
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


def read_clip_labels(clips: Recordings, paths: Sequence[Path]) -> ClipLabels:
    """Label artifacts of clips; raises ValueError where one of these was not listened to."""
    table = pd.concat([pd.read_parquet(path) for path in paths], ignore_index=True)
    row_of = {name: r for r, name in enumerate(clips.names)}
    table = table.assign(row=table["recording"].map(row_of)).dropna(subset="row")
    table = table.sort_values(["row", "start"], kind="stable")
    rows = torch.tensor(table["row"].to_numpy(np.int64))
    count = torch.bincount(rows, minlength=len(clips.names))
    if (count == 0).any():
        name = clips.names[int((count == 0).nonzero()[0])]
        raise ValueError(f"the teacher labelled no segment of {name}")
    starts = torch.tensor(table["start"].to_numpy(np.float64))
    return ClipLabels(
        first=count.cumsum(0) - count,
        count=count,
        starts=starts * clips.spec.frame_rate,
        labels=torch.from_numpy(stacked(table["labels"], np.float32)),
    )


def targets_of(hard: Tensor, told: Tensor, how: Targets) -> Tensor:
    """Targets (B, K) from what a person (hard) and a teacher (told) said of crops, in 0 to 1.

    enriched: .7 · clip(p·[p > .3] + p²) + .3 · hard (5th place 2025): what is found in a crop joins
    the labels, and a label that is not heard there fades.
    """
    if how == "hard":
        return hard
    if how == "soft":
        return told
    found = torch.where(told > HEARD, told, 0.0) + told**2
    return SOFT_SHARE * found.clamp(max=1.0) + (1 - SOFT_SHARE) * hard
