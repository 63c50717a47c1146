"""Pages of an ogg file (RFC 3533): one stream or several links, ended or broken off.

Chained files come from radio streams and from joining files with `cat`. libsndfile reads one link
of them, FFmpeg refuses some at the first look; so each link is read as the file that it once was.
"""

import os
from dataclasses import dataclass
from io import FileIO, RawIOBase

CAPTURE = b"OggS"
HEADER = 27
LONGEST_PAGE = HEADER + 255 + 255 * 255
FIRST, LAST = 2, 4
VORBIS = b"\x01vorbis"
MOST_LINKS = 10_000
READ = 1 << 20


@dataclass(frozen=True)
class Link:
    """A stretch of the file that is an ogg file of its own: bytes start to end."""

    start: int
    end: int


class Part(RawIOBase):
    """A link as a file; reading it does not move the file's own position."""

    def __init__(self, file: FileIO, link: Link) -> None:
        self._descriptor, self._link, self._at = file.fileno(), link, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        left = self._link.end - self._link.start - self._at
        wanted = left if size < 0 else min(size, left)
        found = os.pread(self._descriptor, max(0, wanted), self._link.start + self._at)
        self._at += len(found)
        return found

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at}.get(
            whence, self._link.end - self._link.start
        )
        if base + offset < 0:
            raise OSError("before the start of the link")
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        return self._at


def is_vorbis(head: bytes) -> bool:
    """Whether the first page begins a stream of Vorbis, and the second none of another kind."""
    end = _page_end(head, 0)
    return (
        end is not None
        and bool(head[5] & FIRST)
        and head[HEADER + head[26] :].startswith(VORBIS)
        and head[end : end + 4] == CAPTURE
        and not head[end + 5] & FIRST
    )


def is_plain_vorbis(head: bytes, tail: bytes) -> bool:
    """Whether head and tail are of one stream whose last page is whole and flagged as the last."""
    last = tail.rfind(CAPTURE)
    end = _page_end(tail, last)
    return (
        is_vorbis(head)
        and end is not None
        and end == len(tail)
        and bool(tail[last + 5] & LAST)
        and tail[last + 14 : last + 18] == head[14:18]
        and not any(tail[start + 5] & FIRST for start in _captures(tail) if start)
    )


def links(file: FileIO) -> tuple[list[Link], bool]:
    """The links of a file, by a walk over its pages; and whether its last page is not whole.

    Whatever lies between pages, such as zeros or tags behind the last one, belongs to no link.
    """
    size = os.fstat(file.fileno()).st_size
    found: list[Link] = []
    position, first_before, broken_off = 0, False, False
    window, begins = b"", 0
    while position < size:
        if position + LONGEST_PAGE > begins + len(window) and begins + len(window) < size:
            window, begins = os.pread(file.fileno(), READ, position), position
        offset = position - begins
        end = _page_end(window, offset)
        if end is None:
            broken_off |= window.startswith(CAPTURE, offset)
            following = window.find(CAPTURE, offset + 1)
            position = begins + (following if following >= 0 else max(offset + 1, len(window) - 3))
            continue
        first = bool(window[offset + 5] & FIRST)
        if not found or (first and not first_before and len(found) < MOST_LINKS):
            found.append(Link(position, begins + end))
        found[-1] = Link(found[-1].start, begins + end)
        first_before, broken_off, position = first, False, begins + end
    return found, broken_off


def _page_end(data: bytes, start: int) -> int | None:
    """Where a page ends that is whole in `data`; None where there is none."""
    if start < 0 or len(data) < start + HEADER or not data.startswith(CAPTURE, start):
        return None
    body = start + HEADER + data[start + 26]
    end = body + sum(data[start + HEADER : body])
    return end if len(data) >= max(body, end) else None


def _captures(data: bytes) -> list[int]:
    found, start = [], data.find(CAPTURE)
    while start >= 0:
        found.append(start)
        start = data.find(CAPTURE, start + 1)
    return [start for start in found if start + HEADER <= len(data)]
