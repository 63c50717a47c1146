"""A Prefect worker that ends with the process that started it: `python -m flows.worker POOL`.

The parent holds the other end of standard input, so end of file means that the parent is gone,
also where it was killed. That module is apart because it must not import Prefect before its thread
watches standard input.
"""

import os
import signal
import sys
import threading
import time

END_S = 5.0
"""Time for the worker to end by itself before it is killed."""


def main(pool: str) -> None:
    _restore_signals()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    from prefect.cli import app  # takes seconds, in which the parent may end

    sys.argv[1:] = ["--no-prompt", "worker", "start", "--pool", pool, "--type", "process"]
    app()


def _restore_signals() -> None:
    """Restore the default signal handlers, by which Prefect ends a worker.

    `nohup` and a shell's `&` start children that ignore SIGHUP and SIGINT.
    """
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)


def _end_with_parent() -> None:
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(END_S)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1])
