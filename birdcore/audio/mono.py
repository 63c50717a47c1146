"""Channels to mono: their mean, except where it would be near silence.

A lead that is wired the wrong way round turns one channel of a stereo recording upside down, and
the mean over both cancels. A look at few samples of every file says whether that may be so; only
then all samples are looked at, and the loudest channel is taken.
"""

import numpy as np
from numpy.typing import NDArray

from birdcore.audio.stream import Frames, Stream

CANCELLED = 0.1
"""Of the energy that the sum of channels would have if they had nothing in common."""
SURELY_NOT = 2 * CANCELLED
"""As CANCELLED, but judged from one sample in STRIDE, which is prime."""
STRIDE = 251

Mono = NDArray[np.float32]


def to_mono(block: Frames, channel: int | None) -> Mono:
    """Mono samples (n,) of a block (n, channels): one channel of it, or the mean over all."""
    channels = block.shape[1]
    if channels == 1:
        return block[:, 0]
    if channel is not None:
        return np.ascontiguousarray(block[:, min(channel, channels - 1)])
    return block @ np.full(channels, 1 / channels, np.float32)


class ChannelLevels:
    """Whether channels may cancel, from so few samples of all parts that every file can afford it.

    Offsets are no sound: a recorder may have one in each channel, louder than birds.
    """

    def __init__(self, channels: int) -> None:
        self.frames = 0
        self.sums = np.zeros(channels)
        self.products = np.zeros((channels, channels))

    def add(self, block: Frames) -> None:
        if block.shape[1] == len(self.sums) > 1:
            few = np.ascontiguousarray(block[::STRIDE])
            self.frames += len(few)
            self.sums += np.ones(len(few), np.float32) @ few
            self.products += few.T @ few

    def may_cancel(self) -> bool:
        varying = self.products - np.outer(self.sums, self.sums) / max(self.frames, 1)
        return bool(varying.sum() < SURELY_NOT * varying.trace())


def loudest_if_cancelled(stream: Stream) -> int | None:
    """The loudest channel where channels cancel, from all samples of a stream; else None."""
    powers = _powers(stream)
    if powers is None:
        return None
    each, of_sum, all_power = powers
    audible = each.sum() > 1e-9 * all_power
    return int(np.argmax(each)) if audible and of_sum < CANCELLED * each.sum() else None


def loudest_channel(stream: Stream) -> int | None:
    """The channel with the most power over all samples; None where their count changes."""
    powers = _powers(stream)
    return None if powers is None else int(np.argmax(powers[0]))


def _powers(stream: Stream) -> tuple[NDArray[np.float64], float, float] | None:
    """Energy without offsets of each channel (c,) and of their sum, and the energy of all with
    offsets; None where there is nothing, or the count of channels changes."""
    sums: NDArray[np.float64] | None = None
    squares = frames = 0
    for block in stream.blocks:
        if block.shape[1] != stream.channels:
            return None
        exact = np.column_stack([block, block.sum(axis=1)]).astype(np.float64)
        frames += len(block)
        sums = exact.sum(axis=0) if sums is None else sums + exact.sum(axis=0)
        squares = squares + np.einsum("nc,nc->c", exact, exact)
    if sums is None:
        return None
    varying = squares - sums**2 / frames
    return varying[:-1], float(varying[-1]), float(np.sum(squares))
