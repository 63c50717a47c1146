"""A Prefect worker that ends with whoever started it: `python -m flows.worker POOL`.

Standard input stays open while it is wanted.
"""

import os
import signal
import sys
import threading
import time

END_S = 5.0
"""So long the worker may take to end by itself."""


def main(pool: str) -> None:
    _heed_signals()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    from prefect.cli import app  # takes seconds, in which the parent may end

    sys.argv[1:] = ["--no-prompt", "worker", "start", "--pool", pool, "--type", "process"]
    app()


def _heed_signals() -> None:
    """`nohup` and `&` let their children ignore signals, by which Prefect ends a worker."""
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
