"""Mels of many recordings as one tensor: a crop is an index into it.

Batches of crops are gathered and turned into power on the device, so that no Python runs per item
and a byte is all that a cell costs until it is heard.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

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

    def power(
        self, rows: Tensor, offsets: Tensor, frames: int, *, with_floor: bool = False
    ) -> Tensor:
        """Power (B, M, frames) of crops at `offsets` into recordings `rows` (both B,).

        A recording shorter than the crop is repeated, so that a crop is never mostly padding.
        `with_floor` adds one frame, the recording's steady noise: whatever is mixed afterwards, in
        power, mixes the floors alike.
        """
        steps = torch.arange(frames, device=self.device)
        inside = (offsets[:, None] + steps) % self.lengths[rows][:, None]
        at = (self.starts[rows][:, None] + inside).flatten()
        power = self._power_of(self.codes.index_select(0, at))
        power = power.view(len(rows), frames, self.codes.shape[1]).transpose(1, 2)
        if not with_floor:
            return power
        return torch.cat([power, self.floors[rows][:, :, None]], dim=2)

    def _power_of(self, codes: Tensor) -> Tensor:
        if self.scale.dtype == "uint8":
            # Four times as fast as indexing the table, which takes 64-bit indices only.
            return self._table.index_select(0, codes.flatten().int())
        # float16 codes are decibels above the floor.
        decibels = codes.float() + self.scale.floor_db
        return torch.where(codes > 0, 10 ** (decibels / 10), 0.0)

    @cached_property
    def floors(self) -> Tensor:
        """The steady noise of each recording, (R, M): the median power of each bin over time."""
        medians = [
            self.codes[start : start + length].float().median(dim=0).values
            for start, length in zip(self.starts.tolist(), self.lengths.tolist(), strict=True)
        ]
        codes = torch.stack(medians).to(self.codes.dtype)
        # The median of an exponential distribution is log 2 of its mean.
        return self._power_of(codes).view(codes.shape) / math.log(2)

    @cached_property
    def _table(self) -> Tensor:
        return torch.from_numpy(power_table(self.scale)).to(self.device)


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
