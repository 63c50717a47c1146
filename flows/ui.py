"""`birdflow ui`: Prefect server, workers and deployments on loopback, until Ctrl-C."""

import signal
import subprocess
import sys
import time
from contextlib import suppress
from itertools import count
from pathlib import Path

import httpx
from rich.console import Console

from birdcore.store import Store
from flows.server import ServerError, revive, server, ui_of, users_server

WATCH_S = 2.0
MARK_EVERY = 5
"""Beats of the watch from one look for dead runs to the next."""
END_S = 5.0
"""So long a worker may take to end its runs, before it is ended itself."""


def serve_ui(store: Path, port: int, *, set_up_only: bool = False) -> None:
    """Show the runs of a store, and take new ones: server, work pools, deployments, workers.

    Server and workers that die are started again. Raises ServerError where Prefect refuses one
    of the steps, and StoreError where `store` is one of another layout.
    """
    if (store / "store.json").exists():
        Store(store)
    console = Console(highlight=False, soft_wrap=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    theirs = users_server()
    with suppress(KeyboardInterrupt), server(store, port) as url:
        from flows.dead import go_on, mark_dead  # Prefect reads its settings once
        from flows.setup import POOLS, set_up

        set_up()
        if set_up_only:
            console.print(f"set up   {ui_of(url)}")
            return
        workers = {pool: _start(pool) for pool in POOLS}
        console.print(f"UI       {ui_of(url)}  (Ctrl-C ends it)")
        try:
            for beat in count():
                time.sleep(WATCH_S)
                if not theirs:
                    with suppress(ServerError):  # said in its log, and tried again
                        revive(store, url)
                if beat % MARK_EVERY == 0:
                    with suppress(httpx.HTTPError):
                        mark_dead()
                        go_on()
                for pool, worker in workers.items():
                    if worker.poll() is not None:
                        workers[pool] = _start(pool)
        finally:
            _end(list(workers.values()))


def _start(pool: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "flows.worker", pool],
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
