"""The whole pipeline on made-up birds, with a Prefect server: what runs, and what does not."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pandas as pd
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import Artifact, TaskRun

from birdcore.stages.table import STAGES
from birdcore.store.artifact import MANIFEST
from flows.cli import main

ALL = 23
pytestmark = pytest.mark.usefixtures("prefect_server")


@pytest.fixture
def store(whole_run: Any, tmp_path: Path) -> Path:
    """The store of a finished run, to change."""
    return Path(shutil.copytree(whole_run.store, tmp_path / "store"))


def made(store: Path) -> dict[str, int]:
    """When each artifact was made, by stage and key."""
    return {
        str(path.parent.relative_to(store)): path.stat().st_mtime_ns
        for path in store.glob(f"*/*/{MANIFEST}")
    }


def test_run_writes_its_results(whole_run: Any, tiny_data: Path) -> None:
    assert f"{ALL} steps, 0 cached, {ALL} to run" in whole_run.said
    submission = pd.read_csv(whole_run.out / "submission.csv")
    sample = pd.read_csv(tiny_data / "sample_submission.csv")
    assert list(submission.columns) == list(sample.columns)
    assert list(submission["row_id"]) == list(sample["row_id"])
    written = {path.name for path in whole_run.out.iterdir()}
    assert written == {
        ".birdflow.json", "ATTRIBUTION.csv", "MODEL_CARD.md", "cuts.csv", "model", "problems.csv",
        "rejected.csv", "report", "scores.json", "settings.json", "submission-first.csv",
        "submission-second.csv", "submission.csv", "summary.md",
    }  # fmt: skip
    assert len(made(whole_run.store)) == ALL


def test_second_run_makes_nothing(
    whole_run: Any,
    tiny_data: Path,
    tiny_recipe: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = made(whole_run.store)
    arguments = [tiny_recipe, "--data", tiny_data, "--store", whole_run.store, "--out", tmp_path]
    assert main(["run", *map(str, arguments)]) == 0
    said = capsys.readouterr().out
    assert f"{ALL} steps, {ALL} cached, 0 to run" in said
    assert "UI " not in said
    assert made(whole_run.store) == before
    first = (whole_run.out / "submission.csv").read_bytes()
    assert (tmp_path / "submission.csv").read_bytes() == first


def test_deleted_mel_shard_alone_is_made_again(
    whole_run: Any, store: Path, tiny_data: Path, tiny_recipe: Path, tmp_path: Path
) -> None:
    before = made(store)
    shard = sorted((store / "mel").iterdir())[0]
    (shard / "mel.parquet").unlink()
    out = tmp_path / "out"
    arguments = [tiny_recipe, "--data", tiny_data, "--store", store, "--out", out]
    assert main(["run", *map(str, arguments)]) == 0
    after = made(store)
    assert {name for name in after if after[name] != before.get(name)} == {f"mel/{shard.name}"}
    assert (shard / "mel.parquet").is_file()
    first = (whole_run.out / "submission.csv").read_bytes()
    assert (out / "submission.csv").read_bytes() == first


def test_task_runs_of_second_flow_run_are_cached(
    whole_run: Any,
    tiny_data: Path,
    tiny_recipe: Path,
    tmp_path: Path,
    until: Callable[..., None],
) -> None:
    from flows.pipeline import pipeline

    state = pipeline(
        recipe=str(tiny_recipe),
        data=str(tiny_data),
        store=str(whole_run.store),
        out=str(tmp_path),
        return_state=True,
    )
    assert state.name == "Completed"
    flow_run = state.state_details.flow_run_id
    assert flow_run is not None
    # The server records what it hears within a second or two.
    until(lambda: sum(run.state_type is not None for run in task_runs(flow_run)) == ALL)
    until(
        lambda: all(run.state is not None and run.state.is_final() for run in task_runs(flow_run))
    )
    assert {run.state_name for run in task_runs(flow_run)} == {"Cached"}
    learnt = {
        f"learnt-train-{name}-test-resnet-fold-{f}" for name in ("first", "second") for f in "01"
    }
    assert {one.key for one in artifacts(flow_run)} == {*STAGES, "summary", "lineage", *learnt} - {
        # Of archives, further sources, an external teacher and exports: this recipe has none.
        "fingerprint", "leaks", "collection", "joined", "external_teacher", "probe", "export",
        "embedding_index",
    }  # fmt: skip


def task_runs(flow_run: UUID) -> list[TaskRun]:
    with get_client(sync_client=True) as client:
        return client.read_task_runs(
            flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[flow_run]))
        )


def artifacts(flow_run: UUID) -> list[Artifact]:
    with get_client(sync_client=True) as client:
        return client.read_artifacts(
            flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[flow_run]))
        )


def test_failed_stage_says_why_and_the_rest_is_made(
    store: Path,
    tiny_data: Path,
    tiny_recipe: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = made(store)
    shutil.rmtree(store / "predict")  # of the first round, it does not depend on what fails
    arguments = [tiny_recipe, "--data", tiny_data, "--store", store, "--out", tmp_path / "out"]
    capsys.readouterr()
    assert main(["run", *map(str, arguments), "--set", "round.1.label.threshold=1.0"]) == 1
    why = "no soundscape segment passed round.label.threshold"
    said = capsys.readouterr().err.splitlines()[-2:]
    assert said[0].startswith(f"birdflow: train second test_resnet fold 0: {why}")
    assert said[1].startswith(f"train second test_resnet fold 1: {why}")
    after = made(store)
    new = {name.partition("/")[0] for name in after.keys() - before.keys()}
    assert new == {"label"}
    kept = {name for name in before if not name.startswith("predict/")}
    assert {name: after.get(name) for name in kept} == {name: before[name] for name in kept}
    assert len(list((store / "predict").iterdir())) == 1
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        ".birdflow.json",
        "problems.csv",
    }


def test_unreachable_pretrained_weights_are_told_before_any_stage(
    tiny_data: Path,
    tiny_recipe: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    store = tmp_path / "store"
    arguments = [tiny_recipe, "--data", tiny_data, "--store", store, "--out", tmp_path / "out"]
    assert main(["run", *map(str, arguments), "--set", "round.0.pretrained=true"]) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("birdflow: pretrained = true needs timm's weights of 'test_resnet'")
    assert 'Set weights = "FILE"' in said
    assert made(store) == {}
