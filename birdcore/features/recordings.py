"""Features of many recordings as one tensor: a crop is an index into it.

Batches of crops are gathered and turned into power on the device, so that no Python runs per item
and a cell costs one byte until it is used. What is predicted once, from its beginning to its end,
stays on the disk instead, and is read span by span: a soundscape may last for days.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from birdcore.features.front_end import FrontEnd
from birdcore.features.scale import AnyScale, Codes, Scale, WaveScale, power_table
from birdcore.features.shard_reader import Ints, MelShard, read_shards

MEDIAN_CELLS = 1 << 24


@dataclass(frozen=True)
class Recordings:
    """Features of R recordings: codes (frames, F), and where each begins and how long it is.

    names: R of them. codes: uint8 or float16 (frames of all recordings, F). starts, lengths: int64
    (R,), in frames. spec, scale: what the codes are. floor_codes: the medians of the recordings
    (R, F), where the codes are not all of them.
    """

    names: tuple[str, ...]
    codes: Tensor
    starts: Tensor
    lengths: Tensor
    spec: FrontEnd
    scale: AnyScale
    floor_codes: Tensor | None = None

    @property
    def device(self) -> torch.device:
        return self.codes.device

    def only(self, rows: Tensor) -> "Recordings":
        """These recordings (B,) alone, in their order, which share the codes with all of them."""
        floor_codes = None if self.floor_codes is None else self.floor_codes[rows]
        return replace(
            self,
            names=tuple(self.names[row] for row in rows.tolist()),
            starts=self.starts[rows],
            lengths=self.lengths[rows],
            floor_codes=floor_codes,
        )

    def span(self, row: int, first: int, stop: int, *, with_floor: bool = False) -> "Recordings":
        """Frames first to stop of one recording, as the only one; its floor is of all of it."""
        start = int(self.starts[row])
        codes = self.codes[start + first : start + stop]
        floor_codes = self._medians[row : row + 1] if with_floor else None
        return _alone(self.names[row], codes, self.spec, self.scale, floor_codes)

    def power(
        self, rows: Tensor, offsets: Tensor, frames: int, *, with_floor: bool = False
    ) -> Tensor:
        """Power (B, F, frames) of crops at `offsets` into recordings `rows` (both B,).

        Of a front end that keeps no power these are its values or samples. A recording shorter than
        the crop is repeated, so that a crop is never mostly padding. `with_floor` adds one frame,
        the recording's steady noise: whatever is mixed afterwards, in power, mixes floors alike.
        """
        steps = torch.arange(frames, device=self.device)
        inside = (offsets[:, None] + steps) % self.lengths[rows][:, None]
        frame = (self.starts[rows][:, None] + inside).flatten()
        power = self._power_of(self.codes.index_select(0, frame))
        power = power.view(len(rows), frames, self.codes.shape[1]).transpose(1, 2)
        if not with_floor:
            return power
        return torch.cat([power, self.floors[rows][:, :, None]], dim=2)

    def loudness(self, frames: Tensor) -> Tensor:
        """Mean code (B,) of frames (B, T), by their numbers: enough to tell a call from a pause."""
        codes = self.codes[frames]
        if isinstance(self.scale, WaveScale):
            signed = codes.view(torch.int8) if codes.dtype == torch.uint8 else codes
            codes = signed.float().abs()
        return codes.float().mean(dim=(1, 2))

    def _power_of(self, codes: Tensor) -> Tensor:
        if self.scale.dtype == "uint8":
            # Four times as fast as indexing the table, which takes 64-bit indices only.
            return self._table.index_select(0, codes.flatten().int())
        if not isinstance(self.scale, Scale):
            return codes.float()
        # float16 codes are decibels above the floor.
        decibels = codes.float() + self.scale.floor_db
        return torch.where(codes > 0, 10 ** (decibels / 10), 0.0)

    @cached_property
    def floors(self) -> Tensor:
        """The steady noise of each recording, (R, F): the median power of each bin over time."""
        # The median of an exponential distribution is log 2 of its mean.
        return self._power_of(self._medians).view(self._medians.shape) / math.log(2)

    @cached_property
    def _medians(self) -> Tensor:
        if self.floor_codes is not None:
            return self.floor_codes
        medians = [
            # As floats a day of 128 bins is 2.8 GB: some bins at a time.
            torch.cat([
                part.float().median(dim=0).values
                for part in self.codes[start : start + length].split(bins, dim=1)
            ])
            for start, length, bins in zip(
                self.starts.tolist(),
                self.lengths.tolist(),
                (MEDIAN_CELLS // self.lengths).clamp(min=1).tolist(),
                strict=True,
            )
        ]  # fmt: skip
        return torch.stack(medians).to(self.codes.dtype)

    @cached_property
    def _table(self) -> Tensor:
        return torch.from_numpy(power_table(self.scale)).to(self.device)


@dataclass(frozen=True)
class StoredRecordings:
    """Features of the recordings of a shard, which stay on the disk."""

    shard: MelShard
    device: torch.device

    @property
    def names(self) -> tuple[str, ...]:
        return self.shard.recordings

    @property
    def lengths(self) -> Ints:
        return self.shard.lengths

    @property
    def spec(self) -> FrontEnd:
        return self.shard.spec

    def span(self, row: int, first: int, stop: int, *, with_floor: bool = False) -> Recordings:
        """Frames first to stop of one recording, as the only one; its floor is of all of it."""
        codes = torch.tensor(self.shard.part(row, first, stop), device=self.device)
        floor_codes = self._floor_codes(row) if with_floor else None
        return _alone(self.names[row], codes, self.spec, self.shard.scale, floor_codes)

    @cached_property
    def _floor_codes(self) -> Callable[[int], Tensor]:
        @lru_cache(maxsize=1)
        def of(row: int) -> Tensor:
            return torch.tensor(median_codes(self.shard.parts(row))[None], device=self.device)

        return of


class Soundscapes(Protocol):
    """Features of recordings that are predicted from beginning to end, wherever they lie."""

    @property
    def names(self) -> tuple[str, ...]:
        """What the R recordings are called."""

    @property
    def lengths(self) -> Tensor | Ints:
        """Their frames (R,)."""

    @property
    def spec(self) -> FrontEnd:
        """What computed the features."""

    def span(self, row: int, first: int, stop: int, *, with_floor: bool = False) -> Recordings:
        """Frames first to stop of one recording, as the only one; its floor is of all of it."""


def _alone(
    name: str, codes: Tensor, spec: FrontEnd, scale: AnyScale, floor_codes: Tensor | None
) -> Recordings:
    """The features (frames, F) of one recording."""
    starts, lengths = torch.tensor([[0], [len(codes)]], device=codes.device)
    return Recordings((name,), codes, starts, lengths, spec, scale, floor_codes)


def read_mels(shards: Sequence[Path], device: torch.device) -> Recordings:
    """All recordings of shards, in order, on a device.

    Raises:
        ValueError: where `read_shards` does.
    """
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


def median_codes(blocks: Iterable[Codes]) -> Codes:
    """The median of each bin (bins,) over the frames of blocks (t, bins), one or more in all.

    Of an even number the lower one of the two in the middle. Codes are counted, not sorted: they
    are few, and are in the order of their bits.
    """
    counts: Ints | None = None
    for block in blocks:
        bits = np.abs(block).view(f"u{block.itemsize}")  # a float's zero may have a sign
        values, bins = 256**block.itemsize, block.shape[1]
        found = np.bincount((bits + values * np.arange(bins)).ravel(), minlength=values * bins)
        counts = found if counts is None else counts + found
    assert counts is not None, "no frames"
    up_to = counts.reshape(bins, values).cumsum(axis=1)
    middle = (up_to > (up_to[:, -1:] - 1) // 2).argmax(axis=1).astype(bits.dtype)
    codes: Codes = middle.view(block.dtype)
    return codes
