"""An archive's answer into a partial: what is asked for, and whether what comes is that.

A partial that holds a part of a file asks for the rest of the same file (Range and If-Range, RFC
9110, 14.2 and 13.1.5). The answer may be the rest, the whole file anew because it is another now, a
page of HTML, or less than it says.
"""

import re

import requests

from birdcore.archives.client import Archive, ArchiveError, Refused, chunks, get
from birdcore.archives.partial import Origin, Partial
from birdcore.archives.quota import DiskQuota

SLOWEST = 20_000  # bytes per second
UNSAID_BYTES = 10_000_000  # for the time that an answer of unknown length may take
LARGEST_BYTES = 1 << 30
TINY_BYTES = 256
LENGTH = re.compile(r"[0-9]{1,15}")
"""A length that is longer than that is not said."""
CONTENT_RANGE = re.compile(r"bytes (?:([0-9]{1,15})-[0-9]{1,15}|\*)/([0-9]{1,15}|\*)")
ETAG = re.compile(r'"[!#-~]{0,200}"')
DATE = re.compile(r"[\w,: +-]{1,60}", re.ASCII)
PAGES = (b"<", b"{")
"""What no sound file begins with."""
NOT_AUDIO = ("text", "html", "xml", "json")


def request(archive: Archive, url: str, partial: Partial) -> requests.Response | None:
    """The answer to a request for what the partial lacks, None where it lacks nothing."""
    origin, start = partial.origin(), partial.size
    headers: dict[str, str] = {}
    if origin and origin.url == url and start and origin.total == start:
        return None  # its process was killed between the last byte and the check
    if origin and origin.url == url and start and origin.validator:
        headers = {"Range": f"bytes={start}-", "If-Range": origin.validator}
    else:
        partial.restart()
    return get(archive, url, headers=headers, stream=True)


def download(
    response: requests.Response,
    url: str,
    partial: Partial,
    quota: DiskQuota,
    patience_s: float,
) -> None:
    """Write an answer to the partial, which then holds the whole file.

    It may take `patience_s` and a second more for every 20 kB. Raises ArchiveError where it is not
    the whole file, Refused where that is larger than any recording, and OSError where the disk
    has no quota for it.
    """
    with response:
        total = _begin(response, url, partial)
        lacks = None if total is None else total - partial.size
        if max(total or 0, partial.size) > LARGEST_BYTES:
            raise Refused(f"its {total} bytes are more than a recording has")
        quota.check(lacks or 0)
        within_s = patience_s + (UNSAID_BYTES if lacks is None else lacks) / SLOWEST
        for piece in chunks(response, within_s) if lacks != 0 else ():
            quota.check(len(piece))
            partial.append(piece)
            if partial.size > LARGEST_BYTES:
                raise Refused("more bytes come than a recording has")
    if partial.begins_with(PAGES):
        partial.restart()
        raise ArchiveError("a page came in place of the recording, and said that it was sound")
    if total is not None and partial.size < total:
        raise ArchiveError(f"{partial.size} of {total} bytes came")
    if total is not None and partial.size > total:
        partial.restart()
        raise ArchiveError(f"more than the {total} bytes of the file came")


def _begin(response: requests.Response, url: str, partial: Partial) -> int | None:
    """Make the partial ready for an answer's body; returns the whole file's bytes, if said."""
    headers, size, status = response.headers, partial.size, response.status_code
    part = CONTENT_RANGE.fullmatch(headers.get("Content-Range", ""))
    if status == 416 and size and part and part[2] == str(size):
        return size  # it is all there; its length had been said wrongly, or not at all
    if status == 416:
        partial.restart()
        raise ArchiveError("the rest of it can't be had")
    _refuse_a_page(response)
    if status == 206:
        if part is None or part[1] != str(size):
            partial.restart()
            raise ArchiveError("another part of it came than the one asked for")
        total = None if part[2] == "*" else int(part[2])
    else:
        total = _said_length(response)
        if total is not None and total < TINY_BYTES:
            raise ArchiveError(f"{total} bytes came in place of the recording")
        partial.restart()
    partial.set_origin(Origin(url, _validator(response), total))
    return total


def _refuse_a_page(response: requests.Response) -> None:
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if any(word in kind for word in NOT_AUDIO):
        raise ArchiveError(f"a page ({kind[:40]}) came in place of the recording")
    if response.headers.get("Content-Encoding", "identity").lower() not in ("", "identity"):
        raise ArchiveError("it came packed, which was not asked for")


def _said_length(response: requests.Response) -> int | None:
    said = response.headers.get("Content-Length", "")
    return int(said) if LENGTH.fullmatch(said) else None


def _validator(response: requests.Response) -> str:
    """What If-Range may hold (RFC 9110, 13.1.5): an ETag that is not weak, else a date."""
    tag, date = response.headers.get("ETag", ""), response.headers.get("Last-Modified", "")
    if ETAG.fullmatch(tag):
        return tag
    return date if DATE.fullmatch(date) else ""
