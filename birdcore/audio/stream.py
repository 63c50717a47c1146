"""What every reader of sound files gives, and how a file is opened for it.

Two libraries read sound (`sndfile.py`, `libav.py`); `decode.py` chooses between them by what the
container's bytes promise (`container.py`) and need not know more of either than a `Stream`.
"""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

BLOCK = 1 << 18
LOWEST_RATE, HIGHEST_RATE = 100, 1_000_000
"""Hz: from infrasound to ultrasound, and what is beyond is a damaged header."""
MOST_CHANNELS = 256

Frames = NDArray[np.float32]
"""Samples (n, channels), n >= 1; full scale is 1."""

KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class Rejected(ValueError):
    """A recording that can't be used; `str()` is the reason in plain words."""


class Unreadable(Rejected):
    """A file in which one reader finds no sound; another may."""


@dataclass
class Stream:
    """An opened recording.

    blocks: its samples, in order, once; the count of channels may change between blocks, the
    rate does not. A block of several channels may be overwritten by the next.
    promised: samples per channel that its headers announce, None where they don't.
    failure, failed_at: why and at which sample decoding failed; known when blocks have ended.
    unfinished: whether the last frame was cut within; known when blocks have ended.
    unread: bytes of the file that were not read; known when blocks have ended.
    """

    rate: int
    channels: int
    blocks: Iterator[Frames]
    promised: int | None = None
    failure: str = ""
    failed_at: int = 0
    unfinished: bool = False
    unread: int = 0


def open_file(path: str | Path) -> FileIO:
    """A regular file, opened for reading; never waits for a pipe or touches a device.

    Raises Rejected if it is missing, forbidden, empty or no regular file.
    """
    try:
        _only_regular(os.stat(path))
        file = FileIO(path, opener=_without_waiting)
    except OSError as error:
        raise Rejected(f"can't be opened: {error.strerror}") from error
    try:
        _only_regular(found := os.fstat(file.fileno()))
        if not found.st_size:
            raise Rejected("empty file (0 bytes)")
    except Rejected:
        file.close()
        raise
    return file


def check_form(rate: int, channels: int) -> None:
    """Raises Rejected for a rate or a count of channels that no recording has."""
    if not LOWEST_RATE <= rate <= HIGHEST_RATE:
        raise Rejected(f"a sample rate of {rate} Hz, outside {LOWEST_RATE} to {HIGHEST_RATE} Hz")
    if not 1 <= channels <= MOST_CHANNELS:
        raise Rejected(f"{channels} channels, more than {MOST_CHANNELS}")


def block_length(channels: int) -> int:
    """Samples per channel of a block, so that no count of channels makes blocks huge."""
    return BLOCK if channels <= 8 else BLOCK * 8 // channels


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)


def _only_regular(found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        kind = KINDS.get(stat.S_IFMT(found.st_mode), "something else")
        raise Rejected(f"is {kind}, not a file")
