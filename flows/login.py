"""The login of a store's own Prefect server, and how the server proves its identity.

The login is random, one per store, in a file that only this account can read. Clients send it with
each request. Before the first request they demand from the process that listens on the port a proof
that it knows the login, because another account may listen there after a crash.
"""

import hashlib
import hmac
import http.client
import os
import re
import secrets
import socket
from contextlib import closing, suppress
from pathlib import Path

from birdcore.store.private import open_private, write_private

HOST = "127.0.0.1"
USER = "birdflow"
PROOF = "/birdflow/proof"
ENTRANCE = "/enter"
FORM = re.compile(rf"{USER}:[A-Za-z0-9_-]{{22,}}")


def login_of(home: Path) -> str:
    """The login as `user:password`; created where there is none. Call it under a lock.

    Args:
        home: The server's folder.

    Raises:
        ValueError: The file holds something else.
    """
    path = home / "login"
    with suppress(FileNotFoundError), open(open_private(path, os.O_RDONLY)) as file:
        login = file.read().strip()
        if not FORM.fullmatch(login):
            raise ValueError(f"{path} holds no login: remove it while nothing runs on the store")
        return login
    login = f"{USER}:{secrets.token_urlsafe(16)}"
    write_private(path, f"{login}\n")
    return login


def entrance(origin: str, login: str) -> str:
    """The address that logs a browser in; the secret is in the fragment, which is never sent."""
    return f"{origin}{ENTRANCE}#{login.partition(':')[2]}"


def proof(login: str, port: int, nonce: str) -> str:
    """An HMAC-SHA256 of port and nonce, keyed by the login, in hexadecimal."""
    # Port and nonce, so that a proof is of no use at another port or a second time.
    words = f"birdflow's server on port {port}, asked {nonce}"
    return hmac.new(login.encode(), words.encode(), hashlib.sha256).hexdigest()


def proves_itself(login: str, port: int, timeout: float = 2.0) -> bool:
    """Whether the process that listens on this port of loopback knows the login."""
    nonce = secrets.token_hex(16)
    with closing(http.client.HTTPConnection(HOST, port, timeout=timeout)) as connection:
        try:
            connection.request("GET", f"{PROOF}?{nonce}")
            answer = connection.getresponse().read(64)
        except (OSError, http.client.HTTPException):
            return False
    return hmac.compare_digest(answer, proof(login, port, nonce).encode())


def listen(port: int = 0) -> socket.socket:
    """A socket that listens on loopback only; port 0 takes any free one."""
    return socket.create_server((HOST, port), backlog=1024)
