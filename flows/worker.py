"""A Prefect worker that ends with whoever started it: `python -m flows.worker POOL`.

Standard input stays open while it is wanted.
"""

import os
import signal
import sys
import threading
from pathlib import Path

from prefect.cli import app

ROOT = Path(__file__).parents[1]


def main(pool: str) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.chdir(ROOT)
    sys.argv[1:] = ["--no-prompt", "worker", "start", "--pool", pool, "--type", "process"]
    app()


def _end_with_parent() -> None:
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main(sys.argv[1])
