"""How long a Prefect server takes until it has a burst of task runs on record, by its database.

OMP_NUM_THREADS=1 python -m benchmarks.server [--tasks 300] [--times 3]
    [--postgres postgresql+asyncpg://USER@127.0.0.1:PORT/DATABASE]

Each time is a process and a server of its own: birdflow's, with its settings. SQLite is new each
time; the tables of a PostgreSQL database stay.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, sleep
from typing import Any
from uuid import UUID

from flows.environment import SERVER_SETTINGS
from flows.server import server

DATABASE = "PREFECT_SERVER_DATABASE_CONNECTION_URL"


def measure(tasks: int, home: Path) -> dict[str, float]:
    """Seconds until the flow had returned, and until all its task runs were on record as final."""
    SERVER_SETTINGS.update({k: v for k, v in os.environ.items() if k == DATABASE})
    os.environ["PREFECT_LOGGING_LEVEL"] = "ERROR"
    with server(home):
        from prefect import flow, get_client, task
        from prefect.futures import wait
        from prefect.runtime import flow_run
        from prefect.task_runners import ThreadPoolTaskRunner

        @task
        def nothing(number: int) -> int:
            return number

        @flow(task_runner=ThreadPoolTaskRunner(max_workers=2))  # type: ignore[arg-type]
        def burst() -> str:
            wait([nothing.submit(number) for number in range(tasks)])
            return str(flow_run.id)

        began = perf_counter()
        run = UUID(burst())
        returned = perf_counter() - began
        with get_client(sync_client=True) as client:
            while _recorded(client, run) < tasks:
                sleep(0.1)
        return {"returned": returned, "recorded": perf_counter() - began}


def _recorded(client: Any, run: UUID) -> int:
    final = {"state": {"type": {"any_": ["COMPLETED"]}}}
    which = {"flow_runs": {"id": {"any_": [str(run)]}}, "task_runs": final}
    return int(client.request("POST", "/task_runs/count", json=which).json())


def main() -> None:
    """Print a line for each time, SQLite and PostgreSQL by turns."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--tasks", type=int, default=300)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--postgres", help="an empty database's address")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.tasks, options.one)))
        return
    print(f"{date.today()}, {platform.processor() or platform.machine()}, {os.cpu_count()} cores")
    for _ in range(options.times):
        for name, address in (("SQLite", None), ("PostgreSQL", options.postgres)):
            if name == "SQLite" or address:
                _one(name, address, options.tasks)


def _one(name: str, address: str | None, tasks: int) -> None:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
    load = os.getloadavg()[0]
    with TemporaryDirectory(prefix="birdflow-server-", ignore_cleanup_errors=True) as home:
        command = [sys.executable, "-m", "benchmarks.server", "--tasks", str(tasks), "--one", home]
        environment = clean | ({DATABASE: address} if address else {})
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        took = json.loads(done.stdout.splitlines()[-1])
    print(
        f"{name:<12}{tasks} task runs: returned {took['returned']:6.1f} s, "
        f"on record {took['recorded']:6.1f} s (load before: {load:.1f})",
        flush=True,
    )


if __name__ == "__main__":
    main()
