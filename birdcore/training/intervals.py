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
    """

    rows: Tensor
    start: Tensor
    end: Tensor

    def around(self, rows: Tensor, begin: Tensor, stop: Tensor) -> tuple[Tensor, Tensor]:
        """The intervals that touch stretches of recordings, or come within a frame of them.

        Args:
            rows: recording of each stretch (B,).
            begin: its first frame (B,).
            stop: one past its last (B,).

        Returns:
            Which stretch, and which interval (both J,); some that touch nothing may be among them.
        """
        found = []
        key, stop = rows * self._apart, stop.clamp(max=self._last_end + 1)
        for of_length, longest in self._by_length:
            starts = self._key[of_length]
            low = torch.searchsorted(starts, key + begin - longest - 1)
            count = (torch.searchsorted(starts, key + stop + 1) - low).clamp(min=0)
            which = torch.arange(len(rows)).repeat_interleave(count)
            within = torch.arange(len(which)) - (count.cumsum(0) - count)[which]
            found.append(torch.stack([which, of_length[low[which] + within]]))
        which, interval = torch.cat(found or [torch.zeros(2, 0, dtype=torch.int64)], dim=1)
        return which, interval

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
    def _last_end(self) -> float:
        return float(self.end.max()) if len(self.end) else 0.0

    @property
    def _apart(self) -> float:
        """Frames between the beginnings of recordings on one axis for all of them."""
        return 2 * self._last_end + 4

    @cached_property
    def _key(self) -> Tensor:
        return self.rows * self._apart + self.start

    @cached_property
    def _by_length(self) -> list[tuple[Tensor, float]]:
        """Intervals of similar length, and that of the longest.

        Of these the ones that begin up to a length before a crop are looked at, so that a chorus of
        a whole night does not bring along each call of it.
        """
        length = self.end - self.start
        size = length.log2().div(2).floor()
        parts = [(size == each).nonzero()[:, 0] for each in size.unique()]
        return [(part, float(length[part].max())) for part in parts]


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


def united(table: pd.DataFrame) -> pd.DataFrame:
    """Stretches of recordings, of which those that overlap are one: recording, start_s, end_s."""
    table = table.sort_values(["recording", "start_s"], ignore_index=True)
    reached = table.groupby("recording")["end_s"].cummax().groupby(table["recording"]).shift()
    number = (~(table["start_s"] < reached)).cumsum()
    return (
        table.groupby(number)
        .agg({"recording": "first", "start_s": "min", "end_s": "max"})
        .reset_index(drop=True)
    )
