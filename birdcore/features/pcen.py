"""Per-channel energy normalisation (PCEN) over a mel: each bin over its own smoothed past.

It takes away what is steady, so that one far call and one near call look alike in wind, rain or
insects (Wang et al. 2017, "Trainable frontend for robust and far-field keyword spotting"; settings
for birds outdoors: Lostanlen et al. 2019, "Per-channel energy normalization: why and how"):

    PCEN(t, f) = (E(t, f) / (eps + M(t, f))^gain + bias)^power - bias^power,
    M(t, f) = (1 - b) M(t - 1, f) + b E(t, f),

over magnitudes E of samples as 32-bit integers, as `librosa.pcen` expects them. M begins at the
first frame, as if that had gone on for ever. What a cell is divided by depends on all that came
before it, so power can't be had back: such features are not mixed.
"""

from collections.abc import Iterable, Iterator
from typing import ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from birdcore.features.framing import Framing
from birdcore.features.mel import MelSpec
from birdcore.features.scale import ValueScale, scale_of_window

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

FULL_SCALE = 2.0**31
EPS = 1e-6


class PcenSpec(Framing):
    """PCEN of a mel of magnitudes with these numbers (see `FrontEnd` and `MelSpec`).

    Example:
        >>> spec = PcenSpec(n_mels=96)
        >>> spec.bins, spec.recovers_power, round(spec.scale("uint8").top, 2)
        (96, False, 3.32)
    """

    name: ClassVar[str] = "pcen"
    input_channels: ClassVar[int] = 1
    recovers_power: ClassVar[bool] = False
    power: ClassVar[Literal[1, 2]] = 1

    n_fft: int = Field(default=2048, gt=0)
    n_mels: int = Field(default=128, gt=0)
    mel_scale: Literal["htk", "slaney"] = "htk"
    norm: Literal["slaney"] | None = None
    pcen_gain: float = Field(default=0.8, ge=0, le=1)
    pcen_bias: float = Field(default=10.0, ge=0)
    pcen_power: float = Field(default=0.25, gt=0, le=1)
    pcen_time_s: float = Field(default=0.06, gt=0)

    @model_validator(mode="after")
    def _check(self) -> Self:
        _ = self.mel  # a mel that does not fit is refused by itself
        return self

    @property
    def mel(self) -> MelSpec:
        """The mel that is normalised."""
        shared = self.model_dump(include=set(MelSpec.model_fields))
        return MelSpec(power=1, **shared)

    @property
    def bins(self) -> int:
        """The number of mel bins."""
        return self.n_mels

    @property
    def smoothing(self) -> float:
        """b: the share of the newest frame in the smoothed past, 0 to 1."""
        frames = self.pcen_time_s * self.frame_rate
        # librosa's (sqrt(1 + 4 n^2) - 1) / (2 n^2), without its loss of digits.
        return float(2 / (np.sqrt(1 + 4 * frames**2) + 1))

    def centres(self) -> Floats:
        """The peaks of the filters (n_mels,), Hz."""
        return self.mel.centres()

    def bandwidths(self) -> Floats | None:
        """None: no noise is added to values."""
        return None

    def scale(self, dtype: Literal["uint8", "float16"] = "uint8") -> ValueScale:
        """Up to the highest value that there can be: a tone of full scale after silence."""
        loudest_db = scale_of_window(self.n_fft, 1, dtype).ceiling_db
        energy = np.array([FULL_SCALE * 10 ** (loudest_db / 20)])
        return ValueScale(self._normalised(energy, self.smoothing * energy).item(), dtype)

    def energies(self, blocks: Iterable[Floats]) -> Iterator[Floats]:
        """Values (t, n_mels), 0 or more; the smoothed past goes on from block to block."""
        from scipy.signal import lfilter

        b = self.smoothing
        state: Doubles | None = None
        for mel in self.mel.energies(blocks):
            energy = mel.astype(np.float64) * FULL_SCALE
            if state is None:
                state = (1 - b) * energy[:1]
            smooth, state = lfilter([b], [1.0, b - 1.0], energy, axis=0, zi=state)
            yield self._normalised(energy, smooth).astype(np.float32)

    def _normalised(self, energy: Doubles, smooth: Doubles) -> Doubles:
        values: Doubles = energy / (EPS + smooth) ** self.pcen_gain
        if self.pcen_bias == 0:
            return values**self.pcen_power
        # Of small ratios a difference of powers would lose its digits.
        values = np.expm1(self.pcen_power * np.log1p(values / self.pcen_bias))
        values *= self.pcen_bias**self.pcen_power
        return values
