"""The archive's sockets: threads on loopback, all of which end with the `with` block."""

import socket
import socketserver
import struct
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TypeAlias

from birdcore.demo.archive.desk import Desk
from birdcore.demo.archive.faults import Fault, Faults, Kind
from birdcore.demo.archive.index import Shelf
from birdcore.demo.archive.reply import Reply

Request: TypeAlias = socket.socket | tuple[bytes, socket.socket]  # as socketserver has it

KEY = "loopback"
HOST = "127.0.0.1"
DRIPS = 40  # pieces of a dripping body
TOO_LONG = 1000  # bytes that are promised and never come
POLL_S = 0.02
IDLE_S = 30.0
NO_LINGER = struct.pack("ii", 1, 0)  # on, 0 s: closing the socket resets the connection


@dataclass(frozen=True)
class Served:
    """A running archive."""

    url: str
    log: list[tuple[str, str, int]]  # method, path without the key, status
    leaked: list[str]  # paths outside the API that were sent the key


@contextmanager
def serve(
    folder: Path, port: int = 0, key: str = KEY, faults: Faults | None = None
) -> Iterator[Served]:
    """Serve a folder on loopback; port 0 takes a free one.

    Raises ValueError for an empty key and where the folder holds no readable `recordings.json`,
    OSError where the port is taken.
    """
    if not key:
        raise ValueError("the archive needs a key that clients must give")
    desk = Desk(Shelf(folder), key, faults or Faults())
    closing = threading.Event()
    with _Server((HOST, port), partial(_Handler, desk, closing)) as server:
        desk.site = f"http://{HOST}:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(POLL_S,), name="archive")
        thread.start()
        try:
            yield Served(desk.site, desk.log, desk.leaked)
        finally:
            closing.set()
            server.shutdown()
            thread.join()
            server.hang_up()


class _Server(ThreadingHTTPServer):
    """Waits for its handlers' threads when it closes, after it has hung up on their clients."""

    daemon_threads = False
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], handler: partial["_Handler"]) -> None:
        self._lock = threading.Lock()
        self._connections: set[socket.socket] = set()
        super().__init__(address, handler)

    def server_bind(self) -> None:
        """Without the look-up of the host's name that HTTPServer does."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = HOST, self.socket.getsockname()[1]

    def process_request(self, request: Request, client_address: tuple[str, int]) -> None:
        assert isinstance(request, socket.socket)
        with self._lock:
            self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Request) -> None:
        assert isinstance(request, socket.socket)
        with self._lock:
            self._connections.discard(request)
            if _is_to_reset(request):  # a shutdown would say a proper end first
                self.close_request(request)
            else:
                super().shutdown_request(request)

    def handle_error(self, request: Request, client_address: tuple[str, int]) -> None:
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):  # the client has gone
            super().handle_error(request, client_address)

    def hang_up(self) -> None:
        with self._lock:
            for connection in self._connections:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    """One connection, for as many requests as the client has."""

    protocol_version = "HTTP/1.1"
    server_version = "birdflow-archive"
    timeout = IDLE_S
    disable_nagle_algorithm = True

    def __init__(
        self,
        desk: Desk,
        closing: threading.Event,
        request: socket.socket,
        address: tuple[str, int],
        server: _Server,
    ) -> None:
        self.desk, self.closing = desk, closing
        super().__init__(request, address, server)

    def do_GET(self) -> None:
        reply, fault = self.desk.answer(self.path, {k.lower(): v for k, v in self.headers.items()})
        kind = fault.kind if fault else None
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", reply.media)
        self.send_header("Content-Length", str(_promised(len(reply.body), kind)))
        self.end_headers()
        self._send(reply, fault)

    def _send(self, reply: Reply, fault: Fault | None) -> None:
        body = reply.body
        match fault.kind if fault else None:
            case "cut" | "reset":
                self.wfile.write(body[: len(body) // 2])
                self.close_connection = True
            case "length-short" | "length-long":
                self.wfile.write(body)
                self.close_connection = True
            case "drip":
                assert fault is not None
                self._drip(body, fault.drip_s / DRIPS)
            case _:
                self.wfile.write(body)
        if fault and fault.kind == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)

    def _drip(self, body: bytes, pause_s: float) -> None:
        piece = max(1, -(-len(body) // DRIPS))
        for start in range(0, len(body), piece):
            if self.closing.wait(pause_s):
                self.close_connection = True
                return
            self.wfile.write(body[start : start + piece])

    def log_message(self, *_: object) -> None:
        """Say nothing: request lines hold the key."""


def _promised(length: int, kind: Kind | None) -> int:
    if kind == "length-short":
        return length // 2
    return length + TOO_LONG if kind == "length-long" else length


def _is_to_reset(request: socket.socket) -> bool:
    try:
        linger = request.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, len(NO_LINGER))
    except OSError:
        return False
    return linger == NO_LINGER
