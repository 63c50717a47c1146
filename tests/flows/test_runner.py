"""Where tasks run, as the environment says; that artifacts are the same is for a drill to show."""

import sys

import pytest
from prefect.task_runners import ProcessPoolTaskRunner, ThreadPoolTaskRunner
from prefect_dask.task_runners import DaskTaskRunner

from flows.runner import NAME, task_runner, threads, workers


@pytest.fixture(autouse=True)
def nothing_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (NAME, "BIRDFLOW_WORKERS"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("asked", "kind"),
    [
        ("", ThreadPoolTaskRunner),
        ("threads", ThreadPoolTaskRunner),
        ("processes", ProcessPoolTaskRunner),
        ("dask", DaskTaskRunner),
    ],
)
def test_the_environment_says_where_tasks_run(
    asked: str, kind: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(NAME, asked)
    assert isinstance(task_runner(), kind)


def test_a_cluster_that_there_is_goes_by_its_address() -> None:
    runner = task_runner("dask=tcp://127.0.0.1:8786")
    assert isinstance(runner, DaskTaskRunner)
    assert runner.address == "tcp://127.0.0.1:8786"


def test_what_there_is_not_is_refused_with_what_there_is() -> None:
    with pytest.raises(ValueError, match="is thread: say threads, processes, dask or ray"):
        task_runner("thread")


@pytest.mark.parametrize("kind", ["dask", "ray"])
def test_an_extra_that_is_not_installed_is_named(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (f"prefect_{kind}", f"prefect_{kind}.task_runners"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ValueError, match=rf"pip install 'birdflow\[{kind}\]'"):
        task_runner(kind)


def test_tasks_at_once_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    cores = workers()
    assert threads() == 1
    monkeypatch.setenv("BIRDFLOW_WORKERS", "1")
    assert (workers(), threads()) == (1, cores)
    monkeypatch.setenv("BIRDFLOW_WORKERS", str(4 * cores))
    assert threads() == 1
