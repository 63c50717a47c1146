"""`birdflow ui`: Prefect server, workers and deployments on loopback, until Ctrl-C."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

import httpx

from birdcore.store.private import open_private
from birdcore.store.store import Store
from flows.environment import ROOT, users_server
from flows.login import login_of
from flows.server import LOGINS, ServerError, home_of, server, ui_of
from flows.terminal import out

WATCH_S = 2.0
MARK_EVERY = 5
"""Beats of the watch from one look for dead runs to the next."""
END_S = 5.0
"""So long a worker may take to end its runs, before it is ended itself."""


def serve_ui(store: Path, port: int, *, set_up_only: bool = False) -> None:
    """Show the runs of a store, and take new ones: server, work pools, deployments, workers.

    Server and workers that die are started again. Raises ServerError where another `birdflow ui`
    has the store or Prefect refuses one of the steps, and StoreError where `store` is one of
    another layout.
    """
    if (store / "store.json").exists():
        Store(store)
    _end_in_good_order()
    with suppress(KeyboardInterrupt):
        if set_up_only:
            with server(store, port) as url:
                from flows.server_setup import set_up  # Prefect reads its settings once

                set_up(out.print)
                out.print(f"set up   {ui_of(url)}")
            return
        with _one_of(store) as lock, server(store, port) as url:
            from flows.server_setup import set_up

            _say_who(lock, url)
            set_up(out.print)
            out.print(f"UI       {ui_of(url)}  (Ctrl-C ends it)")
            if url in LOGINS and not sys.stdout.isatty():
                out.print(f"login    in {home_of(store) / 'login'}")
            _work(home_of(store))


def _end_in_good_order() -> None:
    """On SIGTERM, and where the terminal closes, unless `nohup` has said otherwise."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.default_int_handler)


@contextmanager
def _one_of(store: Path) -> Iterator[int]:
    """The lock of a store's `birdflow ui`, as a file to say in who has it.

    Raises ServerError where another process has it.
    """
    home = home_of(store)
    lock = open_private(home / "ui.lock")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield lock
    except BlockingIOError:
        raise ServerError(f"`birdflow ui` runs on {store} already: {_who(home)}") from None
    finally:
        os.close(lock)


def _say_who(lock: int, url: str) -> None:
    os.ftruncate(lock, 0)
    os.pwrite(lock, json.dumps({"pid": os.getpid(), "url": url}).encode(), 0)


def _who(home: Path) -> str:
    try:
        holder = json.loads((home / "ui.lock").read_text())
        page = ui_of(holder["url"], None if users_server() else login_of(home))
        return f"{page} (process {holder['pid']})"
    except (OSError, ValueError, KeyError, TypeError):
        return "it has just begun"


def _work(folder: Path) -> None:
    """Keep workers running, and runs that lost their process, until the process is to end."""
    from prefect.exceptions import PrefectException

    from flows.crash_recovery import cancel_orphaned_tasks, mark_crashed, resume_crashed
    from flows.server_setup import POOLS

    workers = {pool: _start(pool, folder) for pool in POOLS}
    try:
        for beat in count():
            time.sleep(WATCH_S)
            if beat % MARK_EVERY == 0:
                with suppress(httpx.HTTPError, PrefectException):
                    mark_crashed()
                    resume_crashed()
                    cancel_orphaned_tasks()
            for pool, worker in workers.items():
                if worker.poll() is not None:
                    workers[pool] = _start(pool, folder)
    finally:
        _end(list(workers.values()))


def _start(pool: str, folder: Path) -> subprocess.Popen[bytes]:
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    return subprocess.Popen(
        [sys.executable, "-m", "flows.worker", pool],
        cwd=folder,  # where no file holds settings of Prefect
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
        stdin=subprocess.PIPE,  # when it closes, we are gone, and so is the worker
        start_new_session=True,  # Ctrl-C is for us, who end the workers
    )


def _end(workers: list[subprocess.Popen[bytes]]) -> None:
    for worker in workers:
        worker.terminate()
    for worker in workers:
        try:
            worker.wait(END_S)
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()
