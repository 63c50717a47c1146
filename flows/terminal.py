"""The terminal that a person sits at: where words go, and what Ctrl-C does."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from rich.console import Console

out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 160)
err = Console(stderr=True, highlight=False, soft_wrap=True)

INTERRUPTED = 130
STOPPED = "stopped; the same command goes on where it was"
STOP_S = 5.0
"""After Ctrl-C, so long for steps to end and to be reported; then the process goes, come what may:
what is published is whole."""


def quiet_prefect(debug: bool) -> None:
    """Before Prefect is imported: no tracebacks on the console, and bars instead of lines."""
    if not debug:
        name = "PREFECT_LOGGING_HANDLERS_CONSOLE_CLASS"
        os.environ.setdefault(name, "flows.console.PlainConsole")
        if err.is_terminal:
            os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")


@contextmanager
def ends_on_interrupt() -> Iterator[None]:
    """Ctrl-C ends the run in good order within moments, and pressed again at once."""

    def stop(signum: int, frame: FrameType | None) -> None:
        last = threading.Timer(STOP_S, _leave)
        last.daemon = True
        last.start()
        signal.signal(signal.SIGINT, lambda *_: _leave())
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _leave() -> None:
    err.print(STOPPED)
    os._exit(INTERRUPTED)
