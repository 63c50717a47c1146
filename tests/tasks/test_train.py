"""Training in a process of its own: what it says, how it fails, and when it ends."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound

import tasks.train
from birdcore.config import read_recipe
from birdcore.sources.birdclef import scan
from birdcore.stages.training_process import PASSING, step_to_json
from birdcore.store.artifact import Step
from birdcore.store.private import NotPrivateError
from birdcore.store.store import Store, no_progress
from flows.dag import build_dag
from tasks.stage import Recoverable
from tasks.stop import Stopped, stopping
from tasks.train import LIMIT, TrainingFailed, train_in_process

STEP = Step("train", 1, "a model")


@pytest.fixture
def store(tmp_path: Path, whole_run: Any) -> Store:
    """All that a training reads, and no model."""
    left_out = shutil.ignore_patterns("train", "prefect")
    return Store(Path(shutil.copytree(whole_run.store, tmp_path / "store", ignore=left_out)))


@pytest.fixture
def training(store: Store, tiny_data: Path, tiny_recipe: Path) -> Callable[..., Step]:
    """A training of so many epochs, which are short but for `repeat`."""

    def make(epochs: int, repeat: int = 1) -> Step:
        settings = [
            'round.0.backbones=["test_resnet"]',
            f"round.0.epochs={epochs}",
            f"round.0.repeat={repeat}",
        ]
        dag = build_dag(
            read_recipe(tiny_recipe, settings), scan(tiny_data, store), store, keep_shards=False
        )
        return next(step for step in dag.steps if step.stage == "train")

    return make


@pytest.fixture
def workers(children: Callable[[int], set[int]]) -> Callable[[int], list[int]]:
    """The training processes of a process."""

    def of(pid: int) -> list[int]:
        lines = {child: Path(f"/proc/{child}/cmdline").read_bytes() for child in children(pid)}
        return [
            child for child, line in lines.items() if b"birdcore.stages.training_process" in line
        ]

    return of


@pytest.fixture
def _stopping() -> Iterator[None]:
    yield
    stopping.clear()


def test_a_killed_training_is_recoverable_and_goes_on(
    store: Store, training: Callable[..., Step], workers: Callable[[int], list[int]]
) -> None:
    step = training(4)
    said: list[tuple[int, int]] = []

    def kill(done: int, total: int, text: str) -> None:
        said.append((done, total))
        for pid in workers(os.getpid()):
            os.kill(pid, signal.SIGKILL)

    with pytest.raises(Recoverable, match="the training process died"):
        train_in_process(step, store.root, kill, False)
    assert said[0] == (1, 4)
    resumed: list[int] = []
    train_in_process(step, store.root, lambda done, *_: resumed.append(done), False)
    at = store.get(step.ref).metrics["resumed_at"]
    assert at >= 1
    assert resumed == list(range(at + 1, 5))


def test_a_bug_is_told_in_a_line_with_its_traceback_beside(
    store: Store, training: Callable[..., Step]
) -> None:
    step = training(1)
    broken = replace(step, stage="nothing")
    with pytest.raises(TrainingFailed) as caught:
        train_in_process(broken, store.root, no_progress, False)
    assert str(caught.value) == "KeyError: 'nothing'"
    assert any("Traceback" in note for note in caught.value.__notes__)


def test_a_training_ends_with_its_parent(
    store: Store,
    training: Callable[..., Step],
    workers: Callable[[int], list[int]],
    is_alive: Callable[[int], bool],
    until: Callable[..., None],
) -> None:
    program = (
        "import sys; from pathlib import Path; from birdcore.store.store import no_progress\n"
        "from birdcore.stages.training_process import step_from_json\n"
        "from tasks.train import train_in_process\n"
        "train_in_process(step_from_json(sys.argv[1]), Path(sys.argv[2]), no_progress, False)\n"
    )
    # It would be busy for hours before it had anything to say.
    step = training(1, repeat=1_000_000)
    command = [sys.executable, "-c", program, step_to_json(step), str(store.root)]
    with subprocess.Popen(command) as parent:
        until((store.root / "work" / "train" / step.key).exists)
        (child,) = workers(parent.pid)
        assert is_alive(child)
        parent.kill()
    try:
        until(lambda: not is_alive(child))
    finally:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)


@pytest.mark.usefixtures("_stopping")
def test_a_run_that_is_stopped_ends_its_trainings(
    store: Store, training: Callable[..., Step], workers: Callable[[int], list[int]]
) -> None:
    def stop(done: int, total: int, text: str) -> None:
        stopping.set()

    with pytest.raises(Stopped):
        train_in_process(training(100_000), store.root, stop, False)
    assert workers(os.getpid()) == []


def says(monkeypatch: pytest.MonkeyPatch, *lines: str, then: str = "sys.exit(1)") -> None:
    """Let a process that says these lines take the place of the training's."""
    program = f"import os, sys; print({chr(10).join(lines)!r}); sys.stdout.flush(); {then}"
    monkeypatch.setattr(tasks.train, "WORKER", (sys.executable, "-c", program))


def failure(**fields: Any) -> str:
    return json.dumps({"error": "it says why", "kind": "X", "errno": None} | fields)


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (failure(), TrainingFailed),
        (failure(kind=PASSING), Recoverable),
        (failure(kind="PermissionError", errno=13), PermissionError),
    ],
)
def test_a_failure_that_is_told_has_its_kind(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, line: str, error: type[Exception]
) -> None:
    says(monkeypatch, "chatter of a library", '{"done": 1, "total": 2, "text": "half"}', line)
    progress: list[tuple[int, int, str]] = []
    with pytest.raises(error, match="it says why"):
        train_in_process(STEP, tmp_path, lambda *said: progress.append(said), False)
    assert progress == [(1, 2, "half")]


def test_a_death_without_words_is_recoverable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    says(monkeypatch, then="print('terminate called', file=sys.stderr); os._exit(7)")
    with pytest.raises(Recoverable, match=r"died \(exit code 7\): terminate called"):
        train_in_process(STEP, tmp_path, no_progress, False)


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine with two GPUs, as far as it can be told without one."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


@pytest.fixture
def _no_limit(prefect_server: str) -> None:
    """Prefect's server has no limit for trainings, as before the first run on a machine."""
    with get_client(sync_client=True) as client, suppress(ObjectNotFound):
        client.delete_global_concurrency_limit_by_name(LIMIT)


@pytest.mark.usefixtures("_no_limit", "gpus")
def test_a_training_on_a_gpu_has_one_of_as_many_slots_as_there_are(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def taken() -> int:
        with get_client(sync_client=True) as client:
            return client.read_global_concurrency_limit_by_name(LIMIT).active_slots

    asks = "import json; print(json.dumps(dict(done=1, total=1, text=os.environ[name])))"
    says(monkeypatch, then=f"name = 'CUDA_VISIBLE_DEVICES'; {asks}")
    seen: list[tuple[str, int]] = []
    train_in_process(STEP, tmp_path, lambda done, total, text: seen.append((text, taken())), False)
    assert seen == [("0", 1)]
    assert taken() == 0
    with get_client(sync_client=True) as client:
        assert client.read_global_concurrency_limit_by_name(LIMIT).limit == 2


@pytest.mark.usefixtures("gpus")
def test_trainings_of_all_processes_share_the_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks.train, "WATCH_S", 0.05)
    with tasks.train._locked_gpu() as one, tasks.train._locked_gpu() as other:
        assert (one, other) == ("0", "1")
        monkeypatch.setattr(tasks.train, "check", stops)
        with pytest.raises(RuntimeError, match="waits"), tasks.train._locked_gpu():
            pass
    with tasks.train._locked_gpu() as again:
        assert again == "0"


@pytest.mark.usefixtures("gpus")
def test_no_other_account_can_hold_or_make_the_lock_of_a_gpu(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-GPU-1/2/3")
    locks = tmp_path / "birdflow" / "locks"
    with tasks.train._locked_gpu() as name:
        assert name == "MIG-GPU-1/2/3"
    (lock,) = locks.iterdir()
    assert [one.stat().st_mode & 0o777 for one in (locks, lock)] == [0o700, 0o600]
    lock.unlink()
    lock.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic link"), tasks.train._locked_gpu():
        pass
    nobody = os.getuid() + 1
    monkeypatch.setattr("birdcore.store.private.os.getuid", lambda: nobody)
    with pytest.raises(NotPrivateError, match="another account"), tasks.train._locked_gpu():
        pass


@pytest.mark.usefixtures("gpus")
def test_an_account_without_a_home_has_its_locks_in_the_folder_for_temporary_files(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    with tasks.train._locked_gpu():
        (folder,) = (tmp_path / "temporary").iterdir()
        assert folder.stat().st_mode & 0o777 == 0o700


def stops() -> None:
    raise RuntimeError("waits")


def test_a_silent_training_is_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    says(monkeypatch, then="import time; time.sleep(600)")
    monkeypatch.setattr(tasks.train, "STALLED_AFTER_S", 0.1)
    monkeypatch.setattr(tasks.train, "WATCH_S", 0.05)
    with pytest.raises(Recoverable, match="died"):
        train_in_process(STEP, tmp_path, no_progress, False)
