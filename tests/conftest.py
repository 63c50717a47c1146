"""Fixtures that every test may use."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeAlias

import pytest
import requests
from hypothesis import HealthCheck, settings

from tests.support.browser import NewTab, Tab, browser

pytest_plugins = ["tests.support.site"]

# Before torch is imported: on small inputs two threads wait for each other more than they help.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Before Prefect is imported: the developer's own server and settings are left alone.
for name in [name for name in os.environ if name.startswith("PREFECT_")]:
    del os.environ[name]
# A test that needs Prefect asks for `prefect_server`: without it Prefect would start a server of
# its own, which takes half a minute and gives up on a busy machine.
os.environ["PREFECT_SERVER_ALLOW_EPHEMERAL_MODE"] = "false"
# Processes of one run of the tests have one folder for it, and so share one server.
OWN = None
if "BIRDFLOW_TESTS" not in os.environ:
    OWN = TemporaryDirectory(prefix="birdflow-tests-", ignore_cleanup_errors=True)
    os.environ["BIRDFLOW_TESTS"] = OWN.name
HOME = Path(os.environ["BIRDFLOW_TESTS"])
os.environ["PREFECT_HOME"] = str(HOME / "prefect")

# A shell that starts the tests in its background has them ignore Ctrl-C, which they would hand on
# to the processes that they start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

# How fast a machine is, is no property of the code: no test may fail for it.
settings.register_profile("noisy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("noisy")

# Nobody cuts the power, and a slow disk takes longer for thousands of small files than the tests.
os.fsync = os.fstat  # type: ignore[assignment]

SHARED = Path(__file__).parents[2] / "shared" / "data"
NO_RECORDINGS = "needs the developers' real recordings in ../shared/data"
TINY_RECIPE = Path(__file__).parent / "recipes" / "tiny.toml"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI a skip is a failure: what .ci/run did not install would hide a fault for good."""
    report = yield
    if os.environ.get("CI") and report.skipped and NO_RECORDINGS not in str(report.longrepr):
        report.outcome = "failed"
    return report


GROUPS = ("ui", "prefect_server", "server_settings", "exports", "new_tab")
"""Tests that share a process where there are several, the longest group first: those that need a
fixture of this name, so that a whole run is made once and a browser opened once, and those with the
mark `xdist_group`. Limits, secrets and deployments of the server are changed in one process only.
"""


@pytest.hookimpl(tryfirst=True)  # xdist reads the groups in the same hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long groups begin first; tests of no group share a process with those of their file."""

    def group(item: pytest.Item) -> str:
        if mark := item.get_closest_marker("xdist_group"):
            return str(mark.args[0])
        names = item.fixturenames if isinstance(item, pytest.Function) else ()
        return next((name for name in GROUPS if name in names), item.nodeid.split("::")[0])

    for item in items:
        item.add_marker(pytest.mark.xdist_group(group(item)))
    items.sort(key=lambda item: [*GROUPS, group(item)].index(group(item)))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real recordings that developers have beside the checkout."""
    if not SHARED.is_dir():
        pytest.skip(NO_RECORDINGS)
    return SHARED


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BirdCLEF+ folder of made-up birds, small enough for a whole run; copy it to change it."""
    from birdcore.demo.folder import DemoSettings, write_folder

    root = tmp_path_factory.mktemp("tiny") / "data"
    write_folder(
        root,
        DemoSettings(species=3, recordings_per_species=3, unlabelled=2, test=2, soundscape_s=15),
    )
    return root


@pytest.fixture
def data(tiny_data: Path, tmp_path: Path) -> Path:
    """A copy of `tiny_data`, to change."""
    return Path(shutil.copytree(tiny_data, tmp_path / "data"))


@pytest.fixture(scope="session")
def tiny_recipe() -> Path:
    """The recipe for `tiny_data`: two rounds of an epoch or two."""
    return TINY_RECIPE


def pytest_unconfigure() -> None:
    if OWN:
        OWN.cleanup()


Birdflow: TypeAlias = Callable[..., subprocess.CompletedProcess[str]]
Started: TypeAlias = Callable[..., subprocess.Popen[str]]


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[str]:
    """A Prefect server of the tests' own, for flows in this process and for commands."""
    from flows.server import server

    with server(HOME) as url:
        from prefect.events.worker import EventsWorker
        from prefect.logging.handlers import APILogWorker
        from prefect.settings import PREFECT_API_URL, temporary_settings

        with temporary_settings({PREFECT_API_URL: url}):
            yield url
            APILogWorker.instance().drain()
            EventsWorker.drain_all()


@pytest.fixture(scope="session")
def start_birdflow(prefect_server: str) -> Started:
    """`birdflow` as a process; both of its outputs come through `stdout`."""

    def start(*arguments: object) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "flows.cli", *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=_environment(),
            process_group=0,  # as a terminal starts it
        )

    return start


@pytest.fixture(scope="session")
def birdflow(prefect_server: str) -> Birdflow:
    """`birdflow` as a process, until it ends."""

    def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "flows.cli", *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=_environment() | environment,
            timeout=300,
        )

    return run


def _environment() -> dict[str, str]:
    """As a person has it, but for the server: `birdflow` in this process may have set more."""
    return {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_LOGGING")}


@dataclass(frozen=True)
class WholeRun:
    """A run that nothing disturbed; copy its store to change it."""

    store: Path
    out: Path
    said: str


@pytest.fixture(scope="session")
def whole_run(
    birdflow: Birdflow,
    tiny_data: Path,
    tiny_recipe: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> WholeRun:
    """The tiny recipe, run from recordings to scores."""
    folder = tmp_path_factory.mktemp("whole")
    store, out = folder / "store", folder / "out"
    done = birdflow("run", tiny_recipe, "--data", tiny_data, "--store", store, "--out", out)
    assert done.returncode == 0, done.stdout + done.stderr
    return WholeRun(store, out, done.stdout)


@pytest.fixture(scope="session")
def children() -> Callable[[int], set[int]]:
    """The process ids of a process's children."""
    if not Path("/proc/self/task").is_dir():
        pytest.skip("needs /proc")

    def of(pid: int) -> set[int]:
        lists = Path(f"/proc/{pid}/task").glob("*/children")
        return {int(child) for path in lists for child in path.read_text().split()}

    return of


@pytest.fixture(scope="session")
def is_alive() -> Callable[[int], bool]:
    """Whether a process runs: one that nobody has waited for after its end does not."""

    def alive(pid: int) -> bool:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return False
        return state != "Z"

    return alive


@pytest.fixture(scope="session")
def until() -> Callable[..., None]:
    """Wait until something is so; fail where it does not come about."""

    def wait(what: Callable[[], object], seconds: float = 60.0) -> None:
        end = time.monotonic() + seconds
        while not what():
            assert time.monotonic() < end, "waited in vain"
            time.sleep(0.002)

    return wait


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The query of a URL that leads to a bucket `birds` on loopback, in a process of its own."""
    code = (
        "from moto.moto_server.threaded_moto_server import ThreadedMotoServer as S; import sys;"
        "s = S('127.0.0.1', 0, verbose=False); s.start();"
        "print(*s.get_host_and_port(), flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout
        host, port = process.stdout.readline().split()
        assert requests.put(f"http://{host}:{port}/birds", timeout=60).ok
        yield f"scheme=http&endpoint_override={host}:{port}&region=us-east-1"
        process.kill()


@pytest.fixture
def s3(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The same, with keys in the environment."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "for-loopback")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return s3_server


@pytest.fixture(scope="session")
def new_tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NewTab]:
    with browser(tmp_path_factory.mktemp("browser")) as opened:
        yield opened


@pytest.fixture
def tab(new_tab: NewTab) -> Iterator[Tab]:
    """A tab of a browser that all tests share."""
    with new_tab() as opened:
        yield opened
