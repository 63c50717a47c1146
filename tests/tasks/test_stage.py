"""How a stage runs as a task: when it is tried again, and what it is cached by."""

import errno
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from prefect.client.schemas.objects import State

from birdcore.store.artifact import Metrics, Progress, Ref, Step
from birdcore.store.location import open_store
from birdcore.store.store import Job, Store
from tasks.stage import RESULTS, Make, Recoverable, StageTask, in_store, stage_task
from tasks.stop import Stopped

pytestmark = pytest.mark.usefixtures("prefect_server")


def names(task: StageTask, store: Store, *steps: Step, refresh: bool = False) -> list[str]:
    """The final states of a task on each step, without waiting between tries."""
    quick = in_store(task, str(store.root), refresh=refresh).with_options(
        retry_delay_seconds=0, retry_jitter_factor=0
    )

    states: list[State[Ref]] = [
        quick(step, str(store.root), refresh, return_state=True) for step in steps
    ]
    return [state.name for state in states]


def making(run: Callable[[Job], Metrics]) -> Make:
    """What makes the artifact of a step by `run`, as the stages of the table are made."""

    def make(step: Step, store: str, progress: Progress, refresh: bool) -> None:
        open_store(store).make(step, run, progress, refresh=refresh)

    return make


class Flaky:
    """A stage that fails with the given errors first."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls = 0

    def __call__(self, job: Job) -> Metrics:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return {}


@pytest.mark.parametrize(
    "error",
    [
        ConnectionError("reset by peer"),
        TimeoutError("no answer"),
        OSError(errno.EIO, "a disk on the network"),
        Recoverable("the GPU's memory is full"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_can_recover_is_tried_again(tmp_path: Path, error: Exception) -> None:
    stage = Flaky(error, error)
    assert names(
        stage_task("flaky", making(stage)), Store(tmp_path / "s"), Step("flaky", 1, "a")
    ) == ["Completed"]
    assert stage.calls == 3


@pytest.mark.parametrize(
    "error",
    [
        ValueError("a bad recording"),
        OSError(errno.ENOSPC, "no space left"),
        PermissionError(errno.EACCES, "not yours"),
        KeyError("a bug"),
        Stopped("Ctrl-C"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_cannot_recover_is_tried_once(tmp_path: Path, error: Exception) -> None:
    stage = Flaky(error)
    store = Store(tmp_path / "s")
    step = Step("flaky", 1, "a")
    assert names(stage_task("flaky", making(stage)), store, step) == ["Failed"]
    assert stage.calls == 1
    assert store.find(step.ref) is None
    # The failure itself is not cached.
    assert names(stage_task("flaky", making(stage)), store, step) == ["Completed"]


def test_tries_end(tmp_path: Path) -> None:
    stage = Flaky(*[Recoverable("died")] * 9)
    assert names(
        stage_task("flaky", making(stage)), Store(tmp_path / "s"), Step("flaky", 1, "a")
    ) == ["Failed"]
    assert stage.calls == 4


def test_the_cache_key_is_what_the_step_means(tmp_path: Path) -> None:
    stage = Flaky()
    task, store = stage_task("flaky", making(stage)), Store(tmp_path / "s")
    one = Step("flaky", 1, "a", {"x": 1}, root="/here")
    same = Step("flaky", 1, "another name", {"x": 1}, root="/elsewhere")
    others = [Step("flaky", 2, "a", {"x": 1}), Step("flaky", 1, "a", {"x": 2})]
    assert names(task, store, one, same, *others) == [
        "Completed", "Cached", "Completed", "Completed",
    ]  # fmt: skip
    assert stage.calls == 3


def test_results_lie_in_the_store(tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    names(stage_task("flaky", making(Flaky())), store, Step("flaky", 1, "a"))
    assert len(list((store.root / RESULTS).iterdir())) == 1


def test_a_copied_store_does_not_answer_for_the_first(tmp_path: Path) -> None:
    stage = Flaky()
    task, first, step = (
        stage_task("flaky", making(stage)),
        Store(tmp_path / "s"),
        Step("flaky", 1, "a"),
    )
    names(task, first, step)
    shutil.copytree(first.root, tmp_path / "copy")
    copy = Store(tmp_path / "copy")
    shutil.rmtree(copy.path(step.ref))
    assert names(task, copy, step) == ["Completed"]
    assert copy.find(step.ref) is not None
    assert stage.calls == 2


def test_refresh_makes_it_anew(tmp_path: Path) -> None:
    stage = Flaky()
    store, step = Store(tmp_path / "s"), Step("flaky", 1, "a")
    task = stage_task("flaky", making(stage))
    names(task, store, step)
    assert names(task, store, step, refresh=True) == ["Completed"]
    assert stage.calls == 2
