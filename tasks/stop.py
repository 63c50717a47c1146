"""Ending what runs: when a person presses Ctrl-C, a worker cancels the flow, or a worker is gone.

Prefect waits for its task threads, and a thread can't be ended from outside: steps check at
every progress whether they should go on, and training processes are killed. Nothing is lost by it:
what is published is whole, and a training has its checkpoint.
"""

import multiprocessing
import os
import select
import threading
from collections.abc import Callable
from multiprocessing import connection
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.states import Crashed

WATCH_S = 0.5
TELL_S = 2.0
"""So long a process whose starter is gone takes to tell the server of it; then it ends."""
stopping = threading.Event()


class Stopped(RuntimeError):
    """The run was ended, not the step's fault."""


def check() -> None:
    """Raise Stopped where the run is to end."""
    if stopping.is_set():
        raise Stopped("the run was stopped")


def end_with_starter(tell: Callable[[], object]) -> None:
    """From now on end this process, and its trainings, as soon as the one that started it is gone.

    `tell` is called before that. A thread that does nothing else has to notice it: whichever
    thread writes to the dead worker's pipe next may be a task's, and the others would go on.
    """
    threading.Thread(target=_watch, args=(os.dup(1), os.getppid(), tell), daemon=True).start()


def report_crash(flow_run: str) -> None:
    """Tell the server what nobody else can any more, so that the run goes on soon.

    A run that is over already stays as it is.
    """
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(UUID(flow_run), Crashed(message="its worker is gone"))


def end_with_pool() -> None:
    """From now on end this process with the one that made it for its pool of processes."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_wait, args=(parent.sentinel,), daemon=True).start()


def _wait(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(1)


def _watch(output: int, parent: int, tell: Callable[[], object]) -> None:
    """Wait until nobody reads the output that the starter reads, or the starter is another."""
    reader = select.poll()
    reader.register(output, 0)  # which tells of errors alone: that the other end is closed
    while not reader.poll(1000 * WATCH_S) and os.getppid() == parent:
        pass
    stopping.set()  # which ends trainings at once
    telling = threading.Thread(target=tell, daemon=True)
    telling.start()
    telling.join(TELL_S)
    os._exit(1)
