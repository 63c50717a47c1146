"""Who may talk to our own Prefect server: checked before Prefect sees a request or a websocket.

Prefect asks for the login on its API. But a web page in the user's browser reaches loopback too,
under a name of its own that leads there (DNS rebinding), from its own origin, or in a frame.
"""

import hashlib
import re
from base64 import b64encode
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from flows.login import ENTRANCE, HOST, PROOF, USER, proof

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

NONCE = re.compile(rb"[0-9a-f]{32}")
# Where Prefect's pages, both of them, look for the login.
SCRIPT = (
    "const secret = location.hash.slice(1);"
    f"if (secret) localStorage.setItem('prefect-password', btoa('{USER}:' + secret));"
    "location.replace('/');"
)
PAGE = f'<!doctype html><meta charset="utf-8"><title>birdflow</title><script>{SCRIPT}</script>'
DIGEST = b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
PAGE_HEADERS: Headers = [
    (b"content-type", b"text/html; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
    (
        b"content-security-policy",
        f"default-src 'none'; script-src 'sha256-{DIGEST}'".encode(),
    ),
]
UNFRAMED: Headers = [
    (b"x-frame-options", b"DENY"),
    (b"x-content-type-options", b"nosniff"),
]


def gate(app: App, port: int, login: str) -> App:
    """`app` for requests that name this server, and that no foreign page has sent."""
    host, local = f"{HOST}:{port}".encode(), f"localhost:{port}".encode()
    origin = b"http://" + host

    async def checked(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await app(scope, receive, send)
            return
        names = _values(scope, b"host")
        if names not in ([host], [local]):
            await _refuse(scope, send, b"unknown host")
        elif any(value != origin for value in _values(scope, b"origin")):
            await _refuse(scope, send, b"foreign origin")
        elif scope["type"] == "websocket":
            await app(scope, receive, send)
        elif scope["path"] == PROOF and NONCE.fullmatch(nonce := scope["query_string"]):
            await _answer(send, 200, proof(login, port, nonce.decode()).encode())
        elif _page(scope) and names == [local]:  # else the page's API would be of another origin
            await _answer(send, 307, b"", [(b"location", origin + _target(scope))])
        elif scope["path"] == ENTRANCE and _of_other_pages(scope):
            await _refuse(scope, send, b"open this address by itself")
        elif scope["path"] == ENTRANCE:
            await _answer(send, 200, PAGE.encode(), PAGE_HEADERS + UNFRAMED)
        else:
            await app(scope, receive, _unframed(send))

    return checked


def _values(scope: Message, name: bytes) -> list[bytes]:
    return [value for key, value in scope["headers"] if key == name]


def _page(scope: Message) -> bool:
    return scope["method"] == "GET" and not scope["path"].startswith(("/api", PROOF))


def _of_other_pages(scope: Message) -> bool:
    """Whether another page leads here, by what browsers say: it could set a wrong login."""
    return any(
        value not in (b"none", b"same-origin") for value in _values(scope, b"sec-fetch-site")
    )


def _target(scope: Message) -> bytes:
    query = scope["query_string"]
    return bytes(scope["raw_path"]) + (b"?" + query if query else b"")


def _unframed(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", []), *UNFRAMED]
        await send(message)

    return sending


async def _refuse(scope: Message, send: Send, why: bytes) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": why.decode()})
    else:
        await _answer(send, 403, why + b"\n")


async def _answer(send: Send, status: int, body: bytes, headers: Headers | None = None) -> None:
    length = (b"content-length", str(len(body)).encode())
    start = {"type": "http.response.start", "status": status, "headers": [*(headers or []), length]}
    await send(start)
    await send({"type": "http.response.body", "body": body})
