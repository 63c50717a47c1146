"""The kill drill: whatever is killed, the same command goes on and ends as if nothing had been."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from birdcore.store.artifact import MANIFEST, Ref
from birdcore.store.files import CHECKPOINTS
from birdcore.store.manifest import read_manifest

LONG = ("--set", 'round.0.backbones=["test_resnet"]', "--set", "round.0.epochs=100000")
NOISY = Path(__file__).parents[2] / "recipes" / "noisy-student-mini.toml"
SMALL = (
    *("shards.recordings=4", "mel.n_mels=32", "folds.count=2", "folds.train=[0]"),
    *('train.backbones=["test_resnet"]', "train.repeat=2", "train.batch=4", "score.bootstrap=50"),
    *(f"round.{at}.epochs={epochs}" for at, epochs in enumerate((1, 1, 8, 1))),
)
"""The 1st place's rounds in seconds, the third of them long enough to be killed in its middle."""
STOPPED = "stopped; run the same command again to continue"


@pytest.fixture
def command(tiny_data: Path, tiny_recipe: Path, tmp_path: Path) -> list[object]:
    store, out = tmp_path / "store", tmp_path / "out"
    return ["run", tiny_recipe, "--data", tiny_data, "--store", store, "--out", out]


def working(store: Path, stage: str) -> bool:
    """Whether a step of the stage is being made; a training, whether it has a checkpoint."""
    steps = (store / "work" / stage).glob("*")
    return any(any(step.glob(CHECKPOINTS)) if stage == "train" else True for step in steps)


def test_a_run_that_is_killed_in_each_stage_ends_with_the_same_submission(
    start_birdflow: Any,
    whole_run: Any,
    command: list[object],
    tmp_path: Path,
    children: Callable[[int], set[int]],
    is_alive: Callable[[int], bool],
    until: Callable[..., None],
) -> None:
    store = tmp_path / "store"
    for stage in ("clean", "mel", "train", "label", "predict"):
        with start_birdflow(*command) as run:
            until(lambda stage=stage: working(store, stage) or run.poll() is not None, 600)
            trainings = children(run.pid)
            run.kill()
            said = run.communicate()[0]
        assert run.returncode == -signal.SIGKILL, f"{stage}: not killed but ended: {said}"
        assert stage != "train" or trainings
        until(lambda pids=trainings: not any(map(is_alive, pids)))
    with start_birdflow(*command) as run:
        said = run.communicate()[0]
    assert run.returncode == 0, said
    expected = (whole_run.out / "submission.csv").read_bytes()
    assert (tmp_path / "out" / "submission.csv").read_bytes() == expected


def test_a_kill_in_the_third_round_of_a_noisy_student_loses_at_most_one_epoch(
    start_birdflow: Any, tiny_data: Path, tmp_path: Path, until: Callable[..., None]
) -> None:
    def run(folder: str) -> Any:
        places = ["--store", tmp_path / folder, "--out", tmp_path / f"{folder}-out"]
        changes = [word for change in SMALL for word in ("--set", change)]
        return start_birdflow("run", NOISY, "--data", tiny_data, *places, *changes)

    def finished() -> int:
        """Epochs of the third round whose end is on disk."""
        paths = (tmp_path / "killed" / "work" / "train").glob(f"*/{CHECKPOINTS}")
        epochs = max((int(path.name.split("-")[1]) for path in paths), default=0)
        return epochs if epochs > 1 else 0  # no other round has so many

    with run("undisturbed") as first:
        said = first.communicate()[0]
    assert first.returncode == 0, said
    with run("killed") as second:
        until(lambda: finished() >= 3 or second.poll() is not None, 600)
        second.kill()
        said = second.communicate()[0]
    assert second.returncode == -signal.SIGKILL, said
    before = finished()
    with run("killed") as third:
        said = third.communicate()[0]
    assert third.returncode == 0, said
    models = {
        manifest.name: manifest
        for path in (tmp_path / "killed" / "train").glob(f"*/{MANIFEST}")
        if (manifest := read_manifest(path.parent, Ref(*path.parts[-3:-1])))
    }
    student = models["train student-2 test_resnet fold 0"]
    assert student.metrics["epochs"] == 8
    assert student.metrics["resumed_at"] >= max(before, 3)
    alike = [tmp_path / f"{folder}-out" / "submission.csv" for folder in ("undisturbed", "killed")]
    assert alike[0].read_bytes() == alike[1].read_bytes()


def test_ctrl_c_ends_a_run_and_its_trainings(
    start_birdflow: Any,
    command: list[object],
    tmp_path: Path,
    children: Callable[[int], set[int]],
    is_alive: Callable[[int], bool],
    until: Callable[..., None],
) -> None:
    with start_birdflow(*command, *LONG) as run:
        until(lambda: working(tmp_path / "store", "train") or run.poll() is not None, 600)
        trainings = children(run.pid)
        os.killpg(run.pid, signal.SIGINT)  # as a terminal does
        said = run.communicate(timeout=60)[0]
    assert run.returncode == 130, said
    assert said.splitlines()[-1] == STOPPED
    assert said.count(STOPPED) == 1
    assert "Traceback" not in said
    assert trainings
    assert not any(map(is_alive, trainings))
