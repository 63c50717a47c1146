"""The command line: plan and score, and what a person is told when something is wrong."""

import errno
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from birdcore.store.artifact import MANIFEST
from flows.cli import main

ALL = 23


@pytest.fixture
def data(tiny_data: Path, tmp_path: Path) -> Path:
    """A data folder to spoil."""
    return Path(shutil.copytree(tiny_data, tmp_path / "data"))


def plan(capsys: pytest.CaptureFixture[str], *arguments: object) -> list[str]:
    assert main(["plan", *map(str, arguments)]) == 0
    return capsys.readouterr().out.splitlines()


def refusal(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one line that a command says as it fails."""
    assert main([*map(str, arguments)]) == 1
    said = capsys.readouterr()
    assert "Traceback" not in said.out + said.err
    (line,) = said.err.splitlines()
    assert line.startswith("birdflow: ")
    return line.removeprefix("birdflow: ")


def test_a_plan_says_that_all_is_new(
    tiny_data: Path, tiny_recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = plan(capsys, tiny_recipe, "--data", tiny_data, "--store", tmp_path / "store")
    assert lines[-1] == f"{ALL} steps, 0 cached, {ALL} to run"
    steps = lines[1:-1]
    assert len(steps) == ALL
    assert all(line.split()[-3:] == ["will", "run", "new"] for line in steps)
    assert not list((tmp_path / "store").glob(f"*/*/{MANIFEST}"))


def test_a_plan_says_what_changed(
    whole_run: Any, tiny_data: Path, tiny_recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = (tiny_recipe, "--data", tiny_data, "--store", whole_run.store)
    assert plan(capsys, *known)[-1] == f"{ALL} steps, {ALL} cached, 0 to run"
    lines = plan(capsys, *known, "--set", "mel.n_mels=40")
    states = {line.split()[0]: line for line in lines[1:-1]}
    assert "cached" in states["clean"]
    assert "will run" in states["mel"]
    assert "n_mels changed from 32 to 40" in states["mel"]
    assert "input changed: label, mel" in states["train"]


def test_a_score_is_that_of_the_run(
    whole_run: Any, tiny_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = tiny_data / "test_soundscapes_labels.csv"
    submission = whole_run.out / "submission.csv"
    assert main(["score", str(submission), str(truth), "--bootstrap", "50"]) == 0
    said = capsys.readouterr().out
    scores = json.loads((whole_run.out / "scores.json").read_text())["ensemble"]
    assert said.startswith(f"macro ROC-AUC {scores['macro_auc']:.6f} ")
    assert f"cmAP {scores['cmap']:.6f}" in said


def test_an_unknown_key_of_a_recipe_is_refused_with_its_line(
    tiny_data: Path, tiny_recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "wrong.toml"
    recipe.write_text(tiny_recipe.read_text().replace("n_mels = 32", "n_mel = 32"))
    number = recipe.read_text().splitlines().index("n_mel = 32") + 1
    line = refusal(capsys, "run", recipe, "--data", tiny_data, "--store", tmp_path / "store")
    assert line.startswith(f"{recipe}:{number}: ")
    assert "n_mel" in line
    assert "'n_mels'" in line


def test_a_folder_that_is_not_there_is_refused(
    tiny_recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nowhere = tmp_path / "nowhere"
    line = refusal(capsys, "run", tiny_recipe, "--data", nowhere, "--store", tmp_path / "store")
    assert line == f"{nowhere}: there is no such data folder"


def test_a_table_without_a_column_is_refused(
    data: Path, tiny_recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = data / "train.csv"
    table.write_text(table.read_text().replace("primary_label", "label", 1))
    line = refusal(capsys, "run", tiny_recipe, "--data", data, "--store", tmp_path / "store")
    assert line.startswith(str(table))
    assert "primary_label" in line


def test_a_store_that_is_a_file_is_refused(
    tiny_data: Path, tiny_recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "store"
    store.write_text("no folder")
    line = refusal(capsys, "run", tiny_recipe, "--data", tiny_data, "--store", store)
    assert line == f"{store} is a file: name a folder for the store"


def test_overrides_that_make_no_sense_are_refused_with_their_line(
    data: Path, tiny_recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = sorted((data / "train_audio").rglob("*.ogg"))[0].relative_to(data)
    table = data / "overrides.csv"
    table.write_text(f"recording,action,from,to\n{first},cut,0,1\n{first},cut,three,4\n")
    line = refusal(capsys, "plan", tiny_recipe, "--data", data, "--store", tmp_path / "store")
    assert line.startswith(f"{table}:3: ")
    assert "'three'" in line


def test_a_submission_that_is_not_there_is_refused(
    tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = tmp_path / "gone.csv"
    assert str(gone) in refusal(capsys, "score", gone, tiny_data / "test_soundscapes_labels.csv")


def test_a_traceback_comes_when_asked_for(
    tiny_recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["plan", tiny_recipe, "--data", tmp_path / "no", "--store", tmp_path / "store"]
    assert main([*map(str, arguments), "--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["plan", "mini.toml"], "Missing option '--data'"),
        (["plan", "mini.toml", "--data", "d", "--sett", "a=1"], "No such option: --sett"),
        (["plam"], "Did you mean 'plan'"),
        (["store", "lss"], "Did you mean 'ls'"),
        (["status", "--last", "two"], "--last"),
    ],
)
def test_main_wrong_usage_exits_with_2(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    usage, line = capsys.readouterr().err.splitlines()
    assert usage.startswith("Usage: birdflow ")
    assert line.startswith("birdflow: ")
    assert said in line


@pytest.mark.parametrize("arguments", [[], ["store"]])
def test_main_without_command_prints_help_and_exits_with_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    answer = capsys.readouterr()
    assert "Usage: " in answer.out
    assert answer.err == ""


def test_help_lists_commands_in_groups(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    page = capsys.readouterr().out
    groups = ["Train", "Look", "Collect", "Server", "Store"]
    starts = [page.index(f"─ {group} ─") for group in groups]
    assert starts == sorted(starts)
    assert "--install-completion" in page
    for words in (["run"], ["store", "gc"]):
        assert main([*words, "-h"]) == 0
        assert "--debug" in capsys.readouterr().out


def test_interrupt_exits_with_130(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("birdcore.detection.read.are_detections", interrupted)
    assert main(["score", str(tmp_path / "a.csv"), str(tmp_path / "b.csv")]) == 130
    assert capsys.readouterr().err == "stopped; run the same command again to continue\n"


def test_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    from birdcore import __version__

    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"birdflow {__version__}\n"


@pytest.mark.usefixtures("prefect_server")
@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc")
def test_a_full_disk_is_told_and_nothing_is_published_by_half(
    tiny_data: Path,
    tiny_recipe: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def full(handle: int) -> None:
        path = os.readlink(f"/proc/self/fd/{handle}")
        if "work/mel/" in path:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)

    monkeypatch.setattr("os.fsync", full)
    known = [tiny_recipe, "--data", tiny_data, "--store", tmp_path / "s", "--out", tmp_path / "out"]
    assert main(["run", *map(str, known)]) == 1
    said = capsys.readouterr()
    assert "Traceback" not in said.out + said.err
    told = [line for line in said.err.splitlines() if line.startswith("birdflow: mel ")]
    assert len(told) == 1
    assert "no disk space left" in told[0]
    assert "make room and run the same command again" in told[0]
    published = {path.parents[1].name for path in (tmp_path / "s").glob(f"*/*/{MANIFEST}")}
    assert published == {"catalog", "clean", "folds"}
