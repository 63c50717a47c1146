"""Who may talk to the server, as raw requests: names, origins, the entrance, the proof."""

import asyncio
import re
from typing import Any

import httpx
import pytest

from flows.gate import gate
from flows.login import PROOF, proof

PORT = 4321
LOGIN = "birdflow:secretsecretsecretsec"
OWN = f"http://127.0.0.1:{PORT}"
FOREIGN = [
    "http://evil.example",
    f"http://evil.example:{PORT}",
    f"http://localhost:{PORT}",
    f"https://127.0.0.1:{PORT}",
    "http://127.0.0.1:8000",
    f"http://127.0.0.1.evil.example:{PORT}",
    "null",
]


async def behind(scope: Any, receive: Any, send: Any) -> None:
    """What the gate lets through says so."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"through"})


def ask(method: str, path: str, **headers: str) -> httpx.Response:
    async def asked() -> httpx.Response:
        transport = httpx.ASGITransport(gate(behind, PORT, LOGIN))
        async with httpx.AsyncClient(transport=transport, base_url=OWN) as client:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            return await client.request(method, path, headers=named)

    return asyncio.run(asked())


def handshake(*headers: tuple[str, str]) -> str:
    """The type of the first message to a websocket."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    raw = [(name.encode(), value.encode()) for name, value in headers]
    scope = {"type": "websocket", "path": "/api/events/in", "headers": raw}
    asyncio.run(gate(behind, PORT, LOGIN)(scope, None, send))  # type: ignore[arg-type]
    return str(sent[0]["type"])


def test_requests_of_clients_and_of_the_own_page_get_through() -> None:
    assert ask("POST", "/api/flows/filter").text == "through"
    assert ask("POST", "/api/flows/filter", origin=OWN).text == "through"
    assert ask("POST", "/api/flows/filter", host=f"localhost:{PORT}").text == "through"
    assert handshake(("host", f"127.0.0.1:{PORT}")) == "websocket.accept"
    assert handshake(("host", f"127.0.0.1:{PORT}"), ("origin", OWN)) == "websocket.accept"


@pytest.mark.parametrize("origin", FOREIGN)
@pytest.mark.parametrize("method", ["POST", "OPTIONS", "DELETE", "GET"])
def test_a_foreign_origin_is_refused(origin: str, method: str) -> None:
    answer = ask(method, "/api/flows/filter", origin=origin)
    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers
    assert handshake(("host", f"127.0.0.1:{PORT}"), ("origin", origin)) == "websocket.close"


@pytest.mark.parametrize(
    "host",
    ["evil.example", f"evil.example:{PORT}", "127.0.0.1", "127.0.0.1:1", f"[::1]:{PORT}", ""],
)
def test_a_foreign_host_is_refused(host: str) -> None:
    for path in ("/", "/api/health", "/enter", f"{PROOF}?{'0' * 32}"):
        assert ask("GET", path, host=host).status_code == 403
    assert handshake(("host", host)) == "websocket.close"


def test_more_or_fewer_hosts_than_one_are_refused() -> None:
    ours = ("host", f"127.0.0.1:{PORT}")
    assert handshake(ours, ("host", "evil.example")) == "websocket.close"
    assert handshake() == "websocket.close"


def test_the_page_has_one_address_and_is_in_no_frame() -> None:
    answer = ask("GET", "/runs?page=2", host=f"localhost:{PORT}")
    assert (answer.status_code, answer.headers["location"]) == (307, f"{OWN}/runs?page=2")
    assert ask("GET", "/").headers["x-frame-options"] == "DENY"


def test_the_entrance_keeps_the_login_to_itself() -> None:
    answer = ask("GET", "/enter")
    assert LOGIN.partition(":")[2] not in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-frame-options"] == "DENY"
    assert ask("GET", "/enter", sec_fetch_site="none").status_code == 200
    for site in ("cross-site", "same-site"):
        assert ask("GET", "/enter", sec_fetch_site=site).status_code == 403


def test_the_proof_is_of_this_port_and_this_question() -> None:
    nonce, other = "0" * 32, "1" * 32
    said = ask("GET", f"{PROOF}?{nonce}").text
    assert re.fullmatch("[0-9a-f]{64}", said)
    assert said == proof(LOGIN, PORT, nonce)
    assert len({said, proof(LOGIN, PORT + 1, nonce), proof(LOGIN, PORT, other)}) == 3
    assert said != proof(LOGIN + "x", PORT, nonce)
    for question in ("", "0" * 31, "G" * 32, f"{nonce}&x"):
        assert ask("GET", f"{PROOF}?{question}").text == "through"
