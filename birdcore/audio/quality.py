"""What a recording is worth, in a few numbers that are defined for any recording.

Clipping is told from flat tops, not from loudness: a normalised recording touches full scale once
and is fine, a clipped one stays there for several samples in a row.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

STEP = 2.0**-15  # one step of 16-bit audio
NEAR_FULL_SCALE = 0.9
CLIPPED_RUN = 3
FRAME_S = 0.02


@dataclass(frozen=True)
class Quality:
    """duration_s: seconds. peak: largest absolute sample.

    clipped_runs: how often 3 or more samples in a row lie within a 16-bit step of the recording's
    highest (or lowest) value, if that is beyond 0.9 of full scale.
    clipped_share: the part of all samples that is in such runs, 0 to 1.
    snr_db: see `snr_db`. silent: all samples lie within one 16-bit step around their middle.
    """

    duration_s: float
    peak: float
    clipped_runs: int
    clipped_share: float
    snr_db: float
    silent: bool


def quality(samples: NDArray[np.float32], rate: int) -> Quality:
    """Measure samples (n,) at `rate` per second. Raises ValueError if there are none."""
    if not samples.size:
        raise ValueError("no samples to measure")
    highest, lowest = float(samples.max()), float(samples.min())
    runs = np.concatenate([_flat_tops(samples, highest), _flat_tops(-samples, -lowest)])
    return Quality(
        duration_s=len(samples) / rate,
        peak=max(highest, -lowest),
        clipped_runs=len(runs),
        clipped_share=float(runs.sum() / len(samples)),
        snr_db=snr_db(samples, rate),
        silent=highest - lowest <= 2 * STEP,
    )


def snr_db(samples: NDArray[np.float32], rate: int) -> float:
    """Loud against quiet moments: 10 log10(P95 / P10) of the power of 20 ms frames, in dB.

    Power is the variance within a frame, so a constant offset doesn't count, and is at least the
    noise of 16-bit rounding, step² / 12. Samples after the last whole frame are left out; less
    than one frame, like silence, gives 0. Calls that fill more than 90 % of a recording raise
    P10 themselves: it says how far sounds stand out, not what a noise meter would show.
    """
    frame = max(1, round(FRAME_S * rate))
    if len(samples) < frame:
        return 0.0
    frames = samples[: len(samples) // frame * frame].reshape(-1, frame)
    power = np.maximum(frames.var(axis=1), STEP**2 / 12)
    quiet, loud = np.percentile(power, [10, 95])
    return 10 * math.log10(loud / quiet)


def _flat_tops(samples: NDArray[np.float32], highest: float) -> NDArray[np.int64]:
    """Lengths of the runs that count as clipped at the top."""
    if highest < NEAR_FULL_SCALE:
        return np.empty(0, np.int64)
    saturated = np.zeros(len(samples) + 2, np.int8)
    saturated[1:-1] = samples >= highest - STEP
    edges = np.flatnonzero(np.diff(saturated))
    lengths = edges[1::2] - edges[::2]
    return lengths[lengths >= CLIPPED_RUN]
