"""Ending what runs, when a person presses Ctrl-C or a worker cancels the flow.

Prefect waits for its task threads, and a thread can't be ended from outside: steps ask at every
progress whether they should go on, and training processes are killed. Nothing is lost by it, for
what is published is whole and a training has its checkpoint.
"""

import threading

stopping = threading.Event()


class Stopped(RuntimeError):
    """The run was ended, not the step's fault."""


def check() -> None:
    """Raise Stopped where the run is to end."""
    if stopping.is_set():
        raise Stopped("the run was stopped")
