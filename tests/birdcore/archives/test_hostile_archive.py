"""An archive that means harm: bombs, endless answers, drips. All of it on loopback, and bounded."""

import gc
import gzip
import itertools
import socket
import ssl
import struct
import threading
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from birdcore.archives.client import Archive, ArchiveError, Refused, chunks, get, open_archive
from birdcore.archives.folder import set_up
from birdcore.archives.partial import Partial, held
from birdcore.archives.quota import DiskQuota
from birdcore.archives.receive import download, request

Send: TypeAlias = Callable[[bytes], None]
Script: TypeAlias = Callable[[Send], None]
LONG_S = 20.0
"""A script that nobody ends goes on for so long, and the test fails by its time."""


@contextmanager
def serve(script: Script) -> Iterator[str]:
    """A server that reads one request a connection and then sends what the script does."""
    listening = socket.create_server(("127.0.0.1", 0))
    listening.settimeout(0.05)
    over = threading.Event()
    busy: list[threading.Thread] = []

    def talk(to: socket.socket) -> None:
        def send(piece: bytes) -> None:
            if over.is_set():
                raise ConnectionAbortedError
            to.sendall(piece)

        with to, suppress(OSError):
            to.settimeout(2.0)
            to.recv(1 << 16)
            script(send)
            to.shutdown(socket.SHUT_WR)
            to.settimeout(0.2)
            to.recv(1)

    def accept() -> None:
        while not over.is_set():
            with suppress(TimeoutError):
                busy.append(threading.Thread(target=talk, args=(listening.accept()[0],)))
                busy[-1].start()

    accepting = threading.Thread(target=accept)
    accepting.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        over.set()
        accepting.join()
        for one in busy:
            one.join()
        listening.close()


@contextmanager
def asking(script: Script, **limits: Any) -> Iterator[Archive]:
    quick: dict[str, Any] = {"retries": 0, "connect_s": 1.0, "read_s": 0.3, "page_s": 0.3}
    with (
        serve(script) as site,
        open_archive(site, "the-key", lambda: None, sleep=lambda _: None) as archive,
    ):
        yield replace(archive, **quick | limits)


def drip(piece: bytes, every_s: float = 0.02) -> Script:
    def script(send: Send) -> None:
        for _ in range(int(LONG_S / every_s)):
            send(piece)
            time.sleep(every_s)

    return script


def then(*parts: bytes | Script) -> Script:
    def script(send: Send) -> None:
        for part in parts:
            if callable(part):
                part(send)
            else:
                send(part)

    return script


def flood(piece: bytes) -> Script:
    """More than anyone takes, as fast as it is taken."""

    def script(send: Send) -> None:
        for _ in range(2000):
            send(piece)

    return script


OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"

ENDLESS: dict[str, Script] = {
    "status line by the byte": then(b"HTTP/1.1 2", drip(b"0")),
    "head by the byte": then(OK + b"X-Long: ", drip(b"x")),
    "head by the line": then(OK, drip(b"A: b\r\n", 0.25)),
    "interim answers": flood(b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
    "interim answers, slowly": drip(b"HTTP/1.1 100 Continue\r\n\r\n"),
    "body by the byte": then(OK + b"Content-Length: 9999\r\n\r\n", drip(b"x")),
    "body without length": then(OK + b"\r\n", drip(b"x")),
    "length of a chunk by the byte": then(CHUNKED, drip(b"0")),
    "chunk extensions": then(CHUNKED + b"1;", drip(b"x")),
    "chunks by the byte": then(CHUNKED, drip(b"1\r\nx\r\n")),
    "trailers": then(CHUNKED + b"1\r\nx\r\n0\r\n", drip(b"A: b\r\n")),
}


@pytest.mark.parametrize("kind", ENDLESS)
def test_a_search_ends_in_time_whatever_drips(kind: str) -> None:
    began = time.monotonic()
    with asking(ENDLESS[kind]) as archive, pytest.raises(ArchiveError):
        get(archive, f"{archive.site}/api/3/recordings", {"query": "q:A"})
    assert time.monotonic() - began < LONG_S / 2  # it ends by itself, and not with the server


@pytest.mark.parametrize("kind", ENDLESS)
def test_a_download_ends_in_time_whatever_drips(kind: str, tmp_path: Path) -> None:
    set_up(tmp_path)
    began = time.monotonic()
    with (
        asking(ENDLESS[kind]) as archive,
        held(tmp_path, 1) as partial,
        pytest.raises(ArchiveError),
    ):
        _downloaded(archive, f"{archive.site}/1/download", partial)
    assert time.monotonic() - began < LONG_S / 2


@pytest.mark.parametrize("late_s", [0.0, 0.4])
def test_a_handshake_ends_in_time_too(late_s: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record of TLS that is promised and comes by the byte; its socket is closed (gc warns)."""
    wrap = ssl.SSLContext.wrap_socket

    def late_wrap(self: ssl.SSLContext, *given: Any, **options: Any) -> ssl.SSLSocket:
        time.sleep(late_s)  # as a loaded machine takes to read the certificates
        return wrap(self, *given, **options)

    monkeypatch.setattr(ssl.SSLContext, "wrap_socket", late_wrap)
    began = time.monotonic()
    script = then(b"\x16\x03\x03\x40\x00", drip(b"\x02"))
    with serve(script) as site:
        secure = site.replace("http:", "https:")
        late = pytest.raises(ArchiveError, match="no answer in time")
        with open_archive(secure, "the-key", lambda: None, retries=0) as archive, late:
            get(replace(archive, connect_s=0.3), f"{secure}/1")
    assert time.monotonic() - began < LONG_S / 2
    gc.collect()


def test_handshake_with_a_proxy_ends_in_time_too() -> None:
    began = time.monotonic()
    with serve(then(b"\x16\x03\x03\x40\x00", drip(b"\x02"))) as site:
        late = pytest.raises(ArchiveError, match="no answer in time")
        with open_archive("https://archive.invalid", "the-key", lambda: None, retries=0) as archive:
            archive.session.proxies["https"] = site.replace("http:", "https:")
            with late:
                get(replace(archive, connect_s=0.3), "https://archive.invalid/1")
    assert time.monotonic() - began < LONG_S / 2
    gc.collect()


def _downloaded(archive: Archive, url: str, partial: Partial) -> bytes:
    answer = request(archive, url, partial)
    assert answer is not None
    return b"".join(chunks(answer, 0.3))


@cache
def bomb() -> bytes:
    """A gzip of 200 MB in 200 kB."""
    # After a full flush a block does not depend on those before it: one is compressed, for all.
    pack = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    blocks = (pack.compress(bytes(1 << 20)) + pack.flush(zlib.Z_FULL_FLUSH)) * 200
    zeros = bytes(200 << 20)
    head, end = gzip.compress(b"")[:10], zlib.compress(b"", wbits=-zlib.MAX_WBITS)
    return head + blocks + end + struct.pack("<II", zlib.crc32(zeros), len(zeros))


def packed(body: bytes, how: bytes = b"gzip") -> bytes:
    head = OK + b"Content-Encoding: %s\r\nContent-Length: %d\r\n\r\n" % (how, len(body))
    return head + body


NOTHING = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
EMPTY_BLOCKS = NOTHING.flush(zlib.Z_FULL_FLUSH)

TOO_MUCH: dict[str, Script] = {
    "bomb": then(packed(bomb())),
    "bomb in a bomb": then(packed(gzip.compress(bomb()), b"gzip, gzip")),
    "zstd": then(packed(b"(\xb5/\xfd" + bytes(99), b"zstd")),
    "br": then(packed(bytes(99), b"br")),
    "of nothing but blocks": then(
        OK + b"Content-Encoding: gzip\r\n\r\n", flood(EMPTY_BLOCKS + NOTHING.flush(2) * 9999)
    ),
    "without end": then(OK + b"\r\n", flood(b" " * (1 << 16))),
    "chunks without end": then(CHUNKED, flood(b"10000\r\n" + b" " * (1 << 16) + b"\r\n")),
    "error without end": then(b"HTTP/1.1 400 No\r\n\r\n", flood(b" " * (1 << 16))),
    "packed error": then(packed(bomb()).replace(b"200 OK", b"400 No", 1)),
    "redirect without end": then(
        b"HTTP/1.1 302 Found\r\nLocation: /api/3/a\r\n\r\n", flood(b" " * (1 << 16))
    ),
    "packed redirect": then(
        packed(bomb()).replace(b"200 OK\r\n", b"302 Found\r\nLocation: /api/3/a\r\n", 1)
    ),
}


@pytest.mark.parametrize("kind", TOO_MUCH)
def test_no_answer_is_taken_beyond_its_bound(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("birdcore.archives.client.PAGE_BYTES", 1 << 20)
    tracemalloc.start()
    try:
        with (
            asking(TOO_MUCH[kind], page_s=5.0, read_s=5.0) as archive,
            pytest.raises((ArchiveError, Refused)),
        ):
            get(archive, f"{archive.site}/api/3/recordings", {"query": "q:A"})
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


def test_an_ordinary_packed_answer_is_unpacked() -> None:
    with asking(then(packed(gzip.compress(b"fine")))) as archive:
        assert get(archive, f"{archive.site}/api/3/recordings", {"query": "q:A"}).content == b"fine"


def test_a_packed_answer_that_ends_early_is_none() -> None:
    cut = gzip.compress(b"fine" * 99)[:-9]
    early = pytest.raises(ArchiveError, match="ends early")
    with asking(then(packed(cut))) as archive, early:
        get(archive, f"{archive.site}/api/3/recordings", {"query": "q:A"})


@pytest.mark.parametrize(
    "location",
    [
        b"file:///etc/passwd", b"ftp://127.0.0.1/a", b"//127.0.0.2/api/3/recordings",
        b"http://[bad/", b"http://127.0.0.2:9/api/3/recordings?key=the-key", b"\xff\xfe",
        b"javascript:alert(1)", b"http://a@127.0.0.2/", b"/api/3/recordings",
    ],
)  # fmt: skip
def test_no_redirect_leads_a_search_out_or_round_for_ever(location: bytes) -> None:
    answer = b"HTTP/1.1 302 Found\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n" % location
    with asking(then(answer)) as archive:
        with pytest.raises((Refused, ArchiveError)) as caught:
            get(archive, f"{archive.site}/api/3/recordings", {"query": "q:A"})
        assert "the-key" not in str(caught.value)


LENGTHS = ["-1", "9" * 30, "9" * 5000, "१२३", "0x100", "1e3", "300.0", "NaN", " ", "+300"]
BODY = b"RIFF" + bytes(296)


@pytest.mark.parametrize("length", LENGTHS)
def test_an_absurd_length_is_not_said(length: str, tmp_path: Path) -> None:
    set_up(tmp_path)
    head = OK + b"Content-Length: %s\r\n\r\n" % length.encode()
    with asking(then(head, BODY)) as archive, held(tmp_path, 1) as partial:
        url = f"{archive.site}/1/download"
        answer = request(archive, url, partial)
        assert answer is not None
        with suppress(ArchiveError):
            download(answer, url, partial, DiskQuota(tmp_path, 0), 5.0)
        origin = partial.origin()
        assert origin is not None
        assert origin.total in (None, 300)


@pytest.mark.parametrize(
    "header",
    [
        "ETag: " + '"' + "x" * 9999 + '"', 'ETag: "a\x01b"', 'ETag: "\xe9"', "Last-Modified: <b>",
        "Content-Range: bytes 0-" + "9" * 5000 + "/*", "Content-Type: \x1b[2J", "ETag: \"a\" b\"",
    ],
)  # fmt: skip
def test_an_absurd_header_is_not_kept(header: str, tmp_path: Path) -> None:
    set_up(tmp_path)
    answer_bytes = OK + header.encode("latin-1") + b"\r\nContent-Length: 300\r\n\r\n" + BODY
    with asking(then(answer_bytes)) as archive, held(tmp_path, 1) as partial:
        url = f"{archive.site}/1/download"
        answer = request(archive, url, partial)
        assert answer is not None
        download(answer, url, partial, DiskQuota(tmp_path, 0), 5.0)
        origin = partial.origin()
        assert origin is not None
        assert origin.validator == ""
        assert partial.size == 300


def test_a_pause_that_no_calendar_has_is_none() -> None:
    for text in ("Fri, 31 Dec 9999 23:59:59 -2359", "9" * 400, "Mon, 99 Foo 0000"):
        answer = b"HTTP/1.1 503 No\r\nContent-Length: 0\r\nRetry-After: %s\r\n\r\n" % text.encode()
        with asking(then(answer)) as archive, pytest.raises(ArchiveError):
            get(archive, f"{archive.site}/api/3/recordings", {"query": "q:A"})


def test_many_answers_leave_no_connection_open() -> None:
    counts = itertools.count()

    def script(send: Send) -> None:
        next(counts)
        # As it does close: a client that does not know may ask again before it notices.
        send(OK + b"Content-Length: 2\r\nConnection: close\r\n\r\nok")

    with asking(script) as archive:
        for _ in range(5):
            assert get(archive, f"{archive.site}/1", stream=False).content == b"ok"
    assert next(counts) == 5
