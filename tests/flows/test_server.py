"""The Prefect server of a store: who shares it, when it ends, and what it leaves alone."""

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from birdcore.store.private import private_folder
from flows.environment import users_server
from flows.login import listen, proof, proves_itself
from flows.server import ServerError, server

CLIENT = """
import sys
from pathlib import Path
from flows.server import server
with server(Path(sys.argv[1])) as url:
    from prefect.client.orchestration import get_client
    with get_client(sync_client=True) as api:
        api.read_flow_runs()
    print(url, flush=True)
    sys.stdin.read()
"""


@dataclass
class Client:
    process: subprocess.Popen[str]
    url: str
    store: Path

    @property
    def home(self) -> Path:
        return self.store / "prefect"

    @property
    def pid(self) -> int:
        """Of the server."""
        return int(json.loads((self.home / "server.json").read_text())["pid"])

    @property
    def login(self) -> str:
        return (self.home / "login").read_text().strip()

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


HOSTILE = {
    "http_proxy": "http://127.0.0.1:9",
    "HTTPS_PROXY": "http://127.0.0.1:9",
    "ALL_PROXY": "nonsense://127.0.0.1:9",
    "no_proxy": "intranet.example",
    "PREFECT_SERVER_API_BASE_PATH": "/elsewhere",
    "PREFECT_SERVER_DATABASE_CONNECTION_URL": "postgresql+asyncpg://nowhere/none",
    "PREFECT_SERVER_UI_ENABLED": "false",
    "PREFECT_API_KEY": "of another server",
    "PREFECT_API_AUTH_STRING": "of:another",
    "PREFECT_CLIENT_CUSTOM_HEADERS": '{"Host": "elsewhere.example"}',
    "PREFECT_PROFILE": "gone",
}
"""An environment in which nothing of our own would work, were it heeded."""
DOTENV = "PREFECT_API_KEY=of-another\nPREFECT_SERVER_UI_ENABLED=false\nPREFECT_API_URL=http://no/\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="module")
def start(folder: Path) -> Iterator[Callable[..., Client]]:
    """Processes of a user without a Prefect of their own."""
    (folder / "home").mkdir()
    (folder / "work").mkdir()
    (folder / "work" / ".env").write_text(DOTENV)
    (folder / "work" / "prefect.toml").write_text('[api]\nrequest_timeout = "nonsense"\n')
    started: list[subprocess.Popen[str]] = []
    clean = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")}

    def start(store: Path) -> Client:
        process = subprocess.Popen(
            [sys.executable, "-c", CLIENT, str(store)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=folder / "work",
            env=clean | HOSTILE | {"HOME": str(folder / "home")},
        )
        started.append(process)
        assert process.stdout
        return Client(process, process.stdout.readline().strip(), store)

    yield start
    for process in started:
        process.kill()
        process.communicate()
    assert list((folder / "home").iterdir()) == []  # nothing of it is in the user's home


@pytest.fixture(scope="module")
def client(start: Callable[..., Client], folder: Path) -> Client:
    """Of a server that comes up though a dead one left a file behind."""
    store = folder / "a store? of #1, 100%25 für uns"
    home = private_folder(store / "prefect")
    left = json.dumps({"host": socket.gethostname(), "port": 1, "pid": 1})
    (home / "server.json").write_text(left)
    client = start(store)
    assert (home / "server.json").read_text() != left
    return client


def get(url: str, login: str = "", **headers: str) -> Any:
    given = {"Authorization": f"Basic {b64encode(login.encode()).decode()}"} if login else {}
    asked = urllib.request.Request(url, headers=given | headers)
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(asked, timeout=60) as a:
        return json.loads(a.read())


def test_it_comes_up_in_any_environment_and_is_on_loopback_alone(client: Client) -> None:
    settings = get(f"{client.url}/admin/settings", client.login)
    assert settings["server"]["analytics_enabled"] is False
    assert settings["server"]["ui"]["enabled"] is True
    address = urlsplit(client.url)
    assert address.hostname == "127.0.0.1"
    assert address.port is not None
    with socket.socket() as other:
        other.bind(("127.0.0.2", address.port))  # would be taken, were it on all addresses
    assert (client.home / "prefect.db").is_file()


def test_nothing_is_told_without_the_login(client: Client) -> None:
    for login in ("", "birdflow:", "birdflow:wrong", client.login.upper(), f"{client.login} "):
        for path in ("admin/settings", "admin/version", "csrf-token?client=x"):
            with pytest.raises(HTTPError, match="401"):
                get(f"{client.url}/{path}", login)
    assert get(f"{client.url}/health") is True
    for name, value in (("Host", "evil.example"), ("Origin", "http://evil.example")):
        with pytest.raises(HTTPError, match="403"):
            get(f"{client.url}/admin/version", client.login, **{name: value})


@pytest.mark.parametrize("path", ["events/in", "events/out", "work_pools/x/workers/connect"])
def test_no_websocket_opens_without_the_login(client: Client, path: str) -> None:
    address = f"{client.url.replace('http', 'ws')}/{path}"
    with pytest.raises(InvalidStatus, match="403"):
        connect(address, origin="http://evil.example", proxy=None)  # type: ignore[arg-type]
    for words in ({"type": "auth"}, {"type": "auth", "token": "birdflow:wrong"}, {"type": "event"}):
        with connect(address, subprotocols=["prefect"], proxy=None) as socket:  # type: ignore[list-item]
            socket.send(json.dumps(words))
            with pytest.raises(ConnectionClosed):
                socket.recv(timeout=60)


def test_the_login_is_in_one_file_and_in_no_command(client: Client) -> None:
    secret = client.login.partition(":")[2].encode()
    assert len(secret) >= 22
    holders = [
        path for path in client.store.rglob("*") if path.is_file() and secret in path.read_bytes()
    ]
    assert holders == [client.home / "login"]
    assert client.home.stat().st_mode & 0o777 == 0o700
    shared = [p.name for p in client.home.iterdir() if p.is_file() and p.stat().st_mode & 0o077]
    assert shared == []
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            assert secret not in command.read_bytes()


def test_whoever_listens_on_the_port_after_a_crash_learns_no_login(tmp_path: Path) -> None:
    heard: list[bytes] = []
    relayed = proof("birdflow:of another store, or of another port", 1, "0" * 32)
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def listen() -> None:
            with suppress(OSError):  # the test is over
                while True:
                    peer, _ = listening.accept()
                    with peer:
                        heard.append(peer.recv(65536))
                        peer.sendall(f"HTTP/1.1 200 OK\r\n\r\n{relayed}".encode())

        threading.Thread(target=listen, daemon=True).start()
        port = listening.getsockname()[1]
        assert not proves_itself("birdflow:secretsecretsecretsec", port)
        listening.shutdown(socket.SHUT_RDWR)
    assert heard
    assert all(b"secret" not in words and b"uthorization" not in words for words in heard)


def test_a_server_that_is_killed_is_started_again_on_its_port(
    client: Client, until: Callable[..., None], is_alive: Callable[[int], bool]
) -> None:
    before = client.pid
    os.kill(before, signal.SIGKILL)
    until(lambda: not is_alive(before))
    with pytest.raises(OSError, match="in use"):  # nobody else gets the port meanwhile
        listen(urlsplit(client.url).port or 0)
    assert get(f"{client.url}/health") is True  # a client waits for it, and no request is lost
    assert client.pid != before


def test_a_server_is_shared_and_ends_after_its_last_client(
    client: Client,
    start: Callable[..., Client],
    is_alive: Callable[[int], bool],
    until: Callable[..., None],
) -> None:
    pid = client.pid
    second = start(client.store)
    assert second.url == client.url
    assert second.pid == pid
    client.end()
    assert get(f"{second.url}/health") is True
    second.end()
    until(lambda: not is_alive(pid))
    assert not (client.home / "server.json").exists()


@pytest.mark.usefixtures("no_server")
def test_a_server_of_another_machine_is_named(tmp_path: Path) -> None:
    home = private_folder(tmp_path / "store" / "prefect")
    (home / "server.json").write_text(json.dumps({"host": "elsewhere", "port": 1, "pid": 2}))
    with (home / "server.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(ServerError, match="runs on elsewhere"), server(home.parent):
            pass


@pytest.mark.usefixtures("no_server")
def test_a_server_that_does_not_start_says_why_at_once(tmp_path: Path) -> None:
    home = private_folder(tmp_path / "store" / "prefect")
    (home / "prefect.db").write_bytes(b"no database" * 100)
    with pytest.raises(ServerError, match="file is not a database"), server(home.parent):
        pass


@pytest.mark.usefixtures("no_server")
def test_another_server_is_started_after_one_that_is_ending(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = private_folder(tmp_path / "store" / "prefect")
    ending = (home / "server.lock").open("w")
    fcntl.flock(ending, fcntl.LOCK_EX)

    def start(*_: object) -> int:
        assert ending.closed
        raise ServerError("it is started")  # which takes seconds

    monkeypatch.setattr("flows.server._start", start)
    threading.Timer(0.5, ending.close).start()
    with pytest.raises(ServerError, match="it is started"), server(home.parent):
        pass


def test_a_users_server_is_used_and_nothing_is_started(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://prefect.example:4200/api")
    home = os.environ["PREFECT_HOME"]
    with server(tmp_path / "store") as url:
        assert url == "http://prefect.example:4200/api"
        assert os.environ["PREFECT_HOME"] == home
    assert os.environ["PREFECT_API_URL"] == url
    assert list(tmp_path.iterdir()) == []


PROFILES = """
active = "work"
[profiles.work]
PREFECT_API_URL = "http://work.example/api"
[profiles.home]
PREFECT_API_URL = "http://home.example/api"
[profiles.ephemeral]
PREFECT_SERVER_ALLOW_EPHEMERAL_MODE = "true"
"""


@pytest.fixture
def no_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A user without settings; the folder is their Prefect home."""
    for name in ("PREFECT_API_URL", "PREFECT_PROFILE", "PREFECT_PROFILES_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    return tmp_path


def test_a_users_server_is_that_of_the_active_profile(
    no_server: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert users_server() is None
    (no_server / "profiles.toml").write_text(PROFILES)
    assert users_server() == "http://work.example/api"
    monkeypatch.setenv("PREFECT_PROFILE", "home")
    assert users_server() == "http://home.example/api"
    monkeypatch.setenv("PREFECT_PROFILE", "ephemeral")
    assert users_server() is None
    monkeypatch.setenv("PREFECT_API_URL", "http://environment.example/api")
    assert users_server() == "http://environment.example/api"


@pytest.mark.parametrize("text", ["not = [toml", 'active = "gone"\n', "profiles = 3\n", "\xff"])
def test_profiles_that_make_no_sense_name_no_server(no_server: Path, text: str) -> None:
    (no_server / "profiles.toml").write_bytes(text.encode("latin-1"))
    assert users_server() is None


@pytest.mark.usefixtures("no_server")
def test_a_port_that_is_taken_is_refused(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with (
            pytest.raises(ServerError, match=f"port {port} can't be used"),
            server(tmp_path / "store", port),
        ):
            pass
