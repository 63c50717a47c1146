"""Stretches of recordings, and which of them crops touch.

A recording of a day may hold thousands of events, and a batch a crop of each of a hundred
recordings: what a crop touches is found by bisection, not by looking at all of them.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import torch
from torch import Tensor


@dataclass(frozen=True)
class Intervals:
    """I stretches of R recordings, sorted by recording and beginning, on the CPU.

    Attributes:
        rows: recording of each (I,).
        start, end: in frames (I,), float64.
        count: how many each recording has (R,).
    """

    rows: Tensor
    start: Tensor
    end: Tensor
    count: Tensor

    def around(self, rows: Tensor, begin: Tensor, stop: Tensor) -> tuple[Tensor, Tensor]:
        """The intervals that touch stretches of recordings, or come within a frame of them.

        Args:
            rows: recording of each stretch (B,).
            begin: its first frame (B,).
            stop: one past its last (B,).

        Returns:
            Which stretch, and which interval (both J,); some that touch nothing may be among them.
        """
        last = self.count.cumsum(0)[rows]
        first = last - self.count[rows]
        key = rows * self._apart
        low = torch.searchsorted(self._latest_end, key + begin - 1, right=True).maximum(first)
        high = torch.searchsorted(self._beginning, key + stop + 1).minimum(last)
        count = (high - low).clamp(min=0)
        which = torch.arange(len(rows)).repeat_interleave(count)
        within = torch.arange(len(which)) - (count.cumsum(0) - count)[which]
        return which, low[which] + within

    def overlap(
        self, rows: Tensor, offsets: Tensor, frames: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Which crop, which interval, and how many frames of it are in the crop (all J,).

        Those of which no frame is may be among them.
        """
        begin = offsets.double()
        which, interval = self.around(rows, begin, begin + frames)
        stop = torch.minimum(self.end[interval], (begin + frames)[which])
        return which, interval, stop - torch.maximum(self.start[interval], begin[which])

    @cached_property
    def _apart(self) -> float:
        """Frames by which recordings lie apart on one axis for all of them."""
        return float(self.end.max()) + 4.0 if len(self.end) else 4.0

    @cached_property
    def _beginning(self) -> Tensor:
        return self.rows * self._apart + self.start

    @cached_property
    def _latest_end(self) -> Tensor:
        """Of all intervals up to each."""
        return (self.rows * self._apart + self.end).cummax(0).values


def intervals(rows: Tensor, table: pd.DataFrame, lengths: Tensor, rate: float) -> Intervals:
    """A table's stretches, at least a frame long.

    Args:
        rows: recording of each stretch (I,).
        table: start_s and end_s of each, sorted by recording and start_s.
        lengths: frames of all recordings (R,).
        rate: frames a second.
    """
    length = lengths.numpy()[rows.numpy()].astype(np.float64)
    end = np.minimum(table["end_s"].to_numpy(np.float64) * rate, length)
    start = np.clip(table["start_s"].to_numpy(np.float64) * rate, 0, np.maximum(length - 1, 0))
    return Intervals(
        rows,
        torch.from_numpy(start),
        torch.from_numpy(np.maximum(end, start + 1)),
        torch.bincount(rows, minlength=len(lengths)),
    )


def rows_of_table(
    table: pd.DataFrame, row_of: dict[str, int], lengths: Tensor, rate: float
) -> tuple[pd.DataFrame, Tensor]:
    """A table's rows that lie in recordings, sorted by recording and start, and these (I,).

    What begins more than a frame after a recording's end is not in it.
    """
    table = table[table["recording"].isin(row_of)]
    rows = table["recording"].map(row_of).to_numpy(np.int64)
    start = table["start_s"].to_numpy(np.float64)
    order = np.lexsort([start, rows])
    order = order[start[order] * rate <= lengths.numpy()[rows[order]]]
    return table.iloc[order], torch.from_numpy(rows[order])
