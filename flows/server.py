"""The Prefect server that a run reports to.

Where the user has a server (PREFECT_API_URL, or a profile that names it), it is used. Otherwise
birdflow starts its own on loopback, with its database inside the store, and leaves the user's
Prefect home alone. Runs on one store share that server: each holds a shared lock while it needs it,
and the server ends when no process holds the lock, however the runs ended. A server that dies
earlier is started again. Access control: flows/login.py, flows/gate.py.
"""

import fcntl
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager
from pathlib import Path
from socket import gethostname

from birdcore.store.locks import is_locked
from birdcore.store.private import NotPrivateError, open_private, private_folder
from flows.environment import (
    keep_loopback_from_proxies,
    server_environment,
    use_own_server,
    use_users_server,
    users_server,
)
from flows.login import HOST, entrance, listen, login_of, proves_itself
from flows.terminal import err

HOME = "prefect"
START_S = 180.0
"""Time for a server to start on a busy machine; one that exits is noticed at once."""
SLOW_S = 2.0
"""After so long a message says what is waited for."""
WATCH_S = 2.0
LOG_LINES = 5
LISTENING: dict[int, int] = {}
"""Descriptors of the listening sockets of servers that this process started, by port. They stay
open as long as it lives: no other program can take the port of a server that died, and requests
wait for the next server."""
LOGINS: dict[str, str] = {}
"""Logins of birdflow's own servers, by the address of their API."""


class ServerError(RuntimeError):
    """The server can't be used; the message says why, and where its log is."""


@contextmanager
def server(store: Path, port: int | None = None) -> Iterator[str]:
    """A server that is up until this process ends.

    Must be entered before Prefect is imported, which reads its settings once.

    Args:
        store: The store's folder on this machine.
        port: Where birdflow's own server listens; any free port by default.

    Yields:
        The address of the server's API.

    Raises:
        ServerError: birdflow's own server does not start.
    """
    keep_loopback_from_proxies()
    if url := users_server():
        use_users_server()
        yield url
        return
    home = home_of(store)
    # Never closed: Prefect sends its last lines while this process exits, and needs the server.
    fcntl.flock(open_private(home / "in-use.lock"), fcntl.LOCK_SH)
    with _starting(home):
        login = login_of(home)
        at = _running(home, login) or _start(home, login, port or 0)
    url = f"{_origin(at)}/api"
    LOGINS[url] = login
    use_own_server(home, url, login)
    with chdir(home):  # not the user's folder: Prefect reads .env and prefect.toml there
        import prefect  # noqa: F401
    ended = threading.Event()
    threading.Thread(target=_watch, args=(home, login, at, ended), daemon=True).start()
    try:
        yield url
    finally:
        ended.set()
        del os.environ["PREFECT_API_URL"]  # else the next server would look like the user's


def ui_of(api_url: str, login: str | None = None) -> str:
    """The address of the web page; on a terminal, of birdflow's own server, with the login.

    Other output may be kept where other people read it, so it contains no login.
    """
    page = api_url.removesuffix("/api")
    login = login or LOGINS.get(api_url)
    return entrance(page, login) if login and sys.stdout.isatty() else page


def home_of(store: Path) -> Path:
    """The folder of a store's own server; raises ServerError where other accounts can access it."""
    try:
        return private_folder(store.absolute() / HOME)
    except NotPrivateError as error:
        raise ServerError(
            f"{error}: name another --store, or a Prefect server of your own (PREFECT_API_URL)"
        ) from None


def _origin(port: int | str) -> str:
    return f"http://{HOST}:{port}"


@contextmanager
def _starting(home: Path) -> Iterator[None]:
    """Hold the lock under which one process at a time looks for the server or starts it."""
    with open(open_private(home / "start.lock")) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _lives(home: Path) -> bool:
    """Whether a server's process holds its lock."""
    return is_locked(home / "server.lock")


def _running(home: Path, login: str) -> int | None:
    """Wait for the server that another process started, and return its port.

    None where there is none, or it ends: one without clients may still be on its way out.
    """
    port = 0
    log = home / "server.log"

    def answers() -> bool:
        nonlocal port
        try:
            known = json.loads((home / "server.json").read_text())
            host, port = str(known["host"]), int(known["port"])
        except (OSError, ValueError, KeyError, TypeError):
            return False
        if host != gethostname():
            raise ServerError(
                f"the Prefect server of this store runs on {host}: run the command there, or "
                "name another --store, or a Prefect server for both (PREFECT_API_URL)"
            )
        return proves_itself(login, port)

    if _wait(
        f"waiting for the Prefect server of this store; its log: {log}",
        answers,
        lambda: _lives(home),
    ):
        return port
    if not _lives(home):
        return None
    raise ServerError(
        f"the Prefect server of this store does not answer: see the end of {log}, and "
        f"the process that {home / 'server.json'} names"
    )


def _start(home: Path, login: str, port: int) -> int:
    """Start the server, wait until it answers, and return its port."""
    try:
        port = _listen(port)
    except OSError as error:
        raise ServerError(
            f"port {port} can't be used ({error.strerror}): name another with --port"
        ) from None
    log = home / "server.log"
    with open(open_private(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)) as output:
        before = os.fstat(output.fileno()).st_size
        process = subprocess.Popen(
            [sys.executable, "-m", "flows.serving", str(port), str(LISTENING[port])],
            cwd=home,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=server_environment(home, _origin(port), login),
            pass_fds=[LISTENING[port]],
            start_new_session=True,  # Ctrl-C ends the run; the server ends when unused
        )
    threading.Thread(target=process.wait, daemon=True).start()  # reaps the process
    if _wait(
        f"starting the Prefect server; its log: {log}",
        lambda: proves_itself(login, port, timeout=1.0),
        lambda: process.poll() is None,
    ):
        return port
    why = "took too long" if process.poll() is None else "ended"
    process.kill()
    raise ServerError(f"the Prefect server {why} before it was up.\n{_end_of(log, before)}")


def _wait(what: str, answers: Callable[[], bool], lives: Callable[[], bool]) -> bool:
    """Whether a server answers before it ends and START_S are over; says `what` after SLOW_S."""
    began, announced = time.monotonic(), False
    while (took := time.monotonic() - began) < START_S and lives():
        if answers():
            return True
        if took > SLOW_S and not announced:
            announced = True
            err.print(what)
        time.sleep(0.2)
    return False


def _listen(port: int) -> int:
    """Listen on this port, or on any free one where it is 0, and return its number."""
    if port not in LISTENING:
        listening = listen(port)
        port = listening.getsockname()[1]
        LISTENING[port] = listening.detach()
    return port


def _end_of(log: Path, before: int) -> str:
    """The last lines that were written to the log after its first `before` bytes."""
    with log.open("rb") as file:
        file.seek(before)
        lines = file.read()[-20_000:].decode(errors="replace").splitlines()
    last = [line for line in lines if line.strip()][-LOG_LINES:]
    return "\n".join([f"{log} ends with:", *last]) if last else f"{log} says nothing"


def _watch(home: Path, login: str, port: int, ended: threading.Event) -> None:
    """Start the server again, on the same port, when it dies; clients retry in the meantime."""
    failure, told = "", ""
    while not ended.wait(WATCH_S):
        if _lives(home):
            continue
        try:
            with _starting(home):
                if not _lives(home):
                    _start(home, login, port)
        except (ServerError, OSError) as error:
            # Report only what fails twice: another client may hold the port and start the server.
            if str(error) == failure != told and not ended.is_set():
                told = failure
                err.print(f"note: {told}\nbirdflow tries again")
            failure = str(error)
