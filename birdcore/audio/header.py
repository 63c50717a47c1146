"""What a sound file says of itself, without decoding it: for a look at thousands of files.

Only the container's ends are read: a few kilobytes of a file, however long it is. What only shows
while decoding (silence, damage in the middle) is left to `decode`.
"""

from dataclasses import dataclass
from io import FileIO
from pathlib import Path

import soundfile as sf

from birdcore.audio.container import Container, container_of
from birdcore.audio.sndfile import UNKNOWN_LENGTH
from birdcore.audio.stream import Rejected, Unreadable, check_form, open_file

LAST = 64
"""Samples at the end that are read, where a container can't show that its end is missing."""


@dataclass(frozen=True)
class Header:
    """The form of a recording.

    Attributes:
        rate: Samples a second.
        channels: How many.
        seconds: Its length; None where its header does not say.
        format: Container and codec, such as "OGG VORBIS" or "WAV PCM_16".
        problem: "", or how it shows that sound is missing.
    """

    rate: int
    channels: int
    seconds: float | None
    format: str
    problem: str = ""


def read_header(path: Path) -> Header:
    """The form of a sound file.

    Args:
        path: Any file; its suffix does not matter, except in the name of a rare format.

    Raises:
        Rejected: It is missing, empty, no file, no sound file, or of a form that no recording has.

    Example:
        >>> read_header(Path("XC551413.ogg"))  # doctest: +SKIP
        Header(rate=32000, channels=1, seconds=14.5, format='OGG VORBIS', problem='')
    """
    with open_file(path) as file:
        try:
            container = container_of(file)
            try:
                return _by_libsndfile(file, container)
            except Unreadable:
                return _by_ffmpeg(file, container, path.suffix)
        except OSError as error:
            raise Rejected(f"can't be read: {error.strerror}") from error


def _by_libsndfile(file: FileIO, container: Container) -> Header:
    file.seek(0)
    try:
        sound = sf.SoundFile(file.fileno(), closefd=False)
    except (sf.LibsndfileError, TypeError, ValueError) as error:
        raise Unreadable("not a readable sound file") from error
    with sound:
        check_form(sound.samplerate, sound.channels)
        known = 0 <= sound.frames < UNKNOWN_LENGTH
        there = sound.frames if known else None
        if there == 0:
            raise Rejected("no samples can be read from it")
        promised = there if container.promised is None else container.promised
        problem = container.broken_off and f"cut off: {container.broken_off}"
        if not problem and promised is not None and there is not None:
            missing = promised - there > container.tolerance
            if missing or (sound.format == "FLAC" and not _has_end(sound)):
                problem = f"cut off: less is there than the {promised / sound.samplerate:.1f} s "
                problem += "that its header says"
        return Header(
            rate=sound.samplerate,
            channels=sound.channels,
            seconds=None if there is None else there / sound.samplerate,
            format=f"{sound.format} {sound.subtype}",
            problem=problem,
        )


def _has_end(sound: sf.SoundFile) -> bool:
    """Whether the last samples can be decoded: a FLAC says its length at its beginning alone."""
    try:
        sound.seek(max(0, sound.frames - LAST))
        return bool(len(sound.read(LAST, dtype="float32")) == min(LAST, sound.frames))
    except sf.LibsndfileError:
        return False


def _by_ffmpeg(file: FileIO, container: Container, suffix: str) -> Header:
    from birdcore.audio import libav  # only rare formats need it

    with libav.opened(file) as stream:
        promised = stream.promised if container.promised is None else container.promised
        return Header(
            rate=stream.rate,
            channels=stream.channels,
            seconds=None if promised is None else promised / stream.rate,
            format=suffix.lstrip(".").upper(),
            problem=container.broken_off and f"cut off: {container.broken_off}",
        )
