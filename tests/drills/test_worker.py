"""Whatever is killed, the server's next word is that the run goes on, and it ends the same."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from birdcore.store.artifact import MANIFEST, Ref
from birdcore.store.files import CHECKPOINTS
from birdcore.store.manifest import read_manifest

LONG = Path(__file__).parents[1] / "recipes" / "tiny-long.toml"


@pytest.fixture(scope="module")
def undisturbed(submission_of: Callable[[Path], bytes]) -> bytes:
    """The submission of a run that nothing happened to."""
    return submission_of(LONG)


@pytest.fixture
def asked(places: dict[str, Any]) -> dict[str, Any]:
    return places | {"recipe": str(LONG)}


def training(store: Path) -> bool:
    return any((store / "work" / "train").glob(f"*/{CHECKPOINTS}"))


def kill(pids: list[int]) -> None:
    assert pids
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("killed", ["prefect.engine", "flows.worker birdflow-train"])
def test_a_run_that_lost_its_process_goes_on(
    killed: str,
    ui: Any,
    asked: dict[str, Any],
    undisturbed: bytes,
    tmp_path: Path,
    is_alive: Any,
) -> None:
    """The flow's process, and the worker, which ends its runs with it and is started again."""
    run = ui.new_run("pipeline", **asked)
    ui.until(lambda: training(tmp_path / "store"))
    ends_with_it = ui.pids("prefect.engine") + ui.pids("birdcore.stages.training_process")
    assert len(ends_with_it) >= 2
    kill(ui.pids(killed))
    ui.until(lambda: not any(map(is_alive, ends_with_it)))
    assert not list((tmp_path / "store" / "train").glob(f"*/{MANIFEST}"))  # trained to its end
    ended = ui.ended(run, begun=2)
    assert ended.state_name == "Completed"
    assert ui.states(run).count("Crashed") >= 1
    assert ui.states(run).count("AwaitingRetry") == 1
    assert resumed(tmp_path / "store")
    assert (tmp_path / "out" / "submission.csv").read_bytes() == undisturbed


def test_a_training_that_is_killed_is_tried_again_by_its_task(
    ui: Any, asked: dict[str, Any], undisturbed: bytes, tmp_path: Path
) -> None:
    run = ui.new_run("pipeline", **asked)
    ui.until(lambda: training(tmp_path / "store"))
    kill(ui.pids("birdcore.stages.training_process"))
    ended = ui.ended(run)
    assert (ended.state_name, ended.run_count) == ("Completed", 1)
    assert resumed(tmp_path / "store")
    assert (tmp_path / "out" / "submission.csv").read_bytes() == undisturbed


def test_a_run_goes_on_while_the_server_is_started_again(
    ui: Any, asked: dict[str, Any], undisturbed: bytes, tmp_path: Path
) -> None:
    run = ui.new_run("pipeline", **asked)
    ui.until(lambda: training(tmp_path / "store"))
    before = ui.pids("flows.serving")
    kill(before)
    ended = ui.ended(run)
    assert ended.state_name == "Completed"
    assert ui.pids("flows.serving") != before
    assert (tmp_path / "out" / "submission.csv").read_bytes() == undisturbed


def test_a_run_goes_on_after_a_power_cut(
    ui: Any, asked: dict[str, Any], undisturbed: bytes, tmp_path: Path
) -> None:
    """All processes at once; nobody is left to say that the run has crashed."""
    run = ui.new_run("pipeline", **asked)
    ui.until(lambda: training(tmp_path / "store"))
    kill([ui.process.pid, *ui.pids("")])
    ui.process.wait()
    ui.start()
    ended = ui.ended(run, begun=2)
    assert ended.state_name == "Completed"
    assert [name for name in ui.states(run) if name in ("Crashed", "AwaitingRetry")] == [
        "Crashed", "AwaitingRetry",
    ]  # fmt: skip
    assert resumed(tmp_path / "store")
    assert (tmp_path / "out" / "submission.csv").read_bytes() == undisturbed


def test_workers_end_with_a_ui_that_is_killed(ui: Any, is_alive: Any) -> None:
    workers = ui.pids("flows.worker")
    kill([ui.process.pid])
    ui.process.wait()
    ui.until(lambda: not any(map(is_alive, workers)))
    ui.start()


def test_ctrl_c_leaves_nothing_running_and_the_next_start_goes_on(
    ui: Any, asked: dict[str, Any], undisturbed: bytes, tmp_path: Path, is_alive: Any
) -> None:
    run = ui.new_run("pipeline", **asked)
    ui.until(lambda: training(tmp_path / "store"))
    everything = ui.pids("")
    ui.end()
    assert ui.process.returncode == 0
    ui.until(lambda: not any(map(is_alive, everything)))
    ui.start()
    ended = ui.ended(run, begun=2)
    assert ended.state_name == "Completed"
    assert (tmp_path / "out" / "submission.csv").read_bytes() == undisturbed


def test_a_run_that_crashes_each_time_is_left_alone(
    ui: Any, asked: dict[str, Any], tmp_path: Path
) -> None:
    from flows.server_setup import SETTLED_S, TRIES

    run = ui.new_run("pipeline", **asked)
    for begun in range(1, TRIES + 1):
        ui.until(lambda begun=begun: ui.run(run).run_count == begun)
        kill(ui.pids("prefect.engine"))
        ui.until(lambda begun=begun: ui.states(run).count("Crashed") >= begun)
    time.sleep(3 * SETTLED_S)  # an automation that does nothing can't be waited for
    assert ui.run(run).run_count == TRIES
    assert ui.run(run).state_name == "Crashed"


def resumed(store: Path) -> bool:
    """Whether a training went on from a checkpoint."""
    manifests = [
        read_manifest(path.parent, Ref(*path.parts[-3:-1]))
        for path in store.glob(f"train/*/{MANIFEST}")
    ]
    return any(one.metrics["resumed_at"] > 0 for one in manifests)
