"""Mels of many recordings in memory: one array, and windows out of it."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from birdcore.mel.scale import Codes, Scale
from birdcore.mel.spec import MelSpec

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Mels:
    """The mels of many recordings in one array.

    codes: (frames, n_mels), contiguous; recording r, named `recordings[r]`, is rows `starts[r]`
    to `starts[r + 1]` of it. starts: int64 (R + 1,). peaks: float32 (R,), what the samples were
    divided by: energies times `peak ** spec.power` are at the recording's own level.
    """

    codes: Codes
    recordings: tuple[str, ...]
    starts: Ints
    peaks: npt.NDArray[np.float32]
    spec: MelSpec
    scale: Scale

    @cached_property
    def index(self) -> dict[str, int]:
        """The position of each recording's name in `recordings`."""
        return {name: r for r, name in enumerate(self.recordings)}

    def frames_of(self, recording: str) -> Codes:
        """A view (frames, n_mels) of one recording's codes; KeyError when it is not here."""
        r = self.index[recording]
        return self.codes[self.starts[r] : self.starts[r + 1]]


def crop(codes: Codes, starts: Ints, ends: Ints, length: int) -> Codes:
    """Windows of `length` frames, (B, length, n_mels), copied out of codes (frames, n_mels).

    starts: (B,), the windows' first frames; ends: (B,), one past the last frame of each window's
    recording. What reaches past the end is code 0: silence.
    """
    windows = np.zeros((len(starts), length, codes.shape[1]), codes.dtype)
    stops = np.minimum(starts + length, ends)
    for window, start, stop in zip(windows, starts.tolist(), stops.tolist(), strict=True):
        if stop > start:
            window[: stop - start] = codes[start:stop]
    return windows
