"""Mels of many recordings in memory: one array, and windows out of it."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from birdcore.features.scale import Codes, Scale
from birdcore.features.spec import MelSpec

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


def median_codes(blocks: Iterable[Codes]) -> Codes:
    """The median of each bin (n_mels,) over the frames of blocks (t, n_mels), one or more in all.

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
