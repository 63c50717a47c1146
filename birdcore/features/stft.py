"""The linear front end: bins of the short-time Fourier transform, or bands that are equally wide.

Where species differ in fine structure at high frequencies, mel bins are too wide to tell them.
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


class StftSpec(Framing):
    """A centred STFT with a Hann window of `n_fft` samples (see `FrontEnd`).

    Its bins are those of the FFT from `f_min` to `f_max`, without that of 0 Hz; or `n_mels`
    triangular filters, equally far apart, as a mel of the same number of bins has. `power` is 2
    for powers, 1 for magnitudes.

    Example:
        >>> spec = StftSpec(n_fft=512, f_max=15_990)
        >>> spec.bins, spec.frame_rate, StftSpec(n_mels=128).bins
        (255, 62.5, 128)
    """

    name: ClassVar[str] = "stft"
    input_channels: ClassVar[int] = 1
    recovers_power: ClassVar[bool] = True

    n_fft: int = Field(default=2048, gt=0)
    n_mels: int | None = Field(default=None, gt=0)
    power: Literal[1, 2] = 2

    @model_validator(mode="after")
    def _check(self) -> Self:
        check_window(self.n_fft, self.hop_length)
        if self.n_mels is None and not self.fft_bins:
            raise ValueError(
                f"no FFT bin lies between f_min and f_max: they are {self._fft_bin_hz:g} Hz apart. "
                "Raise n_fft, or widen f_min to f_max"
            )
        if self.n_mels is not None and (empty := empty_filters(self.edges(), self._fft_bin_hz)):
            raise ValueError(
                f"{empty} of {self.n_mels} bands are empty: they are narrower than the "
                f"{self._fft_bin_hz:g} Hz between FFT bins. Raise n_fft, lower n_mels, "
                "or widen f_min to f_max"
            )
        return self

    @property
    def _fft_bin_hz(self) -> float:
        return self.sample_rate / self.n_fft

    @property
    def fft_bins(self) -> range:
        """The FFT bins between f_min and f_max."""
        # 0 Hz is no sound, and coloured noise has no finite power there.
        first = max(1, math.ceil(self.f_min / self._fft_bin_hz))
        return range(first, math.floor(self.f_max / self._fft_bin_hz) + 1)

    @property
    def bins(self) -> int:
        """The number of bands, or of FFT bins."""
        return self.n_mels or len(self.fft_bins)

    def edges(self) -> npt.NDArray[np.float64]:
        """The corners of the `n_mels` filters, Hz, (n_mels + 2,): filter m spans m to m + 2."""
        assert self.n_mels is not None
        return np.linspace(self.f_min, self.f_max, self.n_mels + 2)

    def centres(self) -> Floats:
        """The frequencies of the bins (F,), Hz."""
        if self.n_mels is None:
            return (np.array(self.fft_bins) * self._fft_bin_hz).astype(np.float32)
        return self.edges()[1:-1].astype(np.float32)

    def bandwidths(self) -> Floats | None:
        """None: all bins are equally wide."""
        return None

    def scale(self, dtype: Literal["uint8", "float16"] = "uint8") -> Scale:
        """The scale that holds all energies of samples with a peak of 1."""
        return scale_of_window(self.n_fft, self.power, dtype)

    def energies(self, blocks: Iterable[Floats]) -> Iterator[Floats]:
        """Energies (t, F), see `FrontEnd`."""
        from birdcore.features.spectrogram import filtered, linear_bands, spectra

        spectrum = spectra(blocks, self.n_fft, self.hop_length, self.power)
        if self.n_mels is None:
            first, stop = self.fft_bins.start, self.fft_bins.stop
            return (each[:, first:stop].copy() for each in spectrum)
        return filtered(spectrum, linear_bands(self))
