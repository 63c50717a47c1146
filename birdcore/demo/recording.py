"""Focal recordings: a recordist points a microphone at one bird, near and loud.

Each recordist's microphone colours everything that it takes: bass and treble, its own hiss, a hum.
"""

from dataclasses import dataclass

import numpy as np
from scipy import fft

from birdcore.demo import propagation
from birdcore.demo.song import Samples, Species, render

NEAR_M = (4.0, 20.0)
FAR_M = (25.0, 60.0)
SNR_DB = (6.0, 26.0)  # of the loudest syllable, in the band where birds sing


@dataclass(frozen=True)
class Recordist:
    """A made-up author with a microphone and a place."""

    name: str
    bass: float  # dB at 100 Hz
    treble: float  # dB at 10 kHz
    hiss_db: float  # against the surroundings
    hum_hz: int
    latitude: float
    longitude: float


RECORDISTS = (
    Recordist("Ada Formula", -6.0, 3.0, -12.0, 0, 10.5, -30.0),
    Recordist("Bo Sinus", 0.0, 0.0, -6.0, 50, 12.0, -31.5),
    Recordist("Cleo Fourier", -12.0, -6.0, -3.0, 0, 9.0, -28.5),
    Recordist("Dag Mel", 4.0, -10.0, 0.0, 60, 11.5, -33.0),
    Recordist("Eli Nyquist", -3.0, 6.0, -9.0, 0, 13.5, -29.0),
    Recordist("Fay Quantile", 2.0, -4.0, -6.0, 0, 8.5, -32.0),
)


def focal_recording(
    species: Species,
    second: Species | None,
    recordist: Recordist,
    generator: np.random.Generator,
    seconds: float,
    rate: int,
) -> tuple[Samples, float]:
    """((samples,) with a peak of .3 to .9, song to noise in dB in the birds' band).

    The bird is `NEAR_M` away, `second` behind it at `FAR_M`.
    """
    snr_db = float(generator.uniform(*SNR_DB))
    song = _song_at_distance(species, NEAR_M, generator, seconds, rate)
    song /= np.float32(np.abs(song).max() + 1e-9)
    if second is not None:
        song += _song_at_distance(second, FAR_M, generator, seconds, rate)
    hiss = propagation.noise(len(song), 0.0, generator, rate)
    hiss *= np.float32(10 ** (recordist.hiss_db / 20))
    around = propagation.ambience(len(song), generator, rate) + hiss
    around *= np.float32(0.7 * 10 ** (-snr_db / 20))  # a full-scale tone has a power of 1/2
    sound = song + around
    if recordist.hum_hz:
        sound += np.float32(0.01) * propagation.hum(len(song), recordist.hum_hz, rate)
    sound = apply_microphone(recordist, sound, rate)
    sound *= np.float32(generator.uniform(0.3, 0.9) / np.abs(sound).max())
    return sound, snr_db


def _song_at_distance(
    species: Species,
    metres: tuple[float, float],
    generator: np.random.Generator,
    seconds: float,
    rate: int,
) -> Samples:
    song = render(species, generator, seconds, rate)
    return propagation.propagate(song, float(generator.uniform(*metres)), generator, rate)[
        : len(song)
    ]


def apply_microphone(recordist: Recordist, sound: Samples, rate: int) -> Samples:
    """(samples,) -> (samples,): coloured by the recordist's microphone, flat at 1 kHz."""
    size = fft.next_fast_len(len(sound), real=True)
    decades = np.log10(np.maximum(fft.rfftfreq(size, 1 / rate), 30.0) / 1000)
    gain_db = np.where(decades < 0, -decades * recordist.bass, decades * recordist.treble)
    spectrum = fft.rfft(sound, size) * (10 ** (gain_db / 20)).astype(np.float32)
    return np.asarray(fft.irfft(spectrum, size)[: len(sound)], dtype=np.float32)
