"""ASGI middleware that rejects requests of foreign web pages before Prefect handles them.

Prefect's API requires the login. But any web page in the user's browser can send requests to
loopback too: by DNS rebinding, from its own origin, or in a frame. So host name, origin and framing
are checked here. This module also serves the proof of identity and the login page (flows/login.py).
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
# Both of Prefect's web interfaces read the login from local storage.
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
    """Wrap `app` so that it only gets requests that name this server and come from its own pages.

    Args:
        app: Prefect's ASGI application.
        port: The port that the server listens on.
        login: The login as `user:password`, for the proof of identity.
    """
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
        elif _page(scope) and names == [local]:  # else page and API would have two origins
            await _answer(send, 307, b"", [(b"location", origin + _target(scope))])
        elif scope["path"] == ENTRANCE and _opened_by_other_page(scope):
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


def _opened_by_other_page(scope: Message) -> bool:
    """Whether another page opened this one (Fetch Metadata): it could set a wrong login."""
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
