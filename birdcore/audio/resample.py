"""Resampling, of what is in memory and of what comes in blocks.

`soxr.resample` feeds the same engine block by block: the samples that come out are the same, bit
for bit, whatever the blocks.
"""

from collections.abc import Iterable, Iterator
from typing import cast

import numpy as np
import soxr

from birdcore.audio.blocks import BLOCK, Block


def resample(samples: Block, source_rate: int, target_rate: int) -> Block:
    """Band-limited resampling by soxr HQ: (n,) to about (n * target_rate / source_rate,).

    Equal rates return the samples themselves. Raises ValueError for a rate below 1.
    """
    _refuse(source_rate, target_rate)
    if source_rate == target_rate:
        return samples
    return cast(Block, soxr.resample(samples, source_rate, target_rate, quality="HQ"))


def resampled(blocks: Iterable[Block], source_rate: int, target_rate: int) -> Iterator[Block]:
    """Blocks of samples at another rate, band-limited by soxr HQ; none of them is empty.

    In all they have about n * target_rate / source_rate samples, which may be none. Equal rates
    give the blocks themselves. Raises ValueError for a rate below 1.
    """
    _refuse(source_rate, target_rate)
    if source_rate == target_rate:
        yield from blocks
        return
    stream = soxr.ResampleStream(source_rate, target_rate, 1, dtype="float32", quality="HQ")
    for block in blocks:
        for at in range(0, len(block), BLOCK):
            if len(out := stream.resample_chunk(block[at : at + BLOCK])):
                yield out
    if len(out := stream.resample_chunk(np.empty(0, np.float32), last=True)):
        yield out


def _refuse(source_rate: int, target_rate: int) -> None:
    if min(source_rate, target_rate) < 1:
        raise ValueError(f"rates must be positive, got {source_rate} and {target_rate}")
