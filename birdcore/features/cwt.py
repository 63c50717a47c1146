"""The wavelet front end: Morlet wavelets whose length falls with frequency.

A mel's window is as long at 500 Hz as at 8 kHz. A wavelet counts cycles: it is long and narrow at
low frequencies, short and wide at high ones, and all bins have the same sharpness in octaves.
"""

import math
from collections.abc import Iterable, Iterator
from typing import ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from birdcore.features.framing import Framing
from birdcore.features.scale import Scale

Floats = npt.NDArray[np.float32]


class CwtSpec(Framing):
    """A continuous wavelet transform, its power averaged over frames (see `FrontEnd`).

    `scales` Morlet wavelets lie evenly in octaves from `f_min` to `f_max`. One at f Hz is a
    Gaussian with a standard deviation of f / `cycles` Hz, and of `cycles` / (2 pi f) seconds; at
    20 cycles and 4 kHz 200 Hz and .8 ms. Torrence and Compo 1998 call `cycles` omega 0. Neighbours
    of the defaults are a standard deviation apart, and the highest fits below half the rate.

    Example:
        >>> spec = CwtSpec(scales=96)
        >>> spec.bins, spec.frame_rate, spec.fixed_length(5.0)
        (96, 62.5, 313)
    """

    name: ClassVar[str] = "cwt"
    input_channels: ClassVar[int] = 1
    recovers_power: ClassVar[bool] = True
    power: ClassVar[Literal[1, 2]] = 2

    f_min: float = Field(default=50.0, gt=0)
    f_max: float = 14_000.0
    scales: int = Field(default=128, gt=0)
    cycles: float = Field(default=20.0, gt=0)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.scales < 2:
            raise ValueError(f"scales is {self.scales}: wavelets from f_min to f_max are 2 or more")
        if self.cycles < 2:
            raise ValueError(
                f"cycles is {self.cycles:g}: shorter wavelets than of 2 tell no pitch; choose more"
            )
        return self

    @property
    def bins(self) -> int:
        """The number of scales."""
        return self.scales

    def centres(self) -> Floats:
        """The frequencies of the wavelets (scales,), Hz."""
        return np.geomspace(self.f_min, self.f_max, self.scales).astype(np.float32)

    @property
    def wavelets(self) -> tuple[tuple[float, float], ...]:
        """Of each wavelet at a frequency what multiplies `cycles`, and its exponent: one, alone."""
        return ((1.0, 1.0),)

    def bandwidths(self) -> Floats | None:
        """The widths (scales,), Hz, of rectangles that let as much of a noise through."""
        squares = sum(exponent * multiple**2 for multiple, exponent in self.wavelets)
        return self.centres() * np.float32(math.sqrt(math.pi / squares) / self.cycles)

    def scale(self, dtype: Literal["uint8", "float16"] = "uint8") -> Scale:
        """The scale that holds all powers of samples with a peak of 1."""
        # No wavelet makes more than twice a tone's magnitude of them, 33 dB.
        return Scale(dtype=dtype)

    def energies(self, blocks: Iterable[Floats]) -> Iterator[Floats]:
        """Powers (t, scales): see `wavelet_blocks`."""
        from birdcore.features.wavelets import wavelet_blocks

        return wavelet_blocks(blocks, self)
