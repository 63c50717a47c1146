"""The button Retry: only what failed is done, and what follows it."""

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from birdcore.config import read_recipe
from birdcore.sources.birdclef import scan
from birdcore.store.artifact import MANIFEST, Ref, Step
from birdcore.store.manifest import read_manifest
from birdcore.store.store import Store
from flows.dag import build_dag


def steps_of(recipe: Path, data: Path, store: Path) -> dict[str, Step]:
    """All steps of a run, by name, with their keys: known before it begins."""
    shelf = Store(store)
    dag = build_dag(read_recipe(recipe, []), scan(data, shelf), shelf, keep_shards=True)
    return {step.name: step for step in dag.steps}


def made(store: Path) -> dict[str, tuple[str, int]]:
    """When each artifact was made, by the name of its step: what it says, and its file's time."""
    return {
        manifest.name: (manifest.made_at, path.stat().st_mtime_ns)
        for path in store.glob(f"*/*/{MANIFEST}")
        if (manifest := read_manifest(path.parent, Ref(*path.parts[-3:-1])))
    }


def test_retry_does_what_failed_and_what_follows(
    ui: Any,
    tiny_data: Path,
    tiny_recipe: Path,
    tmp_path: Path,
    submission_of: Callable[[Path], bytes],
) -> None:
    store, out = tmp_path / "store", tmp_path / "out"
    steps = steps_of(tiny_recipe, tiny_data, store)
    failing = ("mel test_soundscapes/0000", "train second test_resnet fold 1")
    for name in failing:  # a file stands where the step wants its folder
        blocked = store / "work" / steps[name].stage / steps[name].key
        blocked.parent.mkdir(parents=True, exist_ok=True)
        blocked.touch()

    asked = {"recipe": tiny_recipe, "data": tiny_data, "store": store, "out": out}
    run = ui.new_run("pipeline", **{name: str(path) for name, path in asked.items()})
    failed = ui.ended(run)
    assert failed.state_name == "Failed"
    assert all(f"{name}: " in failed.state.message for name in failing)
    assert failed.state.message.lower().count("file exists") == len(failing)
    ui.until(lambda: outcomes(ui, run, 1)["Failed"] == len(failing))
    before = made(store)
    assert not (out / "submission.csv").exists()

    for name in failing:
        os.unlink(store / "work" / steps[name].stage / steps[name].key)
    ui.retry(run)
    ended = ui.ended(run, begun=2)
    assert ended.state_name == "Completed"
    after = made(store)
    assert {name: after[name] for name in before} == before
    done = set(after) - set(before)
    assert done == {
        *failing, "predict first 0000", "predict second 0000", "ensemble", "submission", "score",
        "report",
    }  # fmt: skip
    ui.until(lambda: sum(outcomes(ui, run, 2).values()) == len(steps))
    assert outcomes(ui, run, 2) == {"Completed": len(done), "Cached": len(before)}
    assert (out / "submission.csv").read_bytes() == submission_of(tiny_recipe)


def outcomes(ui: Any, run: Any, begun: int) -> Counter[str]:
    """How the task runs of a flow run's n-th time ended."""
    return Counter(
        task.state_name
        for task in ui.task_runs(run)
        if task.flow_run_run_count == begun and task.state and task.state.is_final()
    )
