"""Decoding by libsndfile: the fast reader, for files whose headers are right."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from typing import cast

import numpy as np
import soundfile as sf

from birdcore.audio.stream import Frames, Stream, Unreadable, block_length, check_form

UNKNOWN_LENGTH = 1 << 62
SMALL_BLOCK = 1 << 12


class _Forward(sf.SoundFile):  # type: ignore[misc]
    """Reads without seeking: soundfile seeks after each block, which in a FLAC without its
    length fails, and in one FLAC behind another lands in the wrong one."""

    def seekable(self) -> bool:
        return False


@contextmanager
def opened(file: FileIO, block: int | None = None) -> Iterator[Stream]:
    """The file as libsndfile reads it, in blocks of `block` samples per channel.

    A block in which decoding fails is lost as a whole: small ones save more. Raises Unreadable
    where libsndfile can't open it, Rejected for a rate or channels that no recording has.
    """
    file.seek(0)
    try:
        sound = _Forward(file.fileno(), closefd=False)
    except (sf.LibsndfileError, TypeError, ValueError) as error:
        reason = getattr(error, "error_string", error)
        raise Unreadable(f"not a readable sound file: {reason}") from error
    with sound:
        check_form(sound.samplerate, sound.channels)
        promised = sound.frames if 0 <= sound.frames < UNKNOWN_LENGTH else None
        stream = Stream(sound.samplerate, sound.channels, iter(()), promised)
        stream.blocks = _blocks(sound, stream, file, block or block_length(sound.channels))
        yield stream


def _blocks(sound: sf.SoundFile, stream: Stream, file: FileIO, block: int) -> Iterator[Frames]:
    done = 0
    # Memory that is used anew costs less than memory that is asked for; but of one channel the
    # block itself is kept.
    buffer = np.empty((block, stream.channels), np.float32) if stream.channels > 1 else None
    try:
        while stream.promised is None or done < stream.promised:
            frames = cast(Frames, sound.read(block, dtype="float32", always_2d=True, out=buffer))
            if not len(frames):
                break
            done += len(frames)
            yield frames
    except sf.LibsndfileError as error:
        stream.failure, stream.failed_at = error.error_string.strip(". "), done
    size = os.fstat(file.fileno()).st_size
    stream.unread = size - file.seek(0, os.SEEK_CUR)
