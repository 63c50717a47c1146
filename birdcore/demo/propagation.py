"""What lies between a bird and a recording: distance, reverberation and the noise of a place.

Levels are relative to the noise's power in `BAND_HZ`, where the birds of the demo sing: a broad
signal-to-noise ratio would only measure the wind.
"""

from math import pi

import numpy as np
import numpy.typing as npt
from scipy import fft

from birdcore.demo.song import Samples

BAND_HZ = (1000.0, 10000.0)
NEAR_M = 10.0  # where a song keeps its level
FLAT_HZ = 120.0  # a field recorder's high-pass: noise stops rising below
LOSS_DB = 0.025  # lost per metre and kHz: a wood, more than air alone


def propagate(song: Samples, metres: float, generator: np.random.Generator, rate: int) -> Samples:
    """(samples,) -> (samples + echoes,): `song` as it arrives from `metres` away.

    Amplitude falls with 1/distance, high pitches lose more on the way, and the share of echoes (a
    tail of decaying noise, .15 to .4 s to fall by 20 dB) grows with distance.
    """
    tail_s = float(generator.uniform(0.15, 0.4))
    time = np.arange(int(2 * tail_s * rate)) / rate
    echo = generator.standard_normal(len(time)) * 10 ** (-time / tail_s)
    echo *= min(0.12 * (metres / NEAR_M) ** 0.5, 0.5) / np.sqrt(np.sum(echo**2))
    echo[0] = 1.0
    length = len(song) + len(echo) - 1
    size = fft.next_fast_len(length, real=True)
    khz = fft.rfftfreq(size, 1 / rate) / 1000
    passed = (NEAR_M / metres * 10 ** (-LOSS_DB * metres * khz / 20)).astype(np.float32)
    spectrum = fft.rfft(song, size) * fft.rfft(echo.astype(np.float32), size)
    return np.asarray(fft.irfft(spectrum * passed, size)[:length], dtype=np.float32)


def noise(samples: int, tilt: float, generator: np.random.Generator, rate: int) -> Samples:
    """(samples,) of noise with `tilt` dB an octave and a power of 1 in `BAND_HZ`."""
    hertz = _hertz(samples, rate)
    gain = (np.maximum(hertz, FLAT_HZ) / 1000) ** (tilt / (20 * np.log10(2)))
    gain *= hertz / np.hypot(hertz, FLAT_HZ)
    inside = (hertz >= BAND_HZ[0]) & (hertz <= BAND_HZ[1])
    return _shaped(samples, gain, float(np.sum(gain[inside] ** 2)), generator)


def _hertz(samples: int, rate: int) -> npt.NDArray[np.float64]:
    return np.asarray(fft.rfftfreq(fft.next_fast_len(samples, real=True), 1 / rate))


def _shaped(
    samples: int, gain: npt.NDArray[np.float64], power: float, generator: np.random.Generator
) -> Samples:
    """(samples,) of Gaussian noise drawn in the spectrum; `power` of sum(gain²) becomes 1."""
    size = fft.next_fast_len(samples, real=True)
    white = generator.standard_normal(2 * len(gain), dtype=np.float32).view(np.complex64)
    # Parseval: a bin and its mirror add (2 · gain² · E|white|² = 4 · gain²) / size² to the power
    white *= (gain * (size / (4 * power) ** 0.5)).astype(np.float32)
    return np.asarray(fft.irfft(white, size)[:samples], dtype=np.float32)


def ambience(samples: int, generator: np.random.Generator, rate: int) -> Samples:
    """(samples,) of a place's noise, power in `BAND_HZ` about 1: hiss, wind, insects, a hum."""
    hiss = noise(samples, float(generator.uniform(-5.0, -1.0)), generator, rate)
    wind = noise(samples, float(generator.uniform(-14.0, -10.0)), generator, rate)
    wind *= np.float32(generator.uniform(0.1, 0.5)) * gusts(samples, generator, rate)
    sound: Samples = hiss + wind
    for _ in range(generator.integers(0, 3)):
        sound += np.float32(generator.uniform(0.2, 0.7)) * insect(samples, generator, rate)
    if generator.random() < 0.3:
        sound += np.float32(generator.uniform(0.2, 1.0)) * hum(samples, 50, rate)
    return sound


def gusts(samples: int, generator: np.random.Generator, rate: int) -> Samples:
    """(samples,) of a slow, positive envelope with a knot every two seconds."""
    knots = np.exp(generator.normal(0.0, 0.6, samples // (2 * rate) + 2))
    return np.interp(np.arange(samples) / (2 * rate), np.arange(len(knots)), knots).astype(
        np.float32
    )


def insect(samples: int, generator: np.random.Generator, rate: int) -> Samples:
    """(samples,), power about 1: a narrow pulsing band at 4 to 9 kHz that comes and goes."""
    middle, width = generator.uniform(4000.0, 9000.0), generator.uniform(40.0, 200.0)
    gain = np.exp(-0.5 * ((_hertz(samples, rate) - middle) / width) ** 2)
    band = _shaped(samples, gain, float(np.sum(gain**2)), generator)
    pulses = np.sin(_seconds(rate, rate) * pi * float(generator.integers(8, 45))) ** 2
    return band * np.resize(1.6 * pulses, samples) * gusts(samples, generator, rate)


def hum(samples: int, hertz: int, rate: int) -> Samples:
    """(samples,) of mains hum: `hertz` and three overtones."""
    time = _seconds(rate, rate)
    tones = [np.sin(2 * pi * n * hertz * time) / n for n in (1, 2, 3, 4)]
    return np.resize(np.sum(tones, axis=0), samples)


def _seconds(samples: int, rate: int) -> Samples:
    return (np.arange(samples) / rate).astype(np.float32)
