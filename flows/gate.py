"""ASGI middleware that rejects requests of foreign web pages before Prefect handles them.

Prefect's API requires the login. But any web page in the user's browser can send requests to
loopback too: by DNS rebinding, from its own origin, or in a frame. So host name, origin and framing
are checked here. This module also serves the proof of identity and the login page (flows/login.py).
"""

import hashlib
import re
from base64 import b64encode

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from flows.login import ENTRANCE, HOST, PROOF, USER, proof

NONCE = re.compile(rb"[0-9a-f]{32}")
# Both of Prefect's web interfaces read the login from local storage.
SCRIPT = (
    "const secret = location.hash.slice(1);"
    f"if (secret) localStorage.setItem('prefect-password', btoa('{USER}:' + secret));"
    "location.replace('/');"
)
PAGE = f'<!doctype html><meta charset="utf-8"><title>birdflow</title><script>{SCRIPT}</script>'
DIGEST = b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
UNFRAMED = {"x-frame-options": "DENY", "x-content-type-options": "nosniff"}
PAGE_HEADERS = UNFRAMED | {
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "content-security-policy": f"default-src 'none'; script-src 'sha256-{DIGEST}'",
}


def gate(app: ASGIApp, port: int, login: str) -> ASGIApp:
    """Wrap `app` so that it only gets requests that name this server and come from its own pages.

    Args:
        app: Prefect's ASGI application.
        port: The port that the server listens on.
        login: The login as `user:password`, for the proof of identity.
    """
    host, local = f"{HOST}:{port}", f"localhost:{port}"
    origin = f"http://{host}"

    def answer(scope: Scope) -> ASGIApp | None:
        """What is answered here; None for what Prefect answers."""
        headers, path = Headers(scope=scope), scope["path"]
        names = headers.getlist("host")
        if names not in ([host], [local]):
            return _refusal(scope, "unknown host")
        if any(value != origin for value in headers.getlist("origin")):
            return _refusal(scope, "foreign origin")
        if scope["type"] == "websocket":
            return None
        if path == PROOF and NONCE.fullmatch(nonce := scope["query_string"]):
            return PlainTextResponse(proof(login, port, nonce.decode()))
        is_page = scope["method"] == "GET" and not path.startswith(("/api", PROOF))
        if is_page and names == [local]:  # else page and API would have two origins
            query = b"?" + scope["query_string"] if scope["query_string"] else b""
            return RedirectResponse(origin + (scope["raw_path"] + query).decode("latin-1"), 307)
        if path != ENTRANCE:
            return None
        # Fetch Metadata: another page that opens this one could set a wrong login.
        if not {"none", "same-origin"}.issuperset(headers.getlist("sec-fetch-site")):
            return _refusal(scope, "open this address by itself")
        return HTMLResponse(PAGE, headers=PAGE_HEADERS)

    async def checked(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await app(scope, receive, send)
        elif answered := answer(scope):
            await answered(scope, receive, send)
        else:
            await app(scope, receive, _unframed(send))

    return checked


def _unframed(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message.setdefault("headers", [])
            MutableHeaders(scope=message).update(UNFRAMED)
        await send(message)

    return sending


def _refusal(scope: Scope, why: str) -> ASGIApp:
    if scope["type"] == "websocket":
        return WebSocketClose(1008, why)
    return PlainTextResponse(f"{why}\n", 403)
