"""Files to samples, and a plain reason where that can't be done.

Collections hold empty downloads, error pages named `.ogg` and uploads that broke off. A run over
thousands of files must not stop at one of them, so `decode` has two outcomes: an `Audio`, maybe
marked as truncated, or `Rejected` with a reason for the report. Blocks are averaged to mono while
reading: a file of eight channels never lies in memory eight times, and a header that promises
hours costs nothing.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import soundfile as sf
import soxr
from numpy.typing import NDArray

from birdcore.blocks import Blocks, in_blocks

BLOCK = 1 << 18
IN_MEMORY = 1 << 26
"""Samples: 23 minutes at 48 kHz, 256 MiB. Longer recordings are decoded anew for each pass."""
SMALL_BLOCK = 1 << 12
OGG_PAGE_HEADER = 27
OGG_END_OF_STREAM = 4
LONGEST_OGG_PAGE = OGG_PAGE_HEADER + 255 + 255 * 255


class Rejected(ValueError):
    """A recording that can't be used; `str()` is the reason in plain words."""


@dataclass(frozen=True)
class Audio:
    """A decoded recording.

    rate: samples per second; channels: how many the file has. frames: samples that could be
    decoded, at least 1. problem: "" or what is wrong with it, in words. truncated: the file holds
    less than it promises. note: "" or what else is to be known of it.
    """

    rate: int
    channels: int
    frames: int
    problem: str
    truncated: bool
    note: str
    source: Blocks

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """Samples (n,), n >= 1, finite, the mean over the file's channels, from the start."""
        return self.source()

    @property
    def samples(self) -> NDArray[np.float32]:
        """All samples (frames,) in one array: for short recordings."""
        return np.concatenate(list(self.blocks()))

    @property
    def duration_s(self) -> float:
        return self.frames / self.rate


def decode(path: Path) -> Audio:
    """Read a sound file of any format that libsndfile knows, at its own rate.

    Truncation is detected by an ogg stream without its last page, a RIFF (wav) or FORM (aiff)
    size beyond the end of the file, fewer frames than the header says (flac), and errors while
    decoding; an mp3 that was cut between two frames looks like a shorter one.

    Raises Rejected if the file is missing, forbidden, empty or not a sound file, if no sample can
    be read from it, and if a sample is NaN or infinite.
    """
    ends_early = _ends_early(path)
    with _open(path) as file:
        rate, channels, promised = file.samplerate, file.channels, file.frames
    block = BLOCK
    frames, source = _survey(path, block)
    if frames < promised:  # a block that fails is lost as a whole: small ones save more
        block = SMALL_BLOCK
        frames, source = _survey(path, block)
    if not frames:
        raise Rejected("no samples can be read from it")
    truncated = frames < promised or ends_early
    problem = (
        f"cut off after {frames / rate:.2f} s: the file ends before its stream does"
        if truncated
        else ""
    )
    return Audio(rate, channels, frames, problem, truncated, "", source)


def resample(
    samples: NDArray[np.float32], source_rate: int, target_rate: int
) -> NDArray[np.float32]:
    """Band-limited resampling by soxr HQ: (n,) to about (n * target_rate / source_rate,).

    Equal rates return the samples themselves. Raises ValueError for a rate below 1.
    """
    if min(source_rate, target_rate) < 1:
        raise ValueError(f"rates must be positive, got {source_rate} and {target_rate}")
    if source_rate == target_rate:
        return samples
    return cast(NDArray[np.float32], soxr.resample(samples, source_rate, target_rate, quality="HQ"))


def _survey(path: Path, block: int) -> tuple[int, Blocks]:
    """How many samples there are, and how to have them."""
    parts, frames = [np.empty(0, np.float32)], 0
    for part in _read(path, block):
        frames += len(part)
        if frames <= IN_MEMORY:
            parts.append(part)
        else:
            parts.clear()
    if frames > IN_MEMORY:
        return frames, lambda: _read(path, block)
    return frames, in_blocks(np.concatenate(parts))


def _read(path: Path, block: int) -> Iterator[NDArray[np.float32]]:
    with _open(path) as file, suppress(sf.LibsndfileError):
        while len(frames := file.read(block, dtype="float32", always_2d=True)):
            yield _mono(frames)


def _open(path: Path) -> sf.SoundFile:
    try:
        return sf.SoundFile(path)
    except sf.LibsndfileError as error:
        raise Rejected(f"not a readable sound file: {error.error_string}") from error
    except TypeError as error:  # soundfile wants to be told the rate of a headerless .raw
        raise Rejected(f"not a readable sound file: {error}") from error


def _mono(frames: NDArray[np.float32]) -> NDArray[np.float32]:
    if not np.isfinite(frames).all():
        raise Rejected("holds samples that are NaN or infinite")
    channels = frames.shape[1]
    return frames[:, 0] if channels == 1 else frames @ np.full(channels, 1 / channels, np.float32)


def _ends_early(path: Path) -> bool:
    """Whether the container announces more bytes than the file has."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(8)
            file.seek(max(0, size - LONGEST_OGG_PAGE))
            tail = file.read()
    except OSError as error:
        raise Rejected(f"can't be opened: {error.strerror}") from error
    if not size:
        raise Rejected("empty file (0 bytes)")
    if head[:4] == b"OggS":
        return not _ends_ogg_stream(tail)
    if head[:4] in (b"RIFF", b"FORM"):
        announced = int.from_bytes(head[4:], "little" if head[:4] == b"RIFF" else "big")
        streamed = announced in (0, 0xFFFFFFFF)  # written without knowing the length
        return not streamed and announced + 8 > size + 1  # the last pad byte is often left out
    return False


def _ends_ogg_stream(tail: bytes) -> bool:
    """Whether the last page is whole and flagged as the end of its stream (RFC 3533, 6)."""
    page = tail[tail.rfind(b"OggS") :]
    if len(page) < OGG_PAGE_HEADER or not page[5] & OGG_END_OF_STREAM:
        return False
    segments = page[26]
    body = sum(page[OGG_PAGE_HEADER : OGG_PAGE_HEADER + segments])
    return len(page) >= OGG_PAGE_HEADER + segments + body
