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

from birdcore.features.framing import Framing, check_window, empty_filters
from birdcore.features.scale import Scale, scale_of_window

Floats = npt.NDArray[np.float32]


class MelSpec(Framing):
    """A centred mel spectrogram with a Hann window of `n_fft` samples (see `FrontEnd`).

    Frequencies are in Hz, lengths in samples. `power` is 2 for mels of power, 1 for mels of
    magnitude. Frame t is centred on sample `t * hop_length`.

    Example:
        >>> spec = MelSpec(n_mels=96)
        >>> spec.bins, spec.frame_rate, spec.fixed_length(5.0)
        (96, 62.5, 313)
    """

    name: ClassVar[str] = "mel"
    input_channels: ClassVar[int] = 1
    recovers_power: ClassVar[bool] = True

    n_fft: int = Field(default=2048, gt=0)
    n_mels: int = Field(default=128, gt=0)
    power: Literal[1, 2] = 2
    mel_scale: Literal["htk", "slaney"] = "htk"
    norm: Literal["slaney"] | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        check_window(self.n_fft, self.hop_length)
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
        return scale_of_window(self.n_fft, self.power, dtype)

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
    return empty_filters(mel_edges(spec), spec.sample_rate / n_fft)


PRESETS: dict[str, MelSpec] = {
    "config_128": MelSpec(),
    "config_96": MelSpec(n_mels=96),
    "config_256": MelSpec(n_mels=256, n_fft=4096, hop_length=1024),
    "first_2025": MelSpec(n_mels=224, n_fft=4096, hop_length=1252),
    "fifth_2025": MelSpec(n_mels=192, hop_length=768, f_min=20.0, f_max=15000.0),
}
"""The card's three configurations, and those of BirdCLEF+ 2025's first and fifth places."""
