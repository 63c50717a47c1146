"""The Prefect server that a run reports to.

Where the user has one (PREFECT_API_URL, or a profile that names it) it is used as it is. Else
birdflow runs its own on loopback, with its database inside the store, and leaves the user's
Prefect home alone. Runs on one store share that server: each holds a shared lock while it needs
it, and the server ends by itself when nobody does, however they ended.
"""

import fcntl
import json
import os
import socket
import subprocess
import sys
import threading
import time
import tomllib
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

START_S = 600.0
WATCH_S = 2.0
OWN_SETTINGS = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "PREFECT_CLI_PROMPT": "false",
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    # A run that is not heard of has crashed (flows/setup.py).
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
    # A server that was killed knows who has the slots of its limits.
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": (
        "prefect.server.concurrency.lease_storage.filesystem"
    ),
    # What is older goes: events after a week, heartbeats after a day, runs after 90 days.
    "PREFECT_SERVER_EVENTS_RETENTION_PERIOD": "P7D",
    "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
    "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": "7776000",
    "PREFECT_SERVER_SERVICES_DB_VACUUM_EVENT_RETENTION_OVERRIDES": (
        '{"prefect.flow-run.heartbeat": 86400}'
    ),
    # Bursts of tasks on SQLite: half the lag of the defaults.
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_READ_BATCH_SIZE": "100",
}


class ServerError(RuntimeError):
    """The server did not start; the message says where its log is."""


def users_server() -> str | None:
    """The API address that the user's environment or active profile names."""
    if url := os.environ.get("PREFECT_API_URL"):
        return url
    home = Path(os.environ.get("PREFECT_HOME", "~/.prefect")).expanduser()
    path = Path(os.environ.get("PREFECT_PROFILES_PATH", home / "profiles.toml")).expanduser()
    try:
        profiles = tomllib.loads(path.read_text(encoding="utf-8"))
        active = os.environ.get("PREFECT_PROFILE", profiles.get("active"))
        url = profiles.get("profiles", {}).get(active, {}).get("PREFECT_API_URL")
    except (OSError, ValueError, AttributeError):
        return None
    return str(url) if url else None


@contextmanager
def server(store: Path, port: int | None = None) -> Iterator[str]:
    """The address of the server's API, up and healthy until this process ends.

    Must be entered before Prefect is imported, which reads its settings once.
    Raises ServerError where our own server does not come up.
    """
    for name, value in OWN_SETTINGS.items():
        os.environ.setdefault(name, value)
    if url := users_server():
        yield url
        return
    home = store.absolute() / "prefect"
    home.mkdir(parents=True, exist_ok=True)
    os.environ["PREFECT_HOME"] = str(home)
    os.environ["PREFECT_PROFILES_PATH"] = str(home / "profiles.toml")
    # Never closed: Prefect sends its last lines while this process exits, and needs the server.
    clients = os.open(home / "clients.lock", os.O_RDWR | os.O_CREAT, 0o644)
    fcntl.flock(clients, fcntl.LOCK_SH)
    with (home / "start.lock").open("a") as starting:
        fcntl.flock(starting, fcntl.LOCK_EX)
        url = _running(home) or _start(home, port or _free_port())
    os.environ["PREFECT_API_URL"] = url
    try:
        yield url
    finally:
        del os.environ["PREFECT_API_URL"]  # else the next server would look like the user's


def revive(store: Path, url: str) -> None:
    """Start our own server again, on the same port, where it has died.

    Raises ServerError where it does not come up.
    """
    home = store.absolute() / "prefect"
    with (home / "start.lock").open("a") as starting:
        fcntl.flock(starting, fcntl.LOCK_EX)
        if not _healthy(url):
            _start(home, int(url.rsplit(":", 1)[1].removesuffix("/api")))


def ui_of(api_url: str) -> str:
    return api_url.removesuffix("/api")


def _running(home: Path) -> str | None:
    try:
        url = str(json.loads((home / "server.json").read_text())["url"])
    except (OSError, ValueError, KeyError):
        return None
    return url if _healthy(url) else None


def _start(home: Path, port: int) -> str:
    _refuse_taken(port)
    url = f"http://127.0.0.1:{port}/api"
    log = home / "server.log"
    with log.open("a") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "flows.server", str(home), str(port)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=os.environ | {"PREFECT_UI_API_URL": url, "PREFECT_API_URL": ""},
            start_new_session=True,  # Ctrl-C ends the run; the server goes when it is not needed
        )
    threading.Thread(target=process.wait, daemon=True).start()  # may outlive it: leave no zombie
    until = time.monotonic() + START_S
    while time.monotonic() < until and process.poll() is None:
        if _healthy(url):
            (home / "server.json").write_text(json.dumps({"url": url, "pid": process.pid}))
            return url
        time.sleep(0.2)
    process.kill()
    raise ServerError(f"the Prefect server on {url} did not start: see the end of {log}")


def _healthy(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _refuse_taken(port: int) -> None:
    with closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise ServerError(
                f"port {port} can't be had ({error.strerror}): name another with --port"
            ) from None


def _serve(home: Path, port: int) -> None:
    import uvicorn

    config = uvicorn.Config(
        "prefect.server.api.server:create_app",
        factory=True,
        host="127.0.0.1",
        port=port,
        log_level="warning",
        timeout_graceful_shutdown=3,
    )
    serving = uvicorn.Server(config)

    def end_when_alone() -> None:
        with (home / "clients.lock").open("a") as clients:
            while True:
                time.sleep(WATCH_S)
                try:
                    fcntl.flock(clients, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                (home / "server.json").unlink(missing_ok=True)
                serving.should_exit = True
                return

    threading.Thread(target=end_when_alone, daemon=True).start()
    serving.run()


if __name__ == "__main__":
    _serve(Path(sys.argv[1]), int(sys.argv[2]))
