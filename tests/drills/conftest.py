"""`birdflow ui` as a person has it: its own server, workers and deployments, on loopback."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from functools import cache, cached_property
from pathlib import Path
from typing import Any, TextIO
from uuid import UUID

import httpx
import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import FlowRun, TaskRun
from prefect.states import Cancelling

UI_RETRY = {"type": "SCHEDULED", "name": "AwaitingRetry", "message": "Retry from the UI"}
"""What the button Retry of Prefect 3.8's page sends."""


PATIENCE_S = 900.0
"""How slow a machine is, is no property of the code."""


class Ui:
    """`birdflow ui` on a store and a port, and what Prefect's API says of its runs."""

    def __init__(self, store: Path, log: TextIO) -> None:
        with closing(socket.socket()) as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.store, self.log = store, log
        self.url = f"http://127.0.0.1:{self.port}/api"
        self.start()

    @cached_property
    def login(self) -> str:
        return (self.store / "prefect" / "login").read_text().strip()

    @cached_property
    def api(self) -> SyncPrefectClient:
        return SyncPrefectClient(self.url, auth_string=self.login)

    def start(self) -> None:
        clean = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")}
        arguments = ["ui", "--store", self.store, "--port", str(self.port)]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "flows.cli", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=self.log,
            env=clean | {"HOME": str(self.store)},
        )
        self.until(self._takes_runs)

    def _takes_runs(self) -> bool:
        assert self.process.poll() is None, f"see {self.log.name}"
        try:
            return len(self.pids("flows.worker")) == 2 and self.api.hello().status_code == 200
        except httpx.TransportError:
            return False

    def until(self, what: Callable[[], object], seconds: float = PATIENCE_S) -> None:
        """Wait until something is so that the server is asked for, which has other work too."""
        end = time.monotonic() + seconds
        while not what():
            assert time.monotonic() < end, f"waited in vain, see {self.log.name}"
            time.sleep(0.5)

    def pids(self, words: str) -> list[int]:
        """Processes of this `birdflow ui`, down to its trainings, by what is in their command."""
        return [pid for pid in descendants(self.process.pid) if words in command(pid)]

    def new_run(self, deployment: str, **parameters: Any) -> UUID:
        found = self.api.read_deployment_by_name(f"pipeline/{deployment}")
        return self.api.create_flow_run_from_deployment(found.id, parameters=parameters).id

    def run(self, run: UUID) -> FlowRun:
        """The run as the server has it now; waits for a server that is being started."""
        found: list[FlowRun] = []

        def asked() -> bool:
            with suppress(httpx.TransportError):
                found.append(self.api.read_flow_run(run))
            return bool(found)

        self.until(asked)
        return found[-1]

    def ended(self, run: UUID, *, begun: int = 1) -> FlowRun:
        """The run, when it has begun so often and is over."""

        def over() -> bool:
            now = self.run(run)
            return now.run_count >= begun and now.state is not None and now.state.is_final()

        self.until(over)
        return self.run(run)

    def states(self, run: UUID) -> list[str]:
        return [state.name or "" for state in self.api.read_flow_run_states(run)]

    def retry(self, run: UUID) -> None:
        """Press Retry."""
        address = f"{self.url}/flow_runs/{run}/set_state"
        asked = {"state": UI_RETRY, "force": False}
        auth = httpx.BasicAuth(*self.login.split(":"))
        answer = httpx.post(address, json=asked, auth=auth, timeout=60)
        assert answer.json()["status"] == "ACCEPT", answer.text

    def cancel(self, run: UUID) -> None:
        """Press Cancel."""
        self.api.set_flow_run_state(run, Cancelling())

    def task_runs(self, run: UUID) -> list[TaskRun]:
        found = self.api.read_task_runs(
            flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[run]))
        )
        return list(found)

    def end(self) -> None:
        """As `kill` and a service manager do."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(PATIENCE_S)


def descendants(pid: int) -> list[int]:
    try:
        lists = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    except OSError:
        return []
    children = [int(child) for text in lists for child in text.split()]
    return children + [below for child in children for below in descendants(child)]


def command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


@pytest.fixture(scope="session")
def ui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ui]:
    if not Path("/proc/self/task").is_dir():
        pytest.skip("needs /proc")
    folder = tmp_path_factory.mktemp("ui")
    with (folder / "ui.log").open("w") as log:
        started = Ui(folder / "store", log)
        yield started
        started.end()
        secret = started.login.partition(":")[2].encode()
        files = [path for path in folder.rglob("*") if path.is_file()]
        holders = [path for path in files if secret in path.read_bytes()]
        assert holders == [started.store / "prefect" / "login"]
        started.api._client.close()


@pytest.fixture
def places(tiny_data: Path, tiny_recipe: Path, tmp_path: Path) -> dict[str, Any]:
    """The recipe of a test's runs, and folders of its own."""
    return {
        "recipe": str(tiny_recipe),
        "data": str(tiny_data),
        "store": str(tmp_path / "store"),
        "out": str(tmp_path / "out"),
    }


@pytest.fixture(scope="session")
def submission_of(
    ui: Ui, tiny_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[Path], bytes]:
    """The submission of a recipe whose run nothing happened to."""

    @cache
    def submission(recipe: Path) -> bytes:
        folder = tmp_path_factory.mktemp("undisturbed")
        places = {"data": tiny_data, "store": folder / "store", "out": folder / "out"}
        asked = {name: str(path) for name, path in places.items()}
        run = ui.ended(ui.new_run("pipeline", recipe=str(recipe), **asked))
        assert run.state_name == "Completed", run.state
        return (folder / "out" / "submission.csv").read_bytes()

    return submission


LISTENER = """
import os, sys

def heard(event, arguments):
    if event == "os.rename":
        source, final = map(str, arguments[:2])
        fetched = source.endswith("/.incoming")  # from a remote, and not made here
        removed = os.path.basename(os.path.dirname(final)) == "trash"
        if not fetched and not removed and os.path.exists(source + "/manifest.json"):
            with open(os.environ["PUBLISHED"], "a") as log:
                log.write(final + "\\n")

sys.addaudithook(heard)
"""
"""In every process of a run: it writes down what gets its final name."""


@pytest.fixture
def listener(tmp_path: Path) -> Path:
    """A folder for PYTHONPATH: processes write to PUBLISHED what they made, by its final place."""
    folder = tmp_path / "listener"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(LISTENER)
    return folder
