"""Connections that end in time, whoever is at the other end.

A socket's timeout is for one silence: a server that sends a byte every few seconds, or one interim
answer after another, holds a client for as long as it likes. Here the handshake, the head of an
answer and its body each have a time in all, after which the socket is shut down.
"""

import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

from birdcore.archives.errors import ArchiveError, reason

CHUNK = 1 << 16


def new_session() -> requests.Session:
    """A session of such connections, which leaves redirects, and their bodies, to its user."""
    session = _Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, _Adapter())
    return session


@contextmanager
def deadline(seconds: float | None, end: Callable[[], object]) -> Iterator[None]:
    """Call `end` where the context takes longer; it then raises TimeoutError, however it ends."""
    late = threading.Event()

    def now() -> None:
        late.set()
        with suppress(OSError, RuntimeError, ValueError):  # it has ended by itself meanwhile
            end()

    timer = threading.Timer(seconds or threading.TIMEOUT_MAX, now)
    timer.daemon = True
    timer.start()
    try:
        yield
    except Exception:
        if not late.is_set():
            raise
    finally:
        timer.cancel()
    if late.is_set():
        raise TimeoutError("not done in time")


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """None: the library would read a redirect's whole body, however long, to follow it."""
        return None


class _Timed(HTTPConnection):
    def _tunnel(self) -> None:
        with self._deadline():
            super()._tunnel()

    def getresponse(self) -> Any:
        with self._deadline():
            return super().getresponse()

    def _deadline(self) -> AbstractContextManager[None]:
        seconds = self.timeout if isinstance(self.timeout, int | float) else None
        return deadline(seconds, lambda: _shut(self.sock))


class _TimedTls(_Timed, HTTPSConnection):
    """Its handshake needs no deadline of ours: `ssl` counts a socket's timeout over all of it."""


def _shut(line: socket.socket | None) -> None:
    """Wake up whoever reads from a socket; SSLSocket's own `shutdown` would change its state."""
    if line is not None:
        socket.socket.shutdown(line, socket.SHUT_RDWR)


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Timed


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TimedTls


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **options)
        manager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}
        return manager


def chunks(response: requests.Response, within_s: float) -> Iterator[bytes]:
    """A streamed body as it arrives, not unpacked, in pieces of up to 64 KiB; then it is closed.

    Raises ArchiveError where it is cut, falls silent, or takes longer than `within_s`.
    """
    end, got, why = time.monotonic() + within_s, 0, ""
    with response:
        try:
            # A byte now and then within the framing of chunks would keep one read busy for ever.
            with deadline(within_s, response.raw.shutdown):
                # read1: what is there, and no waiting for a full piece.
                while time.monotonic() < end and (
                    piece := response.raw.read1(CHUNK, decode_content=False)
                ):
                    got += len(piece)
                    yield piece
                if time.monotonic() < end:
                    return
        except (HTTPError, OSError) as error:
            why = reason(error)
    why = why if time.monotonic() < end else f"not done within {within_s:g} s"
    raise ArchiveError(f"{why}, after {got} bytes")


def read_body(response: requests.Response, within_s: float, most_bytes: int) -> bytes:
    """A body, unpacked; raises ArchiveError as `chunks` does, and for one that is too large.

    Unpacked here, for a library would unpack a bomb as far as it goes.
    """
    packing = response.headers.get("Content-Encoding", "").strip().lower()
    if packing not in ("", "identity", "gzip", "x-gzip"):
        response.close()
        raise ArchiveError("the answer is packed in a way that was not asked for")
    unpack = zlib.decompressobj(zlib.MAX_WBITS | 16) if "gzip" in packing else None
    got, body = 0, bytearray()
    for piece in chunks(response, within_s):
        got += len(piece)
        try:
            body += piece if unpack is None else unpack.decompress(piece, most_bytes + 1)
        except zlib.error:
            raise ArchiveError("the answer can't be unpacked") from None
        if max(got, len(body)) > most_bytes:
            response.close()
            raise ArchiveError(f"the answer has more than {most_bytes} bytes")
    if unpack is not None and not unpack.eof:
        raise ArchiveError("the answer ends early")
    return bytes(body)
