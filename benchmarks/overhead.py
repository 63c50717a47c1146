"""What orchestration costs: a recipe by birdcore alone, and by the flow with a server of its own.

    python -m benchmarks.overhead recipes/mini.toml --data DIR --work DIR [--set KEY=VALUE …]

Both begin with the same empty store, have as many tasks at once, and train in processes of their
own. Then the flow's store is asked again, with the server up: nothing is to do. Prints a table.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import torch

from birdcore.config import read_recipe
from birdcore.sources.birdclef import scan
from birdcore.stages.table import load_run
from birdcore.stages.training_process import step_to_json
from birdcore.store.artifact import Ref, Step
from birdcore.store.store import Store
from flows.dag import build_dag
from flows.runner import threads, workers
from flows.server import server


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True, help="a folder that is not there yet")
    parser.add_argument("--set", metavar="KEY=VALUE", action="append", default=[])
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    for at in range(options.rounds):
        folder = options.work / str(at)
        both: list[Callable[[], float]] = [
            lambda folder=folder: alone(options, folder / "alone"),  # type: ignore[misc]
            lambda folder=folder: flow(options, folder / "flow"),  # type: ignore[misc]
        ]
        # Whoever is second finds files in memory: they take turns in that.
        seconds = [run() for run in (both if at % 2 == 0 else both[::-1])]
        without, with_flow = seconds if at % 2 == 0 else seconds[::-1]
        with server(folder / "flow"):
            again = flow(options, folder / "flow")
        print(
            f"birdcore alone {without:.1f} s, flow {with_flow:.1f} s "
            f"({with_flow / without - 1:+.1%}), again with the server up {again:.1f} s",
            flush=True,
        )


def alone(options: argparse.Namespace, folder: Path) -> float:
    """Seconds of all steps, each after what it reads, with no server."""
    began = time.monotonic()
    torch.set_num_threads(threads())
    store = Store(folder)
    dag = build_dag(
        read_recipe(options.recipe, options.set), scan(options.data, store), store,
        keep_shards=True,
    )  # fmt: skip
    futures: dict[Ref, Future[None]] = {}

    def make(step: Step) -> None:
        for refs in step.inputs.values():
            for ref in refs:  # of earlier steps, which have begun: nobody waits for ever
                futures[ref].result()
        if step.stage == "train":
            train(step, store)
        else:
            store.make(step, load_run(step.stage))

    with ThreadPoolExecutor(workers()) as pool:
        for step in dag.steps:
            futures[step.ref] = pool.submit(make, step)
    for future in futures.values():
        future.result()
    return time.monotonic() - began


def train(step: Step, store: Store) -> None:
    command = [sys.executable, "-m", "birdcore.stages.training_process", str(store.root)]
    environment = os.environ | {"OMP_NUM_THREADS": str(threads())}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=environment
    ) as process:
        assert process.stdin
        process.stdin.write(step_to_json(step) + "\n")
        process.stdin.flush()
        assert process.wait() == 0


def flow(options: argparse.Namespace, store: Path) -> float:
    """Seconds of the command, from its start to its end."""
    began = time.monotonic()
    command = [sys.executable, "-m", "flows.cli", "run", str(options.recipe)]
    command += ["--data", str(options.data), "--store", str(store), "--out", f"{store}-out"]
    command += [word for change in options.set for word in ("--set", change)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.monotonic() - began


if __name__ == "__main__":
    main()
