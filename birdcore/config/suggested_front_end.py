"""A front end that fits recordings: by the rates that they have, and by what sings in them.

A front end for birds hears no bush cricket and no bat, and one that reads 384 kHz of birds computes
twelve times as much for nothing. What recordings hold is their sample rate's half; what animals use
of it is known roughly for each group.
"""

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from birdcore.config.mel import Mel
from birdcore.features.mel import MelSpec, enough_n_fft
from birdcore.taxa import AMPHIBIA, AVES, CHIROPTERA, INSECTA, group_of

REACHED = 0.8
"""Share of the recordings that have the suggested rate or a higher one; others are resampled up and
hold nothing at its highest frequencies."""
PASSED = 0.9
"""Share of half the rate that resampling passes unchanged."""
ULTRASONIC = 96_000
"""Hz, a rate at which nobody records for the audible alone."""
INFRASONIC = 4_000
"""Hz, a rate at which nobody records birds."""
RATES = (16_000, 24_000, 32_000, 48_000, 96_000, 192_000, 256_000, 384_000, 500_000)
"""Hz, what the suggestion chooses from below the recordings' own rate."""
N_MELS = (128, 64, 32)
LONGEST_WINDOW_S = 1.0
"""Of a rate at which many mel bins would need a longer window, fewer are suggested."""


@dataclass(frozen=True)
class _Band:
    """What a group of animals uses, Hz; f_max of None: all that there is.

    window_s: the length of a Hann window in which its sounds hardly change, seconds.
    """

    f_min: float
    f_max: float | None
    window_s: float


BIRDS = _Band(50.0, 14_000.0, 0.064)
INSECTS = _Band(500.0, None, 0.04)
FROGS = _Band(50.0, 8_000.0, 0.064)
BATS = _Band(9_000.0, 125_000.0, 0.004)
BROAD = _Band(50.0, None, 0.032)
LOW = _Band(5.0, None, 0.25)

BANDS = {AVES: BIRDS, INSECTA: INSECTS, AMPHIBIA: FROGS, CHIROPTERA: BATS}
"""Any other group is treated as birds, and over the whole band at rates that nobody chooses for
birds."""


def suggest_front_end(rates: Mapping[int, int], groups: Collection[str]) -> Mel:
    """Front end settings that fit recordings.

    Args:
        rates: How many recordings there are of each sample rate (Hz, times `speed` where they were
            recorded slowed down).
        groups: What is in them: names of taxonomic classes (`class_name` of a taxonomy) or everyday
            ones ("bats"), in any case. None: birds are assumed.

    Returns:
        Settings without a preset: the rate that most recordings reach and the groups need, a band,
        and a window that is short enough for the shortest sounds and long enough for every mel bin.

    Raises:
        ValueError: There is no recording, or a rate is not positive.

    Example:
        >>> mel = suggest_front_end({32_000: 140, 48_000: 8}, {"Aves"})
        >>> mel.sample_rate, mel.f_min, mel.f_max, mel.n_fft, mel.hop_length
        (32000, 50.0, 14000.0, 2048, 512)
    """
    reached = _reached(rates)
    bands = [_band(group, reached) for group in groups] or [BIRDS]
    sample_rate = min(reached, RATES[-1], *_needed(bands))
    f_max = min(sample_rate / 2, max(band.f_max or sample_rate / 2 for band in bands))
    f_min = min(band.f_min for band in bands)
    if f_min > f_max / 2:  # recordings that hold next to nothing of what the group uses
        f_min = 0.0
    n_mels, n_fft = _resolution(sample_rate, f_min, f_max, min(band.window_s for band in bands))
    return Mel(
        sample_rate=sample_rate,
        n_fft=n_fft,
        hop_length=n_fft // 4,
        n_mels=n_mels,
        f_min=f_min,
        f_max=f_max,
    )


def _reached(rates: Mapping[int, int]) -> int:
    """The highest rate that REACHED of the recordings have or exceed."""
    counted = {rate: count for rate, count in rates.items() if count > 0}
    if not counted or min(counted) < 1:
        raise ValueError(f"give at least one recording, and positive rates: got {dict(rates)}")
    total, above = sum(counted.values()), 0
    for rate in sorted(counted, reverse=True):
        above += counted[rate]
        if above >= REACHED * total:
            return rate
    raise AssertionError("all recordings reach the lowest rate")


def _band(group: str, reached: int) -> _Band:
    other = BROAD if reached >= ULTRASONIC else LOW if reached <= INFRASONIC else BIRDS
    return BANDS.get(group_of(group), other)


def _needed(bands: Iterable[_Band]) -> list[int]:
    """A rate that is enough for all bands; nothing where a band has no end."""
    highest = [band.f_max for band in bands]
    ends = [f_max for f_max in highest if f_max is not None]
    if len(ends) < len(highest):
        return []
    needed = max(ends) * 2 / PASSED
    return [next((rate for rate in RATES if rate >= needed), RATES[-1])]


def _resolution(sample_rate: int, f_min: float, f_max: float, window_s: float) -> tuple[int, int]:
    """n_mels and n_fft: a window of about window_s, longer where filters would be empty."""
    shortest = 2 ** round(math.log2(max(window_s * sample_rate, 16)))
    for n_mels in N_MELS:
        unchecked = MelSpec.model_construct(
            sample_rate=sample_rate, f_min=f_min, f_max=f_max, n_mels=n_mels
        )
        n_fft = enough_n_fft(unchecked, shortest)
        if n_fft <= LONGEST_WINDOW_S * sample_rate:
            break
    return n_mels, n_fft
