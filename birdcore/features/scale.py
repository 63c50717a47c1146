"""Energies as codes: decibels between a floor and a ceiling, in one byte or two.

Code 0 is the floor in both types and decodes to an energy of exactly 0, so zeroed memory is
silence: padding needs no special case and adds nothing when recordings are mixed. With a peak of
1 and n_fft up to 4096 no power passes the default ceiling: a frame holds at most n_fft / 2 of it
(Parseval), 33 dB, and a sine of full scale n_fft / 4. Magnitudes add up to more where filters are
wide, to 43 dB: give them a ceiling of 45, or the loudest pure whistles are clipped.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from pydantic import Field

Floats = npt.NDArray[np.float32]
Codes = npt.NDArray[np.uint8] | npt.NDArray[np.float16]
Power = Literal[1, 2]

TOP_CODE = 255
WAVE_STEPS = 127
ENOUGH_FOR = 8192
"""Samples of a window up to which one scale holds all energies."""


@dataclass(frozen=True)
class Scale:
    """Decibels of the lowest and highest code, and the codes' type.

    uint8: 255 equal steps (.41 dB at the default, so a mean error of .1 dB). float16: decibels
    above the floor (a mean error of .007 dB from -60 to 0, at twice the bytes).

    Raises ValueError when the floor is not below the ceiling or the type is another.
    """

    floor_db: float = -70.0
    ceiling_db: float = 35.0
    dtype: Literal["uint8", "float16"] = "uint8"

    def __post_init__(self) -> None:
        if not -math.inf < self.floor_db < self.ceiling_db < math.inf:
            raise ValueError(
                f"the floor ({self.floor_db} dB) must be below the ceiling ({self.ceiling_db} dB)"
            )
        if self.dtype not in ("uint8", "float16"):
            raise ValueError(f"codes cannot be {self.dtype!r}: choose 'uint8' or 'float16'")

    @property
    def step_db(self) -> float:
        """Decibels from one code to the next; 1 for float16, whose codes are decibels."""
        return (self.ceiling_db - self.floor_db) / TOP_CODE if self.dtype == "uint8" else 1.0

    @property
    def top_code(self) -> float:
        """The code of the ceiling."""
        return TOP_CODE if self.dtype == "uint8" else self.ceiling_db - self.floor_db


@dataclass(frozen=True)
class ValueScale:
    """Evenly from 0 to the highest value, for features that are no energies.

    uint8: 255 equal steps. float16: the values themselves. Code 0 is 0, silence.
    """

    top: float
    dtype: Literal["uint8", "float16"] = "uint8"

    @property
    def step(self) -> float:
        """From one code to the next; 1 for float16, whose codes are values."""
        return self.top / TOP_CODE if self.dtype == "uint8" else 1.0


@dataclass(frozen=True)
class WaveScale:
    """Samples from -1 to 1.

    uint8: a sign and 127 steps that are finer the smaller a sample is, log(1 + mu |x|) (mu-law,
    ITU-T G.711), as the byte of an int8. float16: the samples themselves. Code 0 is 0, silence.
    """

    mu: float
    dtype: Literal["uint8", "float16"] = "uint8"


# A dict without `top` is no ValueScale, and without `mu` no WaveScale; any would do for a Scale.
AnyScale: TypeAlias = Annotated[ValueScale | WaveScale | Scale, Field(union_mode="left_to_right")]


def scale_from(settings: Mapping[str, Any]) -> AnyScale:
    """The scale of these settings, as `dataclasses.asdict` gives them."""
    if "mu" in settings:
        return WaveScale(**settings)
    return ValueScale(**settings) if "top" in settings else Scale(**settings)


def scale_of_window(n_fft: int, power: Power, dtype: Literal["uint8", "float16"]) -> Scale:
    """The scale that holds all energies of an FFT of `n_fft` samples with a peak of 1, in bins or
    in triangular filters of height 1."""
    # Magnitudes of tones in wide filters reach ten decibels more than powers do.
    ceiling_db = 45.0 if power == 1 else 35.0
    # A tone's energy grows with the window, and passes 35 dB above 12,000 samples of it.
    ceiling_db += max(0.0, 10 * math.log10(n_fft / ENOUGH_FOR))
    return Scale(ceiling_db=ceiling_db, dtype=dtype)


def encode(energy: Floats, spec_power: Power, scale: AnyScale) -> Codes:
    """Codes of energies or values >= 0, or of samples, of any shape, clipped to the scale.

    Decibels are 10 log10 of power (`spec_power` 2) or 20 log10 of magnitude (1).

    Raises ValueError when an energy is not a number.
    """
    if isinstance(scale, WaveScale):
        return _wave_codes(energy, scale)
    if isinstance(scale, ValueScale):
        return _as_codes(energy * np.float32(1 / scale.step), scale.top / scale.step, scale.dtype)
    decibels_per_neper = 10.0 * (2 / spec_power) / math.log(10.0)
    codes = np.maximum(energy, np.float32(1e-30))
    np.log(codes, out=codes)
    codes *= np.float32(decibels_per_neper / scale.step_db)
    codes -= np.float32(scale.floor_db / scale.step_db)
    return _as_codes(codes, scale.top_code, scale.dtype)


def _wave_codes(samples: Floats, scale: WaveScale) -> Codes:
    _check_numbers(samples)
    samples = samples.clip(-1.0, 1.0)
    if scale.dtype == "float16":
        return samples.astype(np.float16)
    steps = np.log1p(np.abs(samples) * np.float32(scale.mu))
    steps *= np.float32(WAVE_STEPS / math.log1p(scale.mu))
    np.rint(steps, out=steps)
    return np.copysign(steps, samples).astype(np.int8).view(np.uint8)


def _check_numbers(values: Floats) -> None:
    if values.size and np.isnan(values.min()):
        raise ValueError("energies hold values that are not a number: the samples are damaged")


def _as_codes(codes: Floats, top: float, dtype: Literal["uint8", "float16"]) -> Codes:
    _check_numbers(codes)
    np.clip(codes, 0.0, top, out=codes)
    if dtype == "float16":
        return codes.astype(np.float16)
    np.rint(codes, out=codes)
    return codes.astype(np.uint8)


def decode_db(codes: Codes, scale: Scale) -> Floats:
    """Decibels, float32, of codes of any shape; code 0 is the floor."""
    decibels = codes.astype(np.float32)
    decibels *= np.float32(scale.step_db)
    decibels += np.float32(scale.floor_db)
    return decibels


def decode_energy(codes: Codes, scale: Scale, spec_power: Power) -> Floats:
    """Energies, float32: power (`spec_power` 2) or magnitude (1); code 0 is 0."""
    decibels = decode_db(codes, scale)
    decibels *= np.float32(math.log(10.0) * spec_power / 20.0)
    np.exp(decibels, out=decibels)
    decibels[codes == 0] = 0.0
    return decibels


def power_table(scale: AnyScale) -> Floats:
    """Power of each uint8 code, (256,): `table[codes.long()]` decodes on the device; code 0 is 0.

    It is power for magnitude mels, too: decibels mean the same of both. Of a `ValueScale` it is
    the value, of a `WaveScale` the sample.

    Raises ValueError for float16 codes, which have no table.
    """
    if scale.dtype != "uint8":
        raise ValueError("only uint8 codes have a table: decode float16 codes with decode_energy")
    codes = np.arange(TOP_CODE + 1, dtype=np.uint8)
    if isinstance(scale, WaveScale):
        return decode_samples(codes, scale)
    if isinstance(scale, ValueScale):
        return decode_values(codes, scale)
    return decode_energy(codes, scale, 2)


def decode_values(codes: Codes, scale: ValueScale) -> Floats:
    """Values, float32, of codes of any shape."""
    values = codes.astype(np.float32)
    values *= np.float32(scale.step)
    return values


def decode_samples(codes: Codes, scale: WaveScale) -> Floats:
    """Samples, float32, of codes of any shape."""
    if scale.dtype == "float16":
        return codes.astype(np.float32)
    steps = codes.view(np.int8).astype(np.float32)
    sizes = np.expm1(np.abs(steps) * np.float32(math.log1p(scale.mu) / WAVE_STEPS))
    return np.copysign(sizes * np.float32(1 / scale.mu), steps)
