"""Resampling, of what is in memory and of what comes in blocks.

`soxr.resample` feeds the same engine block by block: the samples that come out are the same, bit
for bit, whatever the blocks.
"""

from collections.abc import Iterable, Iterator
from typing import cast

import numpy as np
import soxr

from birdcore.audio.blocks import BLOCK, Block, Blocks

SPEECH_RATE = 16_000
"""Hz, what speech detection reads; here, since speech.py loads torch."""


def resample(samples: Block, source_rate: int, target_rate: int) -> Block:
    """Band-limited resampling by soxr HQ: (n,) to about (n * target_rate / source_rate,).

    Equal rates return the samples themselves. Raises ValueError for a rate below 1.

    Example:
        >>> len(resample(np.zeros(48_000, np.float32), 48_000, 32_000))
        32000
    """
    _refuse(source_rate, target_rate)
    if source_rate == target_rate:
        return samples
    return cast(Block, soxr.resample(samples, source_rate, target_rate, quality="HQ"))


def resample_blocks(blocks: Iterable[Block], source_rate: int, target_rate: int) -> Iterator[Block]:
    """Blocks of samples at another rate, band-limited by soxr HQ; none of them is empty.

    Args:
        blocks: samples (n,), or frames (n, channels) of one count of channels, in order.
        source_rate: their rate, Hz.
        target_rate: the rate of what is returned, Hz; an equal one returns the blocks themselves.

    Yields:
        About n * target_rate / source_rate samples in all, which may be none.

    Raises:
        ValueError: for a rate below 1.
    """
    _refuse(source_rate, target_rate)
    if source_rate == target_rate:
        yield from blocks
        return
    stream = None
    for block in blocks:
        if stream is None:
            shape = block.shape[1:]
            stream = soxr.ResampleStream(
                source_rate, target_rate, shape[0] if shape else 1, dtype="float32", quality="HQ"
            )
        for start in range(0, len(block), BLOCK):
            if len(out := stream.resample_chunk(block[start : start + BLOCK])):
                yield out
    if stream is not None and len(
        out := stream.resample_chunk(np.empty((0, *shape), np.float32), last=True)
    ):
        yield out


def resample_recording(blocks: Blocks, source_rate: int, target_rate: int) -> Blocks:
    """A recording's blocks at another rate: one sample or more in all.

    A sample or two of a high rate can become none, and a recording without samples has no frame.

    Args:
        blocks: mono samples (n,), from the start each time they are called.
        source_rate: their rate, Hz.
        target_rate: the rate of what is returned, Hz.
    """

    def resampled() -> Iterator[Block]:
        empty = True
        for block in resample_blocks(blocks(), source_rate, target_rate):
            empty = empty and not len(block)
            yield block
        if empty:
            yield np.zeros(1, np.float32)

    return resampled


def _refuse(source_rate: int, target_rate: int) -> None:
    if min(source_rate, target_rate) < 1:
        raise ValueError(f"rates must be positive, got {source_rate} and {target_rate}")
