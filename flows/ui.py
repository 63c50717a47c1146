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
from flows.environment import python_path, users_server
from flows.login import login_of
from flows.server import LOGINS, ServerError, home_of, server, ui_of
from flows.terminal import out

WATCH_S = 2.0
MARK_EVERY = 5
"""Crashed runs are looked for in every fifth round of the watch."""
END_S = 5.0
"""Time for a worker to end its runs before it is killed."""


def serve_ui(store: Path, port: int, *, set_up_only: bool = False) -> None:
    """Run a server, work pools, deployments and workers for a store until Ctrl-C.

    A server or worker that dies is started again.

    Args:
        store: The store's folder on this machine.
        port: Where the page is, on 127.0.0.1.
        set_up_only: Register pools, deployments and automations, and return.

    Raises:
        ServerError: Another `birdflow ui` runs on the store, or Prefect refuses a step.
        StoreError: The store has another layout.
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
        with _locked(store) as lock, server(store, port) as url:
            from flows.server_setup import set_up

            _write_holder(lock, url)
            set_up(out.print)
            out.print(f"UI       {ui_of(url)}  (Ctrl-C ends it)")
            if url in LOGINS and not sys.stdout.isatty():
                out.print(f"login    in {home_of(store) / 'login'}")
            _run_workers(home_of(store))


def _end_in_good_order() -> None:
    """Treat SIGTERM like Ctrl-C, and SIGHUP too unless `nohup` made it ignored."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.default_int_handler)


@contextmanager
def _locked(store: Path) -> Iterator[int]:
    """Hold the lock of a store's `birdflow ui`; yields the descriptor of its file.

    Raises ServerError where another process holds it.
    """
    home = home_of(store)
    lock = open_private(home / "ui.lock")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield lock
    except BlockingIOError:
        raise ServerError(f"`birdflow ui` runs on {store} already: {_holder(home)}") from None
    finally:
        os.close(lock)


def _write_holder(lock: int, url: str) -> None:
    os.ftruncate(lock, 0)
    os.pwrite(lock, json.dumps({"pid": os.getpid(), "url": url}).encode(), 0)


def _holder(home: Path) -> str:
    try:
        holder = json.loads((home / "ui.lock").read_text())
        page = ui_of(holder["url"], None if users_server() else login_of(home))
        return f"{page} (process {holder['pid']})"
    except (OSError, ValueError, KeyError, TypeError):
        return "it has just started"


def _run_workers(folder: Path) -> None:
    """Keep workers running, and restart runs whose process died, until this process is to end."""
    from prefect.exceptions import PrefectException

    from flows.crash_recovery import cancel_orphaned_tasks, mark_crashed, resume_crashed
    from flows.server_setup import POOLS

    workers = {pool: _start_worker(pool, folder) for pool in POOLS}
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
                    workers[pool] = _start_worker(pool, folder)
    finally:
        _stop(list(workers.values()))


def _start_worker(pool: str, folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "flows.worker", pool],
        cwd=folder,  # has no file with settings of Prefect
        env=os.environ | {"PYTHONPATH": python_path()},
        stdin=subprocess.PIPE,  # the worker ends when this closes
        start_new_session=True,  # Ctrl-C reaches this process only, which ends the workers
    )


def _stop(workers: list[subprocess.Popen[bytes]]) -> None:
    for worker in workers:
        worker.terminate()
    for worker in workers:
        try:
            worker.wait(END_S)
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()
