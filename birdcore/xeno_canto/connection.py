"""Connections that end in time, whoever is at the other end.

A socket's timeout is for one silence: a server that sends a byte every few seconds, or one interim
answer after another, holds a client for as long as it likes. Here the handshake and the head of an
answer have a time in all, after which the socket is shut down under whoever waits at it. The body
has its own, in `birdcore.xeno_canto.client.chunks`.
"""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection


def new_session() -> requests.Session:
    """A session of such connections, which leaves redirects, and their bodies, to its user."""
    session = _Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, _Adapter())
    return session


@contextmanager
def ended_after(seconds: float | None, end: Callable[[], object]) -> Iterator[None]:
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
    line: socket.socket | None = None
    """The same connection once more: TLS takes the socket itself away during its handshake."""

    def _new_conn(self) -> socket.socket:
        made = super()._new_conn()
        self.line = made.dup()
        return made

    def connect(self) -> None:
        with ended_after(self._seconds, self._end):
            super().connect()

    def getresponse(self) -> Any:
        with ended_after(self._seconds, self._end):
            return super().getresponse()

    def close(self) -> None:
        super().close()
        if self.line is not None:
            self.line.close()
            self.line = None

    @property
    def _seconds(self) -> float | None:
        return self.timeout if isinstance(self.timeout, int | float) else None

    def _end(self) -> None:
        if self.line is not None:
            self.line.shutdown(socket.SHUT_RDWR)


class _TimedTls(_Timed, HTTPSConnection):
    pass


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
