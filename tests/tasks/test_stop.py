"""A process whose starter is gone ends, and its trainings with it; nobody else has to notice."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.states import Completed, Running

from tasks.stop import report_crash

FLOW = """
import os, subprocess, sys, threading, time
from pathlib import Path
from tasks.stop import end_with_starter, stopping

told, how = Path(sys.argv[1]), sys.argv[2]

def tell():
    told.write_text(f"stopping: {stopping.is_set()}")
    if how == "server away":
        time.sleep(600)
    if how == "server refuses":
        raise ConnectionError("no")

end_with_starter(tell)
# As a training is: it ends when its input does.
training = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
print(os.getpid(), training.pid, flush=True)

def chatters():
    while True:
        print("chatter", flush=True)  # BrokenPipeError, in a thread that is not the first

if how == "chatters":
    threading.Thread(target=chatters, daemon=True).start()
while True:
    time.sleep(600)
"""
WORKER = """
import subprocess, sys
kept = {"stdout": subprocess.PIPE} if sys.argv[1] == "pipe" else {"stdout": sys.stderr}
flow = subprocess.Popen([sys.executable, "-c", *sys.argv[2:]], start_new_session=True, **kept)
for line in flow.stdout or []:
    print(line.decode(), end="", flush=True)
flow.wait()
"""


@pytest.fixture
def killed_worker(tmp_path: Path) -> Callable[..., tuple[list[int], Path]]:
    """Kill a worker that has a flow with a training: these two, and what the flow told then."""

    def kill(how: str, output: str = "pipe") -> tuple[list[int], Path]:
        told = tmp_path / "told"
        command = [sys.executable, "-c", WORKER, output, FLOW, str(told), how]
        root = str(Path(__file__).parents[2])
        with subprocess.Popen(
            command,
            stdout=subprocess.PIPE if output == "pipe" else None,
            stderr=subprocess.PIPE if output != "pipe" else subprocess.DEVNULL,
            text=True,
            env=os.environ | {"PYTHONPATH": root},
        ) as worker:
            said = worker.stdout or worker.stderr
            assert said
            pids = [int(word) for word in said.readline().split()]
            worker.kill()
        return pids, told

    return kill


@contextmanager
def ended(pids: list[int]) -> Iterator[None]:
    try:
        yield
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize(
    ("how", "output"),
    [
        ("waits", "pipe"),
        ("chatters", "pipe"),
        ("server away", "pipe"),
        ("server refuses", "pipe"),
        ("waits", "file"),
    ],
)
def test_a_flow_whose_worker_is_killed_ends_with_its_trainings(
    killed_worker: Callable[..., tuple[list[int], Path]],
    is_alive: Callable[[int], bool],
    until: Callable[..., None],
    how: str,
    output: str,
) -> None:
    pids, told = killed_worker(how, output)
    with ended(pids):
        assert len(pids) == 2
        until(lambda: not any(map(is_alive, pids)))
        assert told.read_text() == "stopping: True"


POOL = """
import os, sys, time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from tasks.stop import end_with_pool

def busy():
    print(os.getpid(), flush=True)
    time.sleep(600)

if __name__ == "__main__":
    pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=end_with_pool)
    pool.submit(busy).result()
"""


def test_a_pools_process_ends_with_the_flow(
    tmp_path: Path, is_alive: Callable[[int], bool], until: Callable[..., None]
) -> None:
    (tmp_path / "pool.py").write_text(POOL)
    root = str(Path(__file__).parents[2])
    with subprocess.Popen(
        [sys.executable, tmp_path / "pool.py"],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": root},
    ) as flow:
        assert flow.stdout
        pid = int(flow.stdout.readline())
        with ended([pid]):
            assert is_alive(pid)
            flow.kill()
            until(lambda: not is_alive(pid))


@flow
def anything() -> None:
    """A flow for runs that are only said to run."""


@pytest.mark.usefixtures("prefect_server")
def test_the_server_is_told_of_a_run_that_was_not_over() -> None:
    with get_client(sync_client=True) as client:
        goes_on, over = (client.create_flow_run(anything, state=Running()) for _ in range(2))
        client.set_flow_run_state(over.id, Completed())
        for run in (goes_on, over):
            report_crash(str(run.id))
        states = [client.read_flow_run(run.id).state for run in (goes_on, over)]
    assert [state.name for state in states if state] == ["Crashed", "Completed"]
    assert states[0] is not None
    assert states[0].message == "its worker is gone"
