"""A long recording's codes in a temporary file: read span by span, and gone with the process.

A day is 690 MB of codes, and whoever predicts it needs some minutes of them at a time.
"""

import os
import weakref
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from tempfile import TemporaryFile
from typing import IO

import numpy as np
import torch
from torch import Tensor

from birdcore.features.front_end import FrontEnd
from birdcore.features.recordings import Recordings, median_codes
from birdcore.features.scale import AnyScale, Codes
from birdcore.features.shard_reader import Ints

PART_FRAMES = 1 << 14


@dataclass(frozen=True)
class FiledRecording:
    """One recording, which is predicted as `Recordings` of it would be.

    names: its name. frames: how many there are. spec, scale: what the codes are. device: where
    spans are put.
    """

    names: tuple[str, ...]
    frames: int
    spec: FrontEnd
    scale: AnyScale
    device: torch.device
    file: IO[bytes]

    @property
    def lengths(self) -> Ints:
        return np.array([self.frames])

    def span(self, row: int, first: int, stop: int, *, with_floor: bool = False) -> Recordings:
        """Frames first to stop, as those of the only recording; its floor is of all of it."""
        codes = torch.from_numpy(self._part(first, stop)).to(self.device)
        starts, lengths = torch.tensor([[0], [len(codes)]], device=self.device)
        floor_codes = self._floor_codes if with_floor else None
        return Recordings(self.names, codes, starts, lengths, self.spec, self.scale, floor_codes)

    def _part(self, first: int, stop: int) -> Codes:
        """Frames first to stop (t, bins), by any thread."""
        dtype = np.dtype(self.scale.dtype)
        size = self.spec.bins * dtype.itemsize
        content = os.pread(self.file.fileno(), (stop - first) * size, first * size)
        codes: Codes = np.frombuffer(bytearray(content), dtype).reshape(-1, self.spec.bins)
        return codes

    @cached_property
    def _floor_codes(self) -> Tensor:
        parts = (
            self._part(first, min(first + PART_FRAMES, self.frames))
            for first in range(0, self.frames, PART_FRAMES)
        )
        return torch.from_numpy(median_codes(parts)[None]).to(self.device)


def file_codes(
    name: str, blocks: Iterable[Codes], spec: FrontEnd, scale: AnyScale, device: torch.device
) -> FiledRecording:
    """Write a recording's codes to a temporary file, which has no name.

    Args:
        name: What the recording is called.
        blocks: Its codes (t, bins), in order, one frame or more.
        spec: The front end that made them.
        scale: What they are coded by.
        device: Where they are put when they are read.

    Raises:
        OSError: The folder of temporary files is full.
    """
    file = TemporaryFile(prefix="birdflow-")  # noqa: SIM115
    frames = 0
    for block in blocks:
        file.write(np.ascontiguousarray(block).data)
        frames += len(block)
    file.flush()
    recording = FiledRecording((name,), frames, spec, scale, device, file)
    weakref.finalize(recording, file.close)
    return recording
