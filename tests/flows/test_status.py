"""`birdflow status`, `retry`, `--only`, `--from` and `--refresh`, over the stores of real runs."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from birdcore.store.artifact import MANIFEST
from birdcore.store.runs import runs
from birdcore.store.store import Store
from flows.cli import main


@pytest.fixture
def store(whole_run: Any, tmp_path: Path) -> Path:
    """The store of a finished run, to change."""
    return Path(shutil.copytree(whole_run.store, tmp_path / "store"))


def made(store: Path) -> dict[str, int]:
    """When each artifact was made, by stage and key."""
    found = store.glob(f"*/*/{MANIFEST}")
    return {str(path.parent.relative_to(store)): path.stat().st_mtime_ns for path in found}


def changed(before: dict[str, int], store: Path) -> list[str]:
    """Stages of what was made since, one for each artifact."""
    after = made(store)
    return sorted(n.partition("/")[0] for n in after if after[n] != before.get(n))


def birdflow(*arguments: object) -> int:
    """A command in this process, where all is imported; its exit code."""
    return main([*map(str, arguments)])


def test_status_tells_a_finished_run(whole_run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--store", str(whole_run.store)]) == 0
    said = capsys.readouterr().out
    (first, *_) = reversed(runs(Store(whole_run.store)))
    assert first.state == "completed"
    assert first.flow_run is not None
    assert f"{len(first.steps)} of {len(first.steps)}" in said
    assert first.name in said
    assert "retry" not in said


def test_retry_mends_failed_step_that_status_told(
    store: Path,
    tiny_data: Path,
    tiny_recipe: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    ask = ["run", tiny_recipe, "--data", tiny_data, "--store", store, "--out", out]
    in_the_way = store / "work" / "score"
    shutil.rmtree(in_the_way, ignore_errors=True)
    in_the_way.write_text("a file where a folder should be")
    assert birdflow(*ask, "--set", "score.bootstrap=51") == 1
    capsys.readouterr()
    assert main(["status", "--store", str(store)]) == 0
    said = capsys.readouterr().out
    latest = runs(Store(store))[0]
    assert latest.state == "failed"
    assert "score" in latest.failed
    assert f"score: {latest.failed['score']}" in said
    assert f"birdflow retry {latest.name}" in said
    (of_score,) = [line for line in said.splitlines() if line.startswith("score ")]
    assert of_score.split()[1:] == ["1", "failed"]
    in_the_way.unlink()
    before = made(store)
    assert birdflow("retry", latest.name, "--store", store) == 0
    assert changed(before, store)[-1:] == ["score"]
    assert not {"train", "predict", "submission"} & set(changed(before, store))
    assert runs(Store(store))[0].state == "completed"
    assert (out / "scores.json").is_file()


def test_refresh_makes_one_shard_alone(
    store: Path,
    tiny_data: Path,
    tiny_recipe: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = made(store)
    ask = ["run", tiny_recipe, "--data", tiny_data, "--store", store, "--out", tmp_path / "out"]
    assert birdflow(*ask, "--refresh", "mel:train_audio/0001") == 0
    assert changed(before, store) == ["mel"]
    assert "cached, 1 to run" in capsys.readouterr().out


def test_from_repeats_results_of_stage_and_what_follows(
    store: Path, whole_run: Any, tiny_data: Path, tiny_recipe: Path, tmp_path: Path
) -> None:
    before = made(store)
    ask = ["run", tiny_recipe, "--data", tiny_data, "--store", store, "--out", tmp_path / "out"]
    assert birdflow(*ask, "--from", "predict") == 0
    assert {"predict", "submission", "score"} <= set(changed(before, store))
    assert not {"catalog", "clean", "mel", "train", "label"} & set(changed(before, store))
    same = [folder / "submission.csv" for folder in (whole_run.out, tmp_path / "out")]
    assert same[0].read_bytes() == same[1].read_bytes()


def test_only_runs_one_stage_and_writes_no_results(
    prefect_server: str,
    tiny_data: Path,
    tiny_recipe: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    store, out = tmp_path / "store", tmp_path / "out"
    ask = ["run", tiny_recipe, "--data", tiny_data, "--store", store, "--out", out]
    assert birdflow(*ask, "--only", "clean") == 0
    assert {name.partition("/")[0] for name in made(store)} == {"clean"}
    assert "none yet" in capsys.readouterr().out
    assert not (out / "submission.csv").exists()


def test_only_of_made_stage_succeeds(
    store: Path, tiny_data: Path, tiny_recipe: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """Each stage with the others there, and then without them; no server is needed for it."""
    out = tmp_path / "out"
    ask = ["run", tiny_recipe, "--data", tiny_data, "--store", store, "--out", out]
    stages = sorted({name.partition("/")[0] for name in made(store)})
    assert len(stages) == 11
    for stage in stages:
        assert main([*map(str, ask), "--only", stage]) == 0
        assert (out / "submission.csv").is_file()
        shutil.rmtree(out)
    for stage in stages:
        alone = tmp_path / stage
        for name in (stage, "store.json", "shards.parquet", "digests.parquet"):
            copy = shutil.copytree if (store / name).is_dir() else shutil.copy
            alone.mkdir(exist_ok=True)
            copy(store / name, alone / name)
        capsys.readouterr()
        asked = ["run", tiny_recipe, "--data", tiny_data, "--store", alone, "--out", out]
        assert main([*map(str, asked), "--only", stage]) == 0, capsys.readouterr().err
        said = capsys.readouterr().out
        assert "0 to run" in said
        assert "none yet" in said
        assert not out.exists()
        assert runs(Store(alone))[0].state == "completed"


def test_only_without_its_inputs_fails_on_record(
    tiny_data: Path, tiny_recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "store"
    ask = ["run", tiny_recipe, "--data", tiny_data, "--store", store, "--out", tmp_path / "out"]
    for stage in ("mel", "train", "label", "ensemble", "predict", "submission", "score", "report"):
        assert main([*map(str, ask), "--only", stage]) == 1
        said = capsys.readouterr().err
        assert f"{stage} reads " in said
        assert f"say --until {stage} to make them too" in said
        assert runs(Store(store))[0].state == "failed"


def test_flow_that_fails_before_any_step_is_on_record(
    prefect_server: str, tiny_data: Path, tiny_recipe: Path, tmp_path: Path
) -> None:
    from flows.pipeline import pipeline

    store = str(tmp_path / "store")
    for data, settings in ((tiny_data, ["mel.n_mel=32"]), (tmp_path / "gone", [])):
        state = pipeline(
            str(tiny_recipe), str(data), store, str(tmp_path), settings, return_state=True
        )
        (run, *_) = runs(Store(tmp_path / "store"))
        assert (run.state, run.flow_run) == ("failed", str(state.state_details.flow_run_id))
        assert run.failed[""] in (state.message or "")


def test_status_of_store_without_runs_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "store"
    assert main(["status", "--store", str(store)]) == 1
    assert f"{store} is not a store" in capsys.readouterr().err
    Store(store)
    assert main(["status", "--store", str(store)]) == 1
    assert "there is no run in" in capsys.readouterr().err
