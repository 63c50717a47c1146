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

from birdcore.audio import chained, libav, sndfile
from birdcore.audio.container import Container, container_of
from birdcore.audio.mono import (
    ChannelLevels,
    Mono,
    loudest_channel,
    loudest_if_cancelled,
    to_mono,
)
from birdcore.audio.mp3 import ID3V1
from birdcore.audio.reading import AS_IT_IS, Reading
from birdcore.audio.stream import Frames, Rejected, Stream, Unreadable, open_file

__all__ = ["Audio", "Rejected", "decode"]

IN_MEMORY = 20 * 60 * 48_000
"""Samples up to which a recording is kept: 230 MB."""
LENGTH_TOLERANCE_S = 0.1

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
    speed: how many times slower than life it is.
    """

    rate: int
    channels: int
    frames: int
    problem: str
    truncated: bool
    note: str
    source: Callable[[], Iterator[Mono]] = field(repr=False)
    speed: float = 1.0

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
        """Seconds of the file."""
        return self.frames / self.rate

    @property
    def true_rate(self) -> int:
        """Samples per second of what was recorded, Hz."""
        return max(1, round(self.rate * self.speed))


def decode(
    path: str | Path,
    reading: Reading = AS_IT_IS,
    channel: int | None = None,
    checked: Callable[[float], None] = lambda _: None,
) -> Audio:
    """Read a sound file of any format that libsndfile or FFmpeg knows, at its own rate.

    The recording has as many samples as FFmpeg decodes, within one frame of its codec, whatever
    its header says. It is truncated where it has fewer than a total that is known (a WAV's data,
    the STREAMINFO of a FLAC, the Xing header of an mp3, the tables of an m4a), and where its last
    ogg page or FLAC frame is not whole. An mp3 without a Xing header that was cut looks like a
    shorter one.

    Mono is the mean over the channels, except where channels cancel (a lead wired the wrong way
    round): where their sum has less than a tenth of the energy that channels without anything in
    common would give it, the loudest channel is taken, and `note` says so.

    Args:
        path: a file; its suffix does not matter.
        reading: which channel it is to be read by, if not by their mean, and its speed.
        channel: this one instead, counted from 0; the last one where there are not so many.
        checked: is told the seconds of each block as the file is decoded to its end, which takes
            a minute for a day's recording; of all passes, where one reader does not do.

    Returns:
        The recording, whose samples are kept where they are few and decoded anew where not.

    Raises:
        Rejected: if the file is missing, forbidden, empty, no regular file or not a sound file,
            if its rate or its count of channels is out of bounds, if no sample can be read from
            it, and if a sample is NaN or infinite.

    Example:
        >>> audio = decode("XC551413.ogg")  # doctest: +SKIP
        >>> audio.rate, audio.duration_s, audio.problem  # doctest: +SKIP
        (32000, 14.5, '')
        >>> loudest = max(abs(block).max() for block in audio.blocks())  # doctest: +SKIP
    """
    with open_file(path) as file:
        try:
            container = container_of(file)
            if channel is None and reading.channels == "first":
                channel = 0
            survey = _best(file, container, channel, checked)
            reader = survey.reader
            by_level = reading.channels in ("loudest", "each") and survey.channels > 1
            if channel is None and (by_level or survey.may_cancel):
                with reader(file) as stream:
                    channel = loudest_channel(stream) if by_level else loudest_if_cancelled(stream)
                if channel is not None:
                    survey = _survey(file, reader, channel, checked)
            speed = reading.speed_of(Path(path))
        except OSError as error:
            raise Rejected(f"can't be read: {error.strerror}") from error
    note = ""
    if channel is not None and reading.channels == "mean":
        note = f"channels cancel: channel {channel + 1} is used"
    audio = Audio(survey.rate, survey.channels, survey.frames, *_problem(survey, container),
                  note, lambda: iter(survey.mono), speed)  # fmt: skip
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


def _best(
    file: FileIO, container: Container, channel: int | None, checked: Callable[[float], None]
) -> _Survey:
    """The survey by the reader that finds most, beginning with the one that fits the container."""
    found: list[_Survey] = []
    reasons: list[str] = []
    by_ffmpeg = chained.opened if container.is_ogg else libav.opened
    in_small_blocks = partial(sndfile.opened, block=sndfile.SMALL_BLOCK)
    readers: list[Reader] = [sndfile.opened, by_ffmpeg, in_small_blocks]
    for reader in readers if container.trusted else readers[1:]:
        try:
            survey = _survey(file, reader, channel, checked)
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


def _survey(
    file: FileIO, reader: Reader, channel: int | None, checked: Callable[[float], None]
) -> _Survey:
    """Decodes all of a file; keeps the samples while they are few enough."""
    kept: list[Mono] = []
    frames = 0
    with reader(file) as stream:
        levels = ChannelLevels(stream.channels)
        for block in stream.blocks:
            _check_finite(block)
            levels.add(block)
            mono = to_mono(block, channel)
            frames += len(mono)
            checked(len(mono) / stream.rate)
            if frames <= IN_MEMORY:
                kept.append(mono)
            else:
                kept.clear()
        may_cancel = channel is None and levels.may_cancel()
        return _Survey(reader, stream.rate, stream.channels, stream.promised, stream.failure,
                       stream.failed_at, stream.unfinished, stream.unread, frames,
                       frames <= IN_MEMORY, may_cancel, _joined(kept))  # fmt: skip


def _joined(blocks: list[Mono]) -> list[Mono]:
    return blocks if len(blocks) < 2 else [np.concatenate(blocks)]


def _again(path: str | Path, reader: Reader, channel: int | None, frames: int) -> Iterator[Mono]:
    """The blocks of a file that was surveyed, decoded once more."""
    done = 0
    with open_file(path) as file, reader(file) as stream:
        for block in stream.blocks:
            _check_finite(block)
            done += len(block)
            if done > frames:  # a recorder that is still writing
                break
            yield to_mono(block, channel)
    if done != frames:
        raise Rejected("changed while it was read")


def _check_finite(block: Frames) -> None:
    """Raises Rejected for samples that are no numbers; no sum of squares hides one."""
    flat = block.reshape(-1)
    if not np.isfinite(flat @ flat) and not np.isfinite(block).all():
        raise Rejected("holds samples that are NaN or infinite")


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
