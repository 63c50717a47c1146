"""An archive on loopback: threads, all of which end with the `with` block."""

import socket
import socketserver
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TypeAlias

from birdcore.demo.archive.api import ArchiveApi, Reply
from birdcore.demo.archive.records import RecordIndex

Request: TypeAlias = socket.socket | tuple[bytes, socket.socket]  # as socketserver has it

KEY = "loopback"
HOST = "127.0.0.1"
POLL_S = 0.02
IDLE_S = 30.0
NOTICE = "It serves tests and the demo, on this machine only, and is no product feature."


@dataclass(frozen=True)
class Served:
    """A running archive; `log` has method, path without the key, and status of each request."""

    url: str
    log: list[tuple[str, str, int]]


@contextmanager
def serve(folder: Path, port: int = 0, key: str = KEY) -> Iterator[Served]:
    """Serve a folder on loopback.

    Args:
        folder: Has `recordings.json` and `audio/`.
        port: 0 takes a free one.
        key: What clients must give to search.

    Raises:
        ValueError: The key is empty, or the folder holds no readable `recordings.json`.
        OSError: The port is taken.
    """
    if not key:
        raise ValueError("the archive needs a key that clients must give")
    api = ArchiveApi(RecordIndex(folder), key)
    with serve_api(api, port) as url:
        yield Served(url, api.log)


@contextmanager
def serve_api(
    api: ArchiveApi, port: int = 0, handler: "type[Handler] | None" = None
) -> Iterator[str]:
    """Serve an API on loopback and yield its address; `handler` sends its replies."""
    closing = threading.Event()
    with _Server((HOST, port), partial(handler or Handler, api, closing)) as server:
        api.site = f"http://{HOST}:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(POLL_S,), name="archive")
        thread.start()
        try:
            yield api.site
        finally:
            closing.set()
            server.shutdown()
            thread.join()
            server.hang_up()


def _print(text: str) -> None:
    print(text, flush=True)


def serve_archive(
    folder: Path, port: int = 0, key: str = KEY, say: Callable[[str], None] = _print
) -> None:
    """Serve the folder and say where, until Ctrl-C.

    Raises:
        ValueError: The folder has no readable `recordings.json`, or the port can't be used.
    """
    try:
        with serve(folder, port, key) as archive:
            say(f"An archive with Xeno-canto's API v3 at {archive.url}")
            if key == KEY:  # any other key is known to whoever set it
                say(f"Its key: XENO_CANTO_KEY={KEY}")
            say(NOTICE)
            threading.Event().wait()
    except KeyboardInterrupt:
        return
    except (OSError, OverflowError) as error:
        raise ValueError(f"{HOST}:{port} can't be served: {error}") from None


class _Server(ThreadingHTTPServer):
    """Waits for its handlers' threads when it closes, after it has closed their connections."""

    daemon_threads = False
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], handler: partial["Handler"]) -> None:
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
            super().shutdown_request(request)

    def handle_error(self, request: Request, client_address: tuple[str, int]) -> None:
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):  # the client has gone
            super().handle_error(request, client_address)

    def hang_up(self) -> None:
        """Close the connections that clients left open."""
        with self._lock:
            for connection in self._connections:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)


class Handler(BaseHTTPRequestHandler):
    """One connection, for as many requests as the client has."""

    protocol_version = "HTTP/1.1"
    server_version = "birdflow-archive"
    timeout = IDLE_S
    disable_nagle_algorithm = True

    def __init__(
        self,
        api: ArchiveApi,
        closing: threading.Event,
        request: socket.socket,
        address: tuple[str, int],
        server: _Server,
    ) -> None:
        self.api, self.closing = api, closing
        super().__init__(request, address, server)

    def do_GET(self) -> None:
        reply = self.api.answer(self.path, {k.lower(): v for k, v in self.headers.items()})
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", reply.media)
        length = len(reply.body) if reply.length is None else reply.length
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.send_body(reply)

    def send_body(self, reply: Reply) -> None:
        self.wfile.write(reply.body)

    def log_message(self, *_: object) -> None:
        """Print nothing: request lines hold the key."""
