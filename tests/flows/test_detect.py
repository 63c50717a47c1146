"""The flow `detect`: a folder that fills up, on a Prefect server."""

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pandas as pd
import pytest

from birdcore.config import Predict
from tests.support.small_run import write_run

pytestmark = pytest.mark.usefixtures("prefect_server")
Run: TypeAlias = Callable[..., tuple[dict[str, Any], dict[str, Any]]]
HOUR_AGO = time.time() - 3600


@pytest.fixture
def recordings(tiny_data: Path, tmp_path: Path) -> Path:
    """Two recordings that a recorder wrote an hour ago."""
    folder = tmp_path / "recordings"
    folder.mkdir()
    for number, file in enumerate(sorted((tiny_data / "test_soundscapes").iterdir())):
        add(file, folder / f"S4A03895_20190522_0{number}0000{file.suffix}")
    return folder


def add(source: Path, target: Path, written: float = HOUR_AGO) -> None:
    shutil.copyfile(source, target)
    os.utime(target, (written, written))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    write_run(folder, {"one/test_resnet": ["0"]}, {"one/test_resnet": 1.0}, Predict())
    return folder


@pytest.fixture
def run(recordings: Path, model: Path, tmp_path: Path) -> Run:
    """Run the flow: what it returns, and its artifacts by key."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
    from prefect.states import State

    from flows.detect import detect

    def once(**settings: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        about = {"model": str(model), "out": str(tmp_path / "out"), "min_conf": 0.3} | settings
        state: State[Any] = detect(str(recordings), return_state=True, **about)
        with get_client(sync_client=True) as client:
            of_run = ArtifactFilterFlowRunId(any_=[state.state_details.flow_run_id])
            found = client.read_artifacts(artifact_filter=ArtifactFilter(flow_run_id=of_run))
        return state.result(), {str(one.key): one.data for one in found}

    return once


def test_new_recordings_are_added_to_the_tables(run: Run, recordings: Path, tmp_path: Path) -> None:
    facts, shown = run()
    assert (facts["files"], facts["failed"]) == (2, 0)
    assert facts["detections"] > 0
    out = tmp_path / "out"
    before = pd.read_parquet(out / "detections.parquet")
    assert len(before) == facts["detections"]
    rows = json.loads(shown["species"])
    assert sum(row["detections"] for row in rows) == len(before)
    assert shown["detections"].endswith("index.html)")
    assert (out / "index.html").is_file()

    first = min(recordings.iterdir())
    add(first, recordings / f"S4A03895_20190523_000000{first.suffix}")
    add(first, recordings / f"S4A03895_20190523_010000{first.suffix}", written=time.time())
    (recordings / "S4A03895_20190523_020000.wav").write_bytes(b"no sound")
    os.utime(recordings / "S4A03895_20190523_020000.wav", (HOUR_AGO, HOUR_AGO))
    facts, shown = run()
    # The one that is still being written waits for the next run.
    assert (facts["files"], facts["failed"]) == (2, 1)
    after = pd.read_parquet(out / "detections.parquet")
    assert len(after) == len(before) + facts["detections"]
    pd.testing.assert_frame_equal(after.iloc[: len(before)], before)
    (failed,) = json.loads(shown["failed"])
    assert failed["file"] == "S4A03895_20190523_020000.wav"
    assert len(pd.read_csv(out / "files.csv")) == 4
    assert run()[0] == {"files": 0, "hours": 0.0, "detections": 0, "failed": 0}


def test_recordings_that_may_still_grow_wait(run: Run, recordings: Path, tmp_path: Path) -> None:
    for file in recordings.iterdir():
        os.utime(file)
    facts, shown = run()
    assert (facts["files"], shown) == (0, {})
    assert not (tmp_path / "out").exists()
    assert run(settled_min=0.0)[0]["files"] == 2


def test_species_list_is_kept_to(run: Run, tmp_path: Path) -> None:
    listed = tmp_path / "list.txt"
    listed.write_text("b\nNemo nemo\n")
    run(species_list=str(listed))
    assert set(pd.read_parquet(tmp_path / "out" / "detections.parquet")["class"]) == {"b"}


def test_folder_without_a_recording_fails_with_its_reason(run: Run, recordings: Path) -> None:
    for file in recordings.iterdir():
        file.unlink()
    with pytest.raises(ValueError, match="there is no recording"):
        run()


def test_hours_are_a_table_that_every_ui_draws(run: Run) -> None:
    shown = run()[1]["hours"].splitlines()
    assert len(shown) == 2 + 24
    assert shown[2 + 1].startswith("| 1 | ") and "█" in shown[2 + 1]  # noqa: PT018
    assert shown[2 + 12] == "| 12 | no audio | |"
