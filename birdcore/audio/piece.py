"""A piece of a recording as it is in the file: native rate, all channels, without reading the rest.

A hard disk of recordings has some of a day each; to decode one of them for five seconds of it takes
a minute. libsndfile seeks to the sample in what it reads rightly; the rest is read up to the piece.
Times are those of `decode`, so that a detection's start and end are where it was found.
"""

from collections.abc import Iterator
from contextlib import suppress
from io import FileIO
from pathlib import Path

import soundfile as sf

from birdcore.audio import chained, libav, sndfile
from birdcore.audio.blocks import Reader
from birdcore.audio.container import container_of
from birdcore.audio.stream import (
    Frames,
    Rejected,
    Stream,
    Unreadable,
    check_form,
    open_file,
)

RUN_UP_S = 10.0
"""libsndfile seeks to the wrong sample within the last page of an ogg, which is cut to its length;
so an ogg is read from so much before the piece."""


def read_piece(path: str | Path, start_s: float, end_s: float) -> tuple[Frames, int]:
    """Samples (n, channels), n >= 1, from `start_s` to `end_s`, and their rate in Hz.

    Args:
        path: A sound file of any format that `decode` reads.
        start_s: Seconds from its beginning; before it is the beginning.
        end_s: Seconds; the piece ends with the recording at the latest.

    Raises:
        Rejected: The file is missing or can't be read, or it ends before the piece begins.

    Example:
        >>> samples, rate = read_piece("XC551413.ogg", 3.0, 6.0)  # doctest: +SKIP
        >>> samples.shape, rate  # doctest: +SKIP
        ((96000, 1), 32000)
    """
    start_s = max(start_s, 0.0)
    with open_file(path) as file:
        try:
            container = container_of(file)
            if container.trusted:
                run_up_s = RUN_UP_S if container.is_ogg else 0.0
                with suppress(sf.LibsndfileError, TypeError, ValueError):
                    piece = _by_seeking(file, start_s, end_s, run_up_s)
                    if piece is not None:
                        return piece
            by_ffmpeg = chained.opened if container.is_ogg else libav.opened
            readers = [sndfile.opened, by_ffmpeg] if container.trusted else [by_ffmpeg]
            for reader in [*readers, sndfile.opened]:
                with suppress(Unreadable), reader(file) as stream:
                    return _by_reading(stream, start_s, end_s)
        except OSError as error:
            raise Rejected(f"can't be read: {error.strerror}") from error
    raise Rejected("not a readable sound file")


def _by_seeking(
    file: FileIO, start_s: float, end_s: float, run_up_s: float
) -> tuple[Frames, int] | None:
    """None where not all of the piece is there."""
    file.seek(0)
    with sf.SoundFile(file.fileno(), closefd=False) as sound:
        rate = sound.samplerate
        check_form(rate, sound.channels)
        first, count = _place(rate, start_s, end_s)
        if not 0 <= sound.frames < sndfile.UNKNOWN_LENGTH or first >= sound.frames:
            return None
        run_up = min(round(run_up_s * rate), first)
        sound.seek(first - run_up)
        sound.read(run_up, dtype="float32")
        samples: Frames = sound.read(count, dtype="float32", always_2d=True)
        whole = len(samples) == min(count, sound.frames - first)
        return (samples, rate) if whole else None


def _by_reading(stream: Stream, start_s: float, end_s: float) -> tuple[Frames, int]:
    first, count = _place(stream.rate, start_s, end_s)
    reader = Reader(_of_one_form(stream))
    reader.skip(first)
    samples = reader.take(count)
    if not len(samples):
        raise Rejected(f"it ends before {start_s:.2f} s")
    return samples, stream.rate


def _of_one_form(stream: Stream) -> Iterator[Frames]:
    """The blocks of a stream as they can be joined, each in memory of its own."""
    for block in stream.blocks:
        if block.shape[1] == stream.channels:
            yield block.copy()
        else:  # of a chained ogg, in which a link has other channels
            yield block.mean(axis=1, keepdims=True).repeat(stream.channels, axis=1)


def _place(rate: int, start_s: float, end_s: float) -> tuple[int, int]:
    """The first sample of the piece, and how many it has: one or more."""
    first = round(start_s * rate)
    return first, max(round(end_s * rate) - first, 1)
