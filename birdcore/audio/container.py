"""What the bytes of a container say: how many samples there are, and whether all of it is there.

libsndfile relies on a header even where the bytes differ: mp3s without a Xing header lose half of
their sound or are long beyond their end, WAVs from a pipe have lengths that nobody measured. The
head and the tail of a file, without what lies between, show whether its headers are right.
"""

import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import FileIO

from birdcore.audio import mp3, ogg

# fmt: off
AUDIO_SUFFIXES = frozenset({
    ".ogg", ".oga", ".opus", ".spx", ".flac", ".wav", ".wave", ".rf64", ".w64", ".aif", ".aiff",
    ".aifc", ".au", ".snd", ".caf", ".mp3", ".mp2", ".aac", ".ac3", ".m4a", ".m4b", ".mp4", ".mov",
    ".3gp", ".amr", ".wma", ".webm", ".mka", ".mkv", ".wv", ".ape", ".tta", ".mpc", ".dsf", ".avi",
})
# fmt: on
"""Suffixes, in lower case, of what a folder is searched for: formats that libsndfile or FFmpeg can
read. What a file really holds is read from its bytes."""

HEAD = 1 << 12
TAIL = 1 << 16
MOST_CHUNKS = 256
NO_LENGTH = (0x7F000000, 0x7FFFFFFF, 0xFFFFFFFF)
"""Around these lie the lengths that programs write into a pipe: sox, arecord, ffmpeg."""
ROUGHLY = 1 << 16
HEADER_COUNTED = 512
"""Some programs count the header as sound: so many bytes too few are none that are missing."""
PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE
GUID_TAIL = bytes.fromhex("000000001000800000aa00389b71")
AIFF_CODECS = (b"NONE", b"sowt", b"twos", b"fl32", b"FL32", b"fl64", b"FL64", b"in24", b"in32")


@dataclass(frozen=True)
class Container:
    """What is known of a file before it is decoded.

    trusted: libsndfile reads it rightly, if it then finds as many samples as it announces.
    promised: samples per channel that the file says it has, None where it does not say.
    tolerance: how many fewer are no sign of missing sound.
    broken_off: how the container shows that its end is missing, "" where it doesn't.
    more_follows: whether other things than sound may lie behind it.
    estimated: samples of a frame, where libsndfile only estimates the length: what ends within a
    frame was ended by the estimate; 0 where it knows.
    is_ogg: its links, which may be many, are read one by one.
    """

    trusted: bool = False
    promised: int | None = None
    tolerance: int = 0
    broken_off: str = ""
    more_follows: bool = False
    estimated: int = 0
    is_ogg: bool = False


def container_of(file: FileIO) -> Container:
    """Looks at the container of an open file; raises OSError where it can't be read."""
    size = os.fstat(file.fileno()).st_size
    head = _bytes_at(file, 0, HEAD)
    kinds: tuple[tuple[bool, Callable[[FileIO, bytes, int], Container]], ...] = (
        (head[:4] in (b"RIFF", b"RF64") and head[8:12] == b"WAVE", _wav),
        (head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"), _aiff),
        (head[:4] == b"fLaC", _flac),
        (head[:4] == b"OggS", _ogg),
        (head[:3] == b"ID3" or head[:1] == b"\xff", _mp3),
    )
    for fits, read in kinds:
        if fits:
            return read(file, head, size)
    return Container()


def _wav(file: FileIO, head: bytes, size: int) -> Container:
    form = None
    announced = None
    for name, start, length in _chunks(file, size, "<"):
        if name == b"ds64":
            announced = struct.unpack_from("<Q", _bytes_at(file, start, 16).ljust(16, b"\0"), 8)[0]
        elif name == b"fmt ":
            form = _bytes_at(file, start, 40)
        elif name == b"data" and form is not None and len(form) >= 16:
            tag, channels, _, _, align, bits = struct.unpack_from("<HHIIHH", form)
            if tag == EXTENSIBLE and form[26:40] == GUID_TAIL:
                tag = int.from_bytes(form[24:26], "little")
            if tag not in (PCM, FLOAT) or not align or align != channels * ((bits + 7) // 8):
                return Container()
            if announced is not None and length == 0xFFFFFFFF:
                return _pcm(announced, align, start, size, (0, 2**64 - 1))
            return _pcm(length, align, start, size)
    return Container()


def _aiff(file: FileIO, head: bytes, size: int) -> Container:
    frames = align = 0
    for name, start, length in _chunks(file, size, ">"):
        if name == b"COMM":
            about = _bytes_at(file, start, 22)
            if len(about) < 18 or (head[8:12] == b"AIFC" and about[18:22] not in AIFF_CODECS):
                return Container()
            channels, frames, bits = struct.unpack_from(">HIH", about)
            align = channels * ((bits + 7) // 8)
        elif name == b"SSND" and align:
            offset = int.from_bytes(_bytes_at(file, start, 4), "big")
            found = _pcm(frames * align, align, start + 8 + offset, size)
            agrees = frames * align + 8 + offset == length
            return found if agrees else Container(promised=found.promised)
    return Container()


def _pcm(
    announced: int, align: int, start: int, size: int, unknown: tuple[int, ...] = ()
) -> Container:
    """Samples of `align` bytes each from `start` on."""
    there = max(0, size - start)
    if announced in unknown or (not unknown and _is_no_length(announced)):
        return Container()
    tolerance = min(start, HEADER_COUNTED) // align
    whole = announced <= there and announced % align == 0
    return Container(whole, announced // align, tolerance, more_follows=True)


def _is_no_length(announced: int) -> bool:
    return announced == 0 or any(abs(announced - length) <= ROUGHLY for length in NO_LENGTH)


def _chunks(file: FileIO, size: int, order: str) -> Iterator[tuple[bytes, int, int]]:
    """Name, start and length of each chunk of a RIFF or FORM file."""
    position = 12
    for _ in range(MOST_CHUNKS):
        header = _bytes_at(file, position, 8)
        if len(header) < 8:
            return
        name, length = struct.unpack(f"{order}4sI", header)
        yield name, position + 8, length
        position += 8 + length + length % 2


def _flac(file: FileIO, head: bytes, size: int) -> Container:
    """STREAMINFO comes first (RFC 9639, 8.2); a total of 0 is one that was not known.

    ffmpeg cuts a stream into files whose frames go on counting: the last of them has the total of
    the whole stream, so that what comes before its first frame is none of its own.
    """
    total = int.from_bytes(head[21:26].ljust(5, b"\0"), "big") & ((1 << 36) - 1)
    before = _samples_before(file)
    if not total or before >= total:
        return Container()
    another = b"fLaC" in _bytes_at(file, max(4, size - TAIL), TAIL)
    return Container(trusted=not before and not another, promised=total - before)


def _samples_before(file: FileIO) -> int:
    """The number of the first frame's first sample (RFC 9639, 9.1), 0 where it can't be told."""
    position, last = 4, False
    for _ in range(MOST_CHUNKS):
        block = _bytes_at(file, position, 4)
        if last or len(block) < 4:
            break
        last = bool(block[0] & 0x80)
        position += 4 + int.from_bytes(block[1:], "big")
    frame, block_size = _bytes_at(file, position, 11), int.from_bytes(_bytes_at(file, 8, 2), "big")
    if len(frame) < 11 or frame[0] != 0xFF or frame[1] & 0xFE != 0xF8:
        return 0
    ones = 8 - (frame[4] ^ 0xFF).bit_length()  # as in UTF-8: how many bytes the number has
    number = frame[4] & (0x7F >> ones)
    for byte in frame[5 : 4 + max(ones, 1)]:
        number = number << 6 | byte & 0x3F
    return number if frame[1] & 1 else number * block_size


def _ogg(file: FileIO, head: bytes, size: int) -> Container:
    if ogg.is_plain_vorbis(head, _bytes_at(file, max(0, size - TAIL), TAIL)):
        return Container(trusted=True, is_ogg=True)
    links, broken_off = ogg.links(file)
    return Container(
        trusted=len(links) == 1 and ogg.is_vorbis(head),
        broken_off="its last ogg page is not whole" if broken_off else "",
        more_follows=True,
        is_ogg=True,
    )


def _mp3(file: FileIO, head: bytes, size: int) -> Container:
    """Frames counted by a Xing header include what is cut as padding, four at most.

    Without one, libsndfile estimates the length from the first frame: it is right where all
    frames are of one length, and stops before the end of the file where they are not.
    """
    start = 0
    while length := mp3.behind_tags(head):
        start += length
        head = _bytes_at(file, start, HEAD)
    if not mp3.frame_length(head):
        return Container()
    if (xing := mp3.xing(head)) is None:
        return Container(mp3.seems_constant(head), estimated=mp3.samples_per_frame(head))
    # libsndfile complains on stderr where the length is off by a hundredth.
    fits = abs(size - start - xing.bytes) <= max(size // 200, mp3.ID3V1)
    per_frame = mp3.samples_per_frame(head)
    return Container(xing.frames > 0 and fits, xing.frames * per_frame or None, 4 * per_frame)


def _bytes_at(file: FileIO, start: int, length: int) -> bytes:
    return os.pread(file.fileno(), length, start)
