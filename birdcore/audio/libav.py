"""Decoding by FFmpeg's libraries (PyAV): what libsndfile can't read, or reads wrongly.

Decodes every packet as `ffmpeg` does: encoder delay and padding are left out where the container
tells them, damaged packets are passed over. FFmpeg is given an open file and nothing else: formats
that name other files or addresses (playlists, sdp, concat) are not among FORMATS, no protocol is
allowed, and an attempt to open anything by name fails.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from io import RawIOBase
from itertools import chain, groupby
from typing import Any, NamedTuple, NoReturn, cast

import av
import av.error
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from numpy.typing import NDArray

from birdcore.audio.resample import resample_blocks
from birdcore.audio.stream import Frames, Rejected, Stream, Unreadable, block_length, check_form

FORMATS = (
    "aac,ac3,aiff,amr,ape,asf,au,avi,caf,dsf,dts,eac3,flac,flv,gsm,loas,matroska,mov,mp3,mpc,mpc8,"
    "mpeg,mpegts,nistsphere,ogg,oma,rm,sox,tak,tta,voc,w64,wav,wv,xwma"
)
SAYS_ITS_LENGTH = ("ape", "asf", "matroska", "mov", "mpc", "mpc8", "tta", "wv")
"""Formats whose headers hold the length itself; of others FFmpeg reports an estimate."""
RAW = ("aac", "ac3", "dts", "eac3", "loas", "mp3")
"""Frames one after another, with tags and leftovers between them that decode as no frame."""
EXACT_TIMES = ("flac", "ogg")
"""Formats whose frames count the samples before them, so that a lost one leaves a gap."""
SHORTEST_GAP_S = 0.02
TAGS = (b"ID3", b"TAG", b"APETAGEX", b"LYRICS")
STEEPEST = 16
FULL_SCALE = {"u8": 128, "s16": 1 << 15, "s32": 1 << 31, "s64": 1 << 63, "flt": 1, "dbl": 1}


@contextmanager
def opened(file: RawIOBase) -> Iterator[Stream]:
    """The first audio track of a file; the rate is that of its first frame.

    Raises Unreadable where FFmpeg finds no sound that it can decode; Rejected for a rate or
    channels that no recording has.
    """
    file.seek(0)
    try:
        container = av.open(
            cast(
                Any, _OnlyReading(file.read, file.seek, file.tell, str(getattr(file, "name", "")))
            ),
            options={"format_whitelist": FORMATS, "protocol_whitelist": "none"},
            io_open=_open_nothing,
            metadata_errors="replace",
        )
    except (av.error.FFmpegError, ValueError) as error:
        raise Unreadable("not a readable sound file: of no known format, or damaged") from error
    with container:
        track = _track(container)
        faults = _Faults()
        frames = _frames(container, track, faults)
        first = next(frames, None)
        if first is None:
            raise Unreadable("not a readable sound file: nothing in it can be decoded")
        form = _form(first)
        stream = Stream(form.rate, form.channels, iter(()))
        stream.promised = _promised(container, track, form.rate)
        stream.blocks = _blocks(stream, chain([first], frames), faults, _is_raw(container))
        yield stream


@dataclass(frozen=True)
class _OnlyReading:
    """The part of a file that FFmpeg may use: closing stays with the one who opened it."""

    read: Callable[[int], bytes | None]
    seek: Callable[[int, int], int]
    tell: Callable[[], int]
    name: str


@dataclass
class _Faults:
    """Packets that could not be decoded."""

    samples: int = 0
    """Decoded so far, per channel."""
    first: tuple[int, str] | None = None
    """The samples that came before the first that failed, and why it did."""
    midway: bool = False
    """Whether others were decoded after it."""
    shift: float | None = None
    """How many samples the time of a frame is ahead of their count."""

    def see(self, frame: AudioFrame, exact: bool) -> None:
        """Counts a frame; one that is late by its own clock has lost others before it."""
        if exact and frame.pts is not None and frame.time_base is not None:
            shift = float(frame.pts * frame.time_base * frame.sample_rate) - self.samples
            lost_s = (shift - self.shift) / frame.sample_rate if self.shift is not None else 0.0
            if lost_s > SHORTEST_GAP_S:
                self.first = self.first or (self.samples, f"{lost_s:.2f} s are damaged")
                self.midway = True
            self.shift = shift
        self.samples += frame.samples


class _Form(NamedTuple):
    rate: int
    channels: int
    sample: str


def _track(container: InputContainer) -> AudioStream:
    if not container.streams.audio:
        held = "only pictures" if container.streams.video else "no sound"
        raise Unreadable(f"not a readable sound file: holds {held}")
    track = container.streams.audio[0]
    if track.codec_context is None:
        raise Unreadable("not a readable sound file: its codec is not known")
    track.codec_context.thread_count = 1
    return track


def _frames(container: InputContainer, track: AudioStream, faults: _Faults) -> Iterator[AudioFrame]:
    raw = _is_raw(container)
    exact = container.format.name in EXACT_TIMES
    packets = container.demux(track)
    while True:
        try:
            packet = next(packets, None)
            if packet is None:
                return
            decoded = packet.decode()
        except av.error.EOFError:
            continue
        except (av.error.FFmpegError, ValueError) as error:
            if not (raw and packet is not None and (_is_stray(packet) or not faults.samples)):
                faults.first = faults.first or (faults.samples, _reason(error))
            continue
        faults.midway |= faults.first is not None and packet.size > 0 and bool(decoded)
        for frame in decoded:
            faults.see(frame, exact)
            if frame.samples:
                yield frame


def _is_stray(packet: "av.Packet[AudioStream]") -> bool:
    """Whether a packet that is no frame is a tag: a leftover of the files that were joined."""
    content = bytes(packet)
    return any(tag in content for tag in TAGS)


def _blocks(
    stream: Stream, frames: Iterator[AudioFrame], faults: _Faults, raw: bool
) -> Iterator[Frames]:
    """All of a track at the rate of the stream; then says what failed."""
    for form, segment in groupby(frames, _form):
        check_form(form.rate, form.channels)
        yield from at_rate(_gathered(form, segment), form.rate, stream.rate)
    if faults.first is not None:
        if faults.midway:
            stream.failed_at, stream.failure = faults.first
        else:
            stream.unfinished = not raw


def _gathered(form: _Form, frames: Iterator[AudioFrame]) -> Iterator[Frames]:
    """Frames of one form, joined to blocks."""
    length = block_length(form.channels)
    gathered: list[NDArray[Any]] = []
    held = 0
    for frame in frames:
        samples = frame.to_ndarray()
        gathered.append(samples.T if frame.format.is_planar else samples.reshape(-1, form.channels))
        held += frame.samples
        if held >= length:
            yield _floats(gathered, form)
            gathered, held = [], 0
    if gathered:
        yield _floats(gathered, form)


def _floats(parts: list[NDArray[Any]], form: _Form) -> Frames:
    samples = np.concatenate(parts)
    scale = FULL_SCALE.get(form.sample.rstrip("p"))
    if scale is None:
        raise Rejected(f"samples of the kind {form.sample}, which are not read")
    if samples.dtype == np.uint8:
        samples = samples.astype(np.int16) - 128
    if scale == 1:
        return np.ascontiguousarray(samples, np.float32)
    if samples.dtype.itemsize > 2:
        return np.ascontiguousarray(samples * (1 / scale), np.float32)
    return np.ascontiguousarray(samples, np.float32) * np.float32(1 / scale)


def at_rate(blocks: Iterator[Frames], source: int, target: int) -> Iterator[Frames]:
    """Blocks of one count of channels at another rate, such as of a link of a chained ogg.

    Raises Rejected where the rates are too far apart to be of one recording.
    """
    if not 1 / STEEPEST <= source / target <= STEEPEST:
        raise Rejected(f"its sample rate changes from {target} to {source} Hz midway")
    return resample_blocks(blocks, source, target)


def _promised(container: InputContainer, track: AudioStream, rate: int) -> int | None:
    names = set(container.format.name.split(","))
    if not names.intersection(SAYS_ITS_LENGTH):
        return None
    if track.duration is not None and track.time_base is not None:
        return round(track.duration * track.time_base * rate)
    if container.duration is None or len(container.streams) > 1:
        return None  # of a film, the picture may be what is longer
    return round(Fraction(container.duration, av.time_base) * rate)


def _is_raw(container: InputContainer) -> bool:
    return not set(container.format.name.split(",")).isdisjoint(RAW)


def _form(frame: AudioFrame) -> _Form:
    return _Form(frame.sample_rate, frame.layout.nb_channels, frame.format.name)


def _reason(error: Exception) -> str:
    if isinstance(error, av.error.InvalidDataError):
        return "the data is damaged"
    return str(getattr(error, "strerror", None) or error)


def _open_nothing(url: str, flags: int, options: dict[str, str]) -> NoReturn:
    raise PermissionError("a sound file may not open other files")
