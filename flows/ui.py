"""`birdflow ui`: Prefect server, worker and deployments on loopback, until Ctrl-C."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from rich.console import Console

from flows.server import ServerError, server, ui_of

ROOT = Path(__file__).parents[1]
POOL = "birdflow"


def serve_ui(store: Path, port: int) -> None:
    """Show the runs of a store, and take new ones: server, work pool, deployments, worker.

    Raises ServerError where Prefect refuses one of the steps.
    """
    console = Console(highlight=False, soft_wrap=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with server(store, port) as url:
        os.environ["BIRDFLOW_HOME"] = str(ROOT)
        _prefect("work-pool", "create", POOL, "--type", "process", "--overwrite")
        _prefect("deploy", "--all", "--prefect-file", str(ROOT / "deployments" / "prefect.yaml"))
        console.print(f"UI       {ui_of(url)}  (Ctrl-C ends it)")
        worker = subprocess.Popen(_command("worker", "start", "--pool", POOL), cwd=ROOT)
        try:
            worker.wait()
        except KeyboardInterrupt:
            worker.send_signal(signal.SIGINT)
            worker.wait(timeout=30)


def _prefect(*arguments: str) -> None:
    done = subprocess.run(_command(*arguments), cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise ServerError(f"prefect {' '.join(arguments[:2])} failed: {done.stderr or done.stdout}")


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "prefect", "--no-prompt", *arguments]
