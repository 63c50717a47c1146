"""The Prefect server of a store: who shares it, when it ends, and what it leaves alone."""

import json
import os
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from flows.server import ServerError, server, users_server

CLIENT = """
import sys
from pathlib import Path
from flows.server import server
with server(Path(sys.argv[1])) as url:
    import prefect
    print(url, flush=True)
    sys.stdin.read()
"""


@dataclass
class Client:
    process: subprocess.Popen[str]
    url: str


@pytest.fixture
def clients(tmp_path: Path) -> Iterator[Callable[[], Client]]:
    """Processes of a user without a Prefect of their own, on one store."""
    started: list[subprocess.Popen[str]] = []
    clean = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")}

    def start() -> Client:
        process = subprocess.Popen(
            [sys.executable, "-c", CLIENT, str(tmp_path / "store")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=clean | {"HOME": str(tmp_path / "home")},
        )
        started.append(process)
        assert process.stdout
        return Client(process, process.stdout.readline().strip())

    (tmp_path / "home").mkdir()
    yield start
    for process in started:
        process.kill()
        process.communicate()


def get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=30) as answer:
        return json.loads(answer.read())


def test_a_server_is_shared_and_ends_after_its_last_client(
    tmp_path: Path,
    clients: Callable[[], Client],
    is_alive: Callable[[int], bool],
    until: Callable[..., None],
) -> None:
    home = tmp_path / "store" / "prefect"
    first = clients()
    pid = json.loads((home / "server.json").read_text())["pid"]
    assert get(f"{first.url}/health") is True

    # On loopback alone.
    address = urlsplit(first.url)
    assert address.hostname == "127.0.0.1"
    assert address.port is not None
    with socket.socket() as other:
        other.bind(("127.0.0.2", address.port))  # would be taken, were it on all addresses

    settings = get(f"{first.url}/admin/settings")
    assert settings["server"]["analytics_enabled"] is False

    second = clients()
    assert second.url == first.url
    assert json.loads((home / "server.json").read_text())["pid"] == pid

    first.process.kill()
    first.process.wait()
    assert get(f"{second.url}/health") is True
    second.process.kill()
    until(lambda: not is_alive(pid))
    assert not (home / "server.json").exists()

    # Nothing of it is in the user's home.
    assert list((tmp_path / "home").iterdir()) == []
    assert (home / "prefect.db").is_file()

    # What a dead server left behind is in nobody's way.
    (home / "server.json").write_text(json.dumps({"url": first.url, "pid": pid}))
    third = clients()
    assert get(f"{third.url}/health") is True


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
            pytest.raises(ServerError, match=f"port {port} can't be had"),
            server(tmp_path / "store", port),
        ):
            pass
