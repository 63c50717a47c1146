"""The quality of a recording, in a few numbers that are defined for any recording.

Clipping is told from flat tops, not from loudness: a normalised recording touches full scale once
and is fine, a clipped one stays there for several samples in a row.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from birdcore.audio.blocks import Block, Blocks, Reader

STEP = 2.0**-15  # one step of 16-bit audio
NEAR_FULL_SCALE = 0.9
CLIPPED_RUN = 3
FRAME_S = 0.02
FRAMES_AT_ONCE = 256


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


def quality(blocks: Blocks, rate: int) -> Quality:
    """Measure a recording, in one pass, or two where it comes near full scale.

    Args:
        blocks: gives its mono samples, from the start each time it is called.
        rate: samples per second.

    Raises:
        ValueError: if there are no samples.

    Example:
        >>> quality(lambda: iter([np.zeros(8_000, np.float32)]), 16_000).duration_s
        0.5
    """
    highest, lowest, samples = -math.inf, math.inf, 0

    def watched() -> Iterator[Block]:
        nonlocal highest, lowest, samples
        for block in blocks():
            highest, lowest = max(highest, float(block.max())), min(lowest, float(block.min()))
            samples += len(block)
            yield block

    snr = snr_db(watched(), rate)
    if not samples:
        raise ValueError("no samples to measure")
    tops = _flat_tops(blocks(), highest)
    bottoms = _flat_tops((-block for block in blocks()), -lowest)
    return Quality(
        duration_s=samples / rate,
        peak=max(highest, -lowest),
        clipped_runs=tops.runs + bottoms.runs,
        clipped_share=(tops.samples + bottoms.samples) / samples,
        snr_db=snr,
        silent=highest - lowest <= 2 * STEP,
    )


def snr_db(blocks: Iterable[Block], rate: int) -> float:
    """Loud against quiet moments: 10 log10(P95 / P10) of the power of 20 ms frames, in dB.

    Power is the variance within a frame, so a constant offset doesn't count, and is at least the
    noise of 16-bit rounding, step² / 12. Samples after the last whole frame are left out; less
    than one frame, like silence, gives 0. Calls that fill more than 90 % of a recording raise
    P10 themselves: it says how far sounds stand out, not what a noise meter would show.
    """
    frame = max(1, round(FRAME_S * rate))
    reader = Reader(blocks)
    powers = [np.empty(0, np.float32)]
    while len(frames := reader.take(frame * FRAMES_AT_ONCE)) >= frame:
        whole = frames[: len(frames) // frame * frame].reshape(-1, frame)
        powers.append(np.maximum(whole.var(axis=1), STEP**2 / 12))
    power = np.concatenate(powers)
    if not len(power):
        return 0.0
    quiet, loud = np.percentile(power, [10, 95])
    return 10 * math.log10(loud / quiet)


class _FlatTops(NamedTuple):
    runs: int
    samples: int


def _flat_tops(blocks: Iterable[Block], highest: float) -> _FlatTops:
    """What counts as clipped at the top."""
    runs = samples = 0
    if highest >= NEAR_FULL_SCALE:
        for lengths in _runs(blocks, highest - STEP):
            clipped = lengths[lengths >= CLIPPED_RUN]
            runs, samples = runs + len(clipped), samples + int(clipped.sum())
    return _FlatTops(runs, samples)


def _runs(blocks: Iterable[Block], level: float) -> Iterator[NDArray[np.int64]]:
    """Lengths of the runs of samples that reach a level."""
    begun, done = np.empty(0, np.int64), 0  # where the run began that goes on, if one does
    for block in blocks:
        changes = np.diff(block >= level, prepend=len(begun) > 0)
        edges = np.concatenate([begun, done + np.flatnonzero(changes)])
        whole = len(edges) // 2 * 2
        begun, done = edges[whole:], done + len(block)
        yield edges[1:whole:2] - edges[:whole:2]
    yield done - begun
