"""An archive that fails to order: what goes wrong between a client and it, by script and by rate.

    429  429-retry-after      too many requests, without and with Retry-After
    503                       overload, with a page of HTML
    html                      a page of HTML with status 200 in place of the answer
    cut                       half of the body, then the connection ends
    length-short length-long  a Content-Length of half the body; of more than the body
    drip                      the whole body in small pieces over `drip_s` seconds
    reset                     half of the body, then the connection is reset (RST)
    repeat                    records of the page before come again at the head of this page
    grow                      numRecords and numPages grow from page to page

None takes a record away for good: who tries again gets everything that the archive has.
"""

import json
import os
import re
import socket
import struct
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args
from urllib.parse import unquote_plus

import numpy as np

from birdcore.demo.archive.api import (
    API,
    PER_PAGE,
    SEARCH,
    ArchiveApi,
    Reply,
    page_of_html,
    split_target,
    without_key,
)
from birdcore.demo.archive.api import recording as whole_file
from birdcore.demo.archive.records import RecordIndex
from birdcore.demo.archive.server import KEY, Handler, serve_api
from tests.support.archive_query import parse

__all__ = ["KEY", "KINDS", "Fault", "Faults", "Kind", "Served", "serve"]

Kind: TypeAlias = Literal[
    "429",
    "429-retry-after",
    "503",
    "html",
    "cut",
    "length-short",
    "length-long",
    "drip",
    "reset",
    "repeat",
    "grow",
]
KINDS: tuple[Kind, ...] = get_args(Kind)
OF_SEARCHES: tuple[Kind, ...] = ("repeat", "grow")
Content: TypeAlias = dict[str, Any]
RANGE = re.compile(r"bytes=(\d*)-(\d*)")
MEDIA = "audio/mpeg"
REPEATED = 10
"""Records of the page before, where records repeat across pages."""
DRIPS = 40
"""Pieces of a dripping body."""
TOO_LONG = 1000
"""Bytes that are announced and never come."""
NO_LINGER = struct.pack("ii", 1, 0)
"""On, 0 s: closing the socket resets the connection."""


@dataclass(frozen=True)
class Fault:
    """One fault, for the first request whose path in the log fits the pattern `path`."""

    kind: Kind
    path: str = "*"
    retry_after: str = "1"  # seconds or an HTTP date
    drip_s: float = 2.0

    def fits(self, path: str) -> bool:
        of_kind = self.kind not in OF_SEARCHES or path.startswith(API)
        return of_kind and fnmatchcase(path, self.path)


@dataclass
class Faults:
    """The faults of one archive; a script comes before the rate and may be added to at any time.

    `rate` is the probability of a fault per request once the script holds none for it, drawn from
    `rng`. Raises ValueError for a rate outside 0 to 1 and for one without a generator.
    """

    script: Iterable[Fault | None] = ()
    rate: float = 0.0
    rng: np.random.Generator | None = None
    kinds: tuple[Kind, ...] = KINDS
    retry_after: str = "1"  # of faults by rate
    drip_s: float = 2.0
    given: list[tuple[Kind, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not 0 <= self.rate <= 1:
            raise ValueError(f"rate={self.rate}: ask for a share of requests, 0 to 1")
        if self.rate and self.rng is None:
            raise ValueError("faults by rate need rng, a numpy Generator")
        self._lock = threading.Lock()
        self._script = list(self.script)

    def add(self, *faults: Fault | None) -> None:
        with self._lock:
            self._script += faults

    def next(self, path: str) -> Fault | None:
        """The fault that a request for this path gets; it is then spent."""
        with self._lock:
            fault = self._scripted(path)
            if fault is not None:
                self.given.append((fault.kind, path))
            return fault

    def _scripted(self, path: str) -> Fault | None:
        for place, fault in enumerate(self._script):
            if fault is None or fault.fits(path):
                return self._script.pop(place)
        return self._drawn(path)

    def _drawn(self, path: str) -> Fault | None:
        if self.rng is None or self.rng.random() >= self.rate:
            return None
        kinds = [k for k in self.kinds if Fault(k).fits(path)]
        if not kinds:
            return None
        kind = kinds[self.rng.integers(len(kinds))]
        return Fault(kind, retry_after=self.retry_after, drip_s=self.drip_s)


@dataclass(frozen=True)
class Served:
    """A running archive; `leaked` are paths outside the API that were sent the key."""

    url: str
    log: list[tuple[str, str, int]]
    leaked: list[str]


@contextmanager
def serve(
    folder: Path, port: int = 0, key: str = KEY, faults: Faults | None = None
) -> Iterator[Served]:
    """As `birdcore.demo.archive.serve`, with faults."""
    api = FaultyApi(RecordIndex(folder, parse), key, faults=faults or Faults())
    with serve_api(api, port, FaultyHandler) as url:
        yield Served(url, api.log, api.leaked)


@dataclass(frozen=True)
class FaultyReply(Reply):
    """A reply whose body fails on its way."""

    fault: Fault | None = None


@dataclass
class FaultyApi(ArchiveApi):
    """An archive's answers, some of them wrong; keeps where the key was sent to."""

    faults: Faults = field(default_factory=Faults)
    leaked: list[str] = field(default_factory=list)

    def answer(self, target: str, headers: Mapping[str, str]) -> Reply:
        path, given = split_target(target)
        shown = without_key(path, given)
        if not path.startswith(API) and self._holds_key(target, headers):
            self.leaked.append(shown)
        fault = self.faults.next(shown)
        reply = _in_its_place(fault) or self.reply(path, given, headers)
        if fault is not None and reply.status == 200 and fault.kind in OF_SEARCHES:
            reply = _other_page(reply, fault.kind, self, given)
        self.log.append(("GET", shown, reply.status))
        if fault is None:
            return reply
        length = {"length-short": len(reply.body) // 2, "length-long": len(reply.body) + TOO_LONG}
        return FaultyReply(
            reply.status, reply.body, reply.media, reply.headers, length.get(fault.kind), fault
        )

    def download(self, file: Path, headers: Mapping[str, str]) -> Reply:
        return recording(file, headers.get("range"), headers.get("if-range"))

    def _holds_key(self, target: str, headers: Mapping[str, str]) -> bool:
        key = re.compile(rf"(?<!\w){re.escape(self.key)}(?!\w)")
        return any(key.search(text) for text in (unquote_plus(target), *headers.values()))


def _in_its_place(fault: Fault | None) -> Reply | None:
    """The answer that a fault gives instead of the archive's, if it does."""
    match fault.kind if fault else None:
        case "429":
            return page_of_html(429, "429 Too Many Requests")
        case "429-retry-after":
            assert fault is not None
            return page_of_html(429, "429 Too Many Requests", {"Retry-After": fault.retry_after})
        case "503":
            return page_of_html(503, "503 Service Temporarily Unavailable")
        case "html":
            return page_of_html(200, "Please stand by")
    return None


def _other_page(reply: Reply, kind: Kind, api: ArchiveApi, given: Mapping[str, str]) -> Reply:
    content = json.loads(reply.body)
    if kind == "repeat":
        page, before = content["page"], []
        if page > 1:
            earlier = api.reply(SEARCH, {**given, "page": str(page - 1)}, {})
            before = json.loads(earlier.body)["recordings"]
        content = repeated(content, before)
    else:
        content = growing(content, int(given.get("per_page", PER_PAGE)))
    return replace(reply, body=json.dumps(content).encode())


def repeated(content: Content, before: list[Any]) -> Content:
    """A page that begins with the last records of the page before."""
    rows = content["recordings"]
    return content | {"recordings": [*(before[-REPEATED:] or rows[:REPEATED]), *rows]}


def growing(content: Content, per_page: int) -> Content:
    """A page of a listing that ends with the next page, until that is read."""
    page = content["page"]
    if page + 1 >= content["numPages"]:
        return content
    return content | {"numPages": page + 1, "numRecordings": str((page + 1) * per_page)}


class FaultyHandler(Handler):
    """Sends replies as their faults say."""

    def send_body(self, reply: Reply) -> None:
        fault = reply.fault if isinstance(reply, FaultyReply) else None
        body = reply.body
        match fault.kind if fault else None:
            case "cut":
                self.wfile.write(body[: len(body) // 2])
                self.close_connection = True
            case "reset":
                self.wfile.write(body[: len(body) // 2])
                self.close_connection = True
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
                os.close(self.connection.detach())  # a shutdown would send a proper end first
            case "length-short" | "length-long":
                self.wfile.write(body)
                self.close_connection = True
            case "drip":
                assert fault is not None
                self._drip(body, fault.drip_s / DRIPS)
            case _:
                self.wfile.write(body)

    def _drip(self, body: bytes, pause_s: float) -> None:
        piece = max(1, -(-len(body) // DRIPS))
        for start in range(0, len(body), piece):
            if self.closing.wait(pause_s):
                self.close_connection = True
                return
            self.wfile.write(body[start : start + piece])


def recording(path: Path, asked: str | None, if_range: str | None) -> Reply:
    """A file, or the part of it that `Range` asks for if it is still the one of `If-Range`."""
    stat = path.stat()
    size = stat.st_size
    headers = {
        "Accept-Ranges": "bytes",
        "ETag": f'"{stat.st_mtime_ns:x}-{stat.st_ctime_ns:x}-{stat.st_ino:x}-{size:x}"',
        "Last-Modified": formatdate(stat.st_mtime, usegmt=True),
        "Content-Disposition": f'attachment; filename="{path.name}"',
    }
    unchanged = if_range in (None, headers["ETag"], headers["Last-Modified"])
    part = _part(asked, size) if asked and unchanged else None
    if part is None:
        return replace(whole_file(path), headers=headers)
    start, stop = part
    if start >= stop:
        return Reply(416, b"", MEDIA, headers | {"Content-Range": f"bytes */{size}"})
    with path.open("rb") as file:
        file.seek(start)
        body = file.read(stop - start)
    return Reply(206, body, MEDIA, headers | {"Content-Range": f"bytes {start}-{stop - 1}/{size}"})


def _part(asked: str, size: int) -> tuple[int, int] | None:
    """The first byte and the one after the last; None where the header is to be ignored."""
    match = RANGE.fullmatch(asked.strip())
    if match is None or match[1] == match[2] == "":
        return None
    if match[1] == "":
        return (max(0, size - int(match[2])), size)
    if match[2] and int(match[2]) < int(match[1]):
        return None
    return (int(match[1]), min(size, int(match[2]) + 1) if match[2] else size)
