"""Calls that sweep through any band at any rate, as those of bats, insects and elephants do."""

import numpy as np


def chirps(
    rate: int, seconds: float, low_hz: float, high_hz: float, seed: int = 0, count: int = 12
) -> np.ndarray:
    """Noise with `count` falling calls in it: float32 (n,), a peak below 1.

    A call lasts 40 periods of `high_hz` or more, whatever the rate, and begins anywhere.
    """
    rng = np.random.default_rng(seed)
    samples = 0.002 * rng.standard_normal(round(seconds * rate))
    length = min(round(max(0.05 * seconds, 40 / high_hz) * rate), len(samples) // 2)
    time = np.arange(length) / rate
    for start in rng.integers(0, len(samples) - length, count):
        top = rng.uniform((low_hz + high_hz) / 2, high_hz)
        phase = top * time - (top - low_hz) * time**2 / (2 * time[-1])
        samples[start : start + length] += 0.05 * np.hanning(length) * np.sin(2 * np.pi * phase)
    return samples.astype(np.float32)
