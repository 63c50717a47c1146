"""What front ends have in common that give a frame every hop, most over a band of frequencies."""

from collections.abc import Sequence
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from birdcore.audio.reading import Reading


class Hopping(Reading):
    """Frame t is centred on sample `t * hop_length`."""

    recovers_wave: ClassVar[bool] = False

    sample_rate: int = Field(default=32000, gt=0)
    hop_length: int = Field(default=512, gt=0)

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


class Framing(Hopping):
    """Bins lie between `f_min` and `f_max`, Hz."""

    f_min: float = Field(default=0.0, ge=0)
    f_max: float = 16000.0

    @model_validator(mode="after")
    def _check_band(self) -> Self:
        if self.f_min >= self.f_max:
            raise ValueError(f"f_min {self.f_min:g} Hz is not below f_max {self.f_max:g} Hz")
        if self.f_max > self.sample_rate / 2:
            raise ValueError(
                f"f_max {self.f_max:g} Hz is above half the sample rate "
                f"({self.sample_rate / 2:g} Hz): lower f_max or raise sample_rate"
            )
        return self


def check_window(n_fft: int, hop_length: int) -> None:
    """Raises ValueError for an odd window, or one that is shorter than the hop."""
    if n_fft % 2:
        raise ValueError(f"n_fft is {n_fft}: choose an even number")
    if hop_length > n_fft:
        raise ValueError(
            f"hop_length {hop_length} is longer than n_fft {n_fft}, so samples "
            "between frames would be lost: lower hop_length or raise n_fft"
        )


def empty_filters(edges: Sequence[float] | npt.NDArray[np.float64], fft_bin_hz: float) -> int:
    """How many triangular filters have no FFT bin strictly inside them.

    Args:
        edges: Their corners (F + 2,), Hz: filter m spans m to m + 2.
        fft_bin_hz: From one FFT bin to the next.
    """
    corners = np.asarray(edges) / fft_bin_hz
    # A bin that lies on a corner but for rounding has no weight.
    first_inside = np.floor(corners[:-2] + 1e-6) + 1
    return int(np.sum(first_inside >= corners[2:] - 1e-6))
