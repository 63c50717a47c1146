"""Files to samples, and a plain reason where that can't be done.

Collections hold empty downloads, error pages named `.ogg`, uploads that broke off, and recordings
whose headers say nothing true of their length. A run over thousands of files must not stop at one
of them, so `decode` has two outcomes: an `Audio`, with the problem where there is one, or
`Rejected` with a reason for the report.

libsndfile reads what its headers describe rightly, which is most of all; FFmpeg (`libav.py`) reads
the rest, and whatever libsndfile then finds to be other than announced. Channels are averaged
while reading, and what is long is not kept: it is decoded anew whenever it is read, so that memory
does not grow with a recording's length.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import partial
from io import FileIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from birdcore.audio import chained, libav, sndfile
from birdcore.audio.container import Container, container_of
from birdcore.audio.mp3 import ID3V1
from birdcore.audio.stream import Frames, Rejected, Stream, Unreadable, open_file

__all__ = ["Audio", "Rejected", "decode"]

IN_MEMORY = 20 * 60 * 48_000
"""Samples up to which a recording is kept: 230 MB."""
CANCELLED = 0.1
"""Of the energy that the sum of channels would have if they had nothing in common."""
SURELY_NOT = 2 * CANCELLED
"""As CANCELLED, but judged from one sample in STRIDE, which is prime."""
STRIDE = 251
LENGTH_TOLERANCE_S = 0.1

Mono = NDArray[np.float32]
Reader = Callable[[FileIO], AbstractContextManager[Stream]]


@dataclass(frozen=True)
class Audio:
    """A recording whose samples can be read again and again.

    rate: samples per second; channels: how many the file has.
    frames: samples per channel that were decoded, n >= 1.
    problem: "" where it is whole, else what is wrong with it: cut off, or decoding failed.
    truncated: samples that the container promises are missing.
    note: "", or what was done to it: which channel is used where channels cancel.
    source: gives the blocks, from memory or from the file.
    """

    rate: int
    channels: int
    frames: int
    problem: str
    truncated: bool
    note: str
    source: Callable[[], Iterator[Mono]] = field(repr=False)

    def blocks(self) -> Iterator[Mono]:
        """Its samples in order: float32 (n,), n >= 1, finite, the mean over the channels.

        Raises Rejected where the file has changed since it was decoded.
        """
        return self.source()

    @property
    def samples(self) -> Mono:
        """All of it, float32 (frames,): for recordings that are known to be short."""
        blocks = list(self.blocks())
        return blocks[0] if len(blocks) == 1 else np.concatenate(blocks)

    @property
    def duration_s(self) -> float:
        return self.frames / self.rate


def decode(path: Path) -> Audio:
    """Read a sound file of any format that libsndfile or FFmpeg knows, at its own rate.

    It has as many samples as FFmpeg decodes, within one frame of its codec, whatever its header
    says. It is truncated where it has fewer than a total that is known (a WAV's data, the
    STREAMINFO of a FLAC, the Xing header of an mp3, the tables of an m4a), and where its last ogg
    page or FLAC frame is not whole. An mp3 without a Xing header that was cut looks like a
    shorter one.

    Mono is the mean over the channels, except where channels cancel (a lead wired the wrong way
    round): where their sum has less than a tenth of the energy that channels without anything in
    common would give it, the loudest channel is taken, and `note` says so.

    Raises Rejected if the file is missing, forbidden, empty, no regular file or not a sound file,
    if its rate or its count of channels is out of bounds, if no sample can be read from it, and
    if a sample is NaN or infinite.
    """
    with open_file(path) as file:
        try:
            container = container_of(file)
            survey = _best(file, container)
            reader, channel = survey.reader, None
            if survey.may_cancel:
                channel = _loudest_if_cancelled(file, reader)
                if channel is not None:
                    survey = _survey(file, reader, channel)
        except OSError as error:
            raise Rejected(f"can't be read: {error.strerror}") from error
    audio = Audio(survey.rate, survey.channels, survey.frames, *_problem(survey, container),
                  "" if channel is None else f"channels cancel: channel {channel + 1} is used",
                  lambda: iter(survey.mono))  # fmt: skip
    if survey.complete:
        return audio
    return replace(audio, source=lambda: _again(path, reader, channel, survey.frames))


@dataclass(frozen=True)
class _Survey:
    """What one pass over a file found."""

    reader: Reader
    rate: int
    channels: int
    promised: int | None
    failure: str
    failed_at: int
    unfinished: bool
    unread: int
    frames: int
    complete: bool
    """Whether `mono` holds all of it."""
    may_cancel: bool
    mono: list[Mono] = field(repr=False)


def _best(file: FileIO, container: Container) -> _Survey:
    """The survey by the reader that finds most, beginning with the one that fits the container."""
    found: list[_Survey] = []
    reasons: list[str] = []
    by_ffmpeg = chained.opened if container.is_ogg else libav.opened
    in_small_blocks = partial(sndfile.opened, block=sndfile.SMALL_BLOCK)
    readers: list[Reader] = [sndfile.opened, by_ffmpeg, in_small_blocks]
    for reader in readers if container.trusted else readers[1:]:
        try:
            survey = _survey(file, reader)
        except Unreadable as error:
            reasons.append(str(error))
            continue
        found.append(survey)
        if survey.frames and (reader is not sndfile.opened or _as_announced(survey, container)):
            break
    best = max(reversed(found), key=lambda survey: survey.frames, default=None)
    if best is None:
        raise Rejected(reasons[0])
    if not best.frames:
        raise Rejected("no samples can be read from it")
    return best


def _as_announced(survey: _Survey, container: Container) -> bool:
    """Whether libsndfile read what it had said, and nothing was left behind it."""
    least = 0 if container.promised is None else container.promised - container.tolerance
    if container.estimated:
        ended = survey.frames % container.estimated == 0
    else:
        ended = survey.frames == survey.promised and survey.frames >= least
    all_read = container.more_follows or survey.unread <= ID3V1
    return ended and all_read and not survey.failure


def _survey(file: FileIO, reader: Reader, channel: int | None = None) -> _Survey:
    """Decodes all of a file; keeps the samples while they are few enough."""
    kept: list[Mono] = []
    frames = 0
    with reader(file) as stream:
        levels = _Levels(stream.channels)
        for block in stream.blocks:
            _check_finite(block)
            levels.add(block)
            mono = _mono(block, channel)
            frames += len(mono)
            if frames <= IN_MEMORY:
                kept.append(mono)
            else:
                kept.clear()
        may_cancel = channel is None and levels.may_cancel()
        return _Survey(reader, stream.rate, stream.channels, stream.promised, stream.failure,
                       stream.failed_at, stream.unfinished, stream.unread, frames,
                       frames <= IN_MEMORY, may_cancel, _joined(kept))  # fmt: skip


class _Levels:
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


def _joined(blocks: list[Mono]) -> list[Mono]:
    return blocks if len(blocks) < 2 else [np.concatenate(blocks)]


def _again(path: Path, reader: Reader, channel: int | None, frames: int) -> Iterator[Mono]:
    """The blocks of a file that was surveyed, decoded once more."""
    done = 0
    with open_file(path) as file, reader(file) as stream:
        for block in stream.blocks:
            _check_finite(block)
            done += len(block)
            yield _mono(block, channel)
    if done != frames:
        raise Rejected("changed while it was read")


def _check_finite(block: Frames) -> None:
    """Raises Rejected for samples that are no numbers; no sum of squares hides one."""
    flat = block.reshape(-1)
    if not np.isfinite(flat @ flat) and not np.isfinite(block).all():
        raise Rejected("holds samples that are NaN or infinite")


def _mono(block: Frames, channel: int | None) -> Mono:
    channels = block.shape[1]
    if channels == 1:
        return block[:, 0]
    if channel is not None:
        return np.ascontiguousarray(block[:, min(channel, channels - 1)])
    return block @ np.full(channels, 1 / channels, np.float32)


def _loudest_if_cancelled(file: FileIO, reader: Reader) -> int | None:
    """The loudest channel where channels cancel, by a closer look; else None."""
    sums: NDArray[np.float64] | None = None
    squares = frames = 0
    with reader(file) as stream:
        for block in stream.blocks:
            if block.shape[1] != stream.channels:
                return None
            exact = np.column_stack([block, block.sum(axis=1)]).astype(np.float64)
            frames += len(block)
            sums = exact.sum(axis=0) if sums is None else sums + exact.sum(axis=0)
            squares = squares + np.einsum("nc,nc->c", exact, exact)
    if sums is None:
        return None
    *each, of_sum = squares - sums**2 / frames
    heard = sum(each) > 1e-9 * float(np.sum(squares))
    return int(np.argmax(each)) if heard and of_sum < CANCELLED * sum(each) else None


def _problem(survey: _Survey, container: Container) -> tuple[str, bool]:
    """What is wrong with a recording in plain words, and whether samples are missing."""
    rate, frames = survey.rate, survey.frames
    promised, tolerance = container.promised, float(container.tolerance)
    if promised is None and survey.reader is libav.opened:
        promised, tolerance = survey.promised, LENGTH_TOLERANCE_S * rate
    missing = promised is not None and frames < promised - tolerance
    broken_off = container.broken_off
    if survey.unfinished and promised is None:
        broken_off = broken_off or "its last frame is not whole"
    read = f"{frames / rate:.2f} s"
    if promised is not None:
        read += f" of {promised / rate:.2f} s"
    if survey.failure:
        failed_at = f"{survey.failed_at / rate:.2f} s"
        return f"decoding fails at {failed_at} ({survey.failure}); {read} can be read", missing
    if missing:
        return f"cut off after {read}", True
    if broken_off:
        return f"cut off after {read}: {broken_off}", True
    return "", False
