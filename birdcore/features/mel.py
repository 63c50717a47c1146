"""The mel front end: the numbers that decide its shape, and the presets of winners.

Torch is imported where energies are computed (`spectrogram.py`), so that a recipe that names a
spec is read and checked at once.
"""

import math
from collections.abc import Iterable, Iterator
from typing import ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from birdcore.audio.reading import Reading
from birdcore.features.scale import Scale

Floats = npt.NDArray[np.float32]

ENOUGH_FOR = 8192
"""Samples of a window up to which one scale holds all energies."""


class MelSpec(Reading):
    """A centred mel spectrogram with a Hann window of `n_fft` samples (see `FrontEnd`).

    Frequencies are in Hz, lengths in samples. `power` is 2 for mels of power, 1 for mels of
    magnitude. Frame t is centred on sample `t * hop_length`.

    Example:
        >>> spec = MelSpec(n_mels=96)
        >>> spec.bins, spec.frame_rate, spec.fixed_length(5.0)
        (96, 62.5, 313)
    """

    name: ClassVar[str] = "mel"
    recovers_power: ClassVar[bool] = True

    sample_rate: int = Field(default=32000, gt=0)
    n_fft: int = Field(default=2048, gt=0)
    hop_length: int = Field(default=512, gt=0)
    n_mels: int = Field(default=128, gt=0)
    f_min: float = Field(default=0.0, ge=0)
    f_max: float = 16000.0
    power: Literal[1, 2] = 2
    mel_scale: Literal["htk", "slaney"] = "htk"
    norm: Literal["slaney"] | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.n_fft % 2:
            raise ValueError(f"n_fft is {self.n_fft}: choose an even number")
        if self.hop_length > self.n_fft:
            raise ValueError(
                f"hop_length {self.hop_length} is longer than n_fft {self.n_fft}, so samples "
                "between frames would be lost: lower hop_length or raise n_fft"
            )
        if self.f_min >= self.f_max:
            raise ValueError(f"f_min {self.f_min:g} Hz is not below f_max {self.f_max:g} Hz")
        if self.f_max > self.sample_rate / 2:
            raise ValueError(
                f"f_max {self.f_max:g} Hz is above half the sample rate "
                f"({self.sample_rate / 2:g} Hz): lower f_max or raise sample_rate"
            )
        if empty := _empty_filters(self, self.n_fft):
            n_fft = enough_n_fft(self, self.n_fft)
            raise ValueError(
                f"{empty} of {self.n_mels} mel bins are empty: they are narrower than the "
                f"{self.sample_rate / self.n_fft:g} Hz between FFT bins. Raise n_fft "
                f"({n_fft} is enough), lower n_mels, or widen f_min to f_max"
            )
        return self

    @property
    def bins(self) -> int:
        """The number of mel bins."""
        return self.n_mels

    @property
    def frame_rate(self) -> float:
        """Frames a second of the file."""
        return self.sample_rate / self.hop_length / self.speed

    def frames(self, samples: int) -> int:
        """The number of frames of a recording of `samples` samples."""
        return 1 + samples // self.hop_length

    def samples(self, frames: int) -> int:
        """The fewest samples that give `frames` frames (at least 1)."""
        assert frames >= 1, frames
        return (frames - 1) * self.hop_length

    def fixed_length(self, seconds: float) -> int:
        """The frames of a segment of `seconds` of the file: 313 for 5 s of config_128."""
        return self.frames(round(seconds * self.sample_rate / self.speed))

    def centres(self) -> Floats:
        """The peaks of the filters (n_mels,), Hz."""
        return mel_edges(self)[1:-1].astype(np.float32)

    def bandwidths(self) -> Floats | None:
        """The widths of the filters (n_mels,), Hz; None where all have the same area.

        Filters of one height let more of a noise through the wider they are.
        """
        if self.norm is not None:
            return None
        edges = mel_edges(self).astype(np.float32)
        return edges[2:] - edges[:-2]

    def scale(self, dtype: Literal["uint8", "float16"] = "uint8") -> Scale:
        """The scale that holds all energies of samples with a peak of 1."""
        # Magnitudes of tones in wide filters reach ten decibels more than powers do.
        ceiling_db = 45.0 if self.power == 1 else 35.0
        # A tone's energy grows with the window, and passes 35 dB above 12,000 samples of it.
        ceiling_db += max(0.0, 10 * math.log10(self.n_fft / ENOUGH_FOR))
        return Scale(ceiling_db=ceiling_db, dtype=dtype)

    def energies(self, blocks: Iterable[Floats]) -> Iterator[Floats]:
        """Mel energies (t, n_mels): see `mel_blocks`."""
        from birdcore.features.spectrogram import mel_blocks

        return mel_blocks(blocks, self)


def mel_edges(spec: MelSpec) -> npt.NDArray[np.float64]:
    """The corners of the triangular filters, Hz, (n_mels + 2,): filter m spans m to m + 2.

    HTK: mel = 2595 log10(1 + f / 700). Slaney: linear to 1 kHz, then logarithmic (Auditory
    Toolbox), both as in `torchaudio.functional.melscale_fbanks`.
    """
    low, high = (_to_mel(f, spec.mel_scale) for f in (spec.f_min, spec.f_max))
    mels = np.linspace(low, high, spec.n_mels + 2)
    if spec.mel_scale == "htk":
        return 700.0 * (10.0 ** (mels / 2595.0) - 1.0)
    return np.where(
        mels < 15.0, mels * 200.0 / 3.0, 1000.0 * np.exp(math.log(6.4) / 27.0 * (mels - 15.0))
    )


def _to_mel(hz: float, mel_scale: Literal["htk", "slaney"]) -> float:
    if mel_scale == "htk":
        return 2595.0 * math.log10(1.0 + hz / 700.0)
    return hz * 3.0 / 200.0 if hz < 1000.0 else 15.0 + 27.0 * math.log(hz / 1000.0, 6.4)


def enough_n_fft(spec: MelSpec, n_fft: int) -> int:
    """`n_fft`, doubled until none of the filters is empty."""
    while _empty_filters(spec, n_fft):
        n_fft *= 2
    return n_fft


def _empty_filters(spec: MelSpec, n_fft: int) -> int:
    """How many filters have no FFT bin strictly inside them."""
    corners = mel_edges(spec) * (n_fft / spec.sample_rate)
    # A bin that lies on a corner but for rounding has no weight.
    first_inside = np.floor(corners[:-2] + 1e-6) + 1
    return int(np.sum(first_inside >= corners[2:] - 1e-6))


PRESETS: dict[str, MelSpec] = {
    "config_128": MelSpec(),
    "config_96": MelSpec(n_mels=96),
    "config_256": MelSpec(n_mels=256, n_fft=4096, hop_length=1024),
    "first_2025": MelSpec(n_mels=224, n_fft=4096, hop_length=1252),
    "fifth_2025": MelSpec(n_mels=192, hop_length=768, f_min=20.0, f_max=15000.0),
}
"""The card's three configurations, and those of BirdCLEF+ 2025's first and fifth places."""
