"""`birdflow score` on real submissions and truths, and what it says of wrong ones."""

import csv
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from flows.cli import main


@pytest.fixture(scope="module")
def truth(shared_data: Path) -> Path:
    return shared_data / "birdclef-mini" / "test_soundscapes_labels.csv"


@pytest.fixture(scope="module")
def submission(truth: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The truth, with as much noise as a middling model has."""
    table = pd.read_csv(truth, index_col="row_id")
    table = 0.35 * table + 0.65 * np.random.default_rng(5).random(table.shape)
    path = tmp_path_factory.mktemp("submission") / "submission.csv"
    table.to_csv(path)
    return path


def score(capsys: pytest.CaptureFixture[str], *arguments: object, code: int = 0) -> list[str]:
    assert main(["score", *map(str, arguments), "--bootstrap", "40"]) == code
    said = capsys.readouterr()
    return (said.err if code else said.out).splitlines()


def test_without_options_there_is_one_line(
    submission: Path, truth: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (line,) = score(capsys, submission, truth)
    assert line.startswith("macro ROC-AUC 0.8")
    assert line.endswith(", 26 classes, 288 rows")


def test_a_threshold_adds_precision_and_recall(
    submission: Path, truth: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, *table = score(capsys, submission, truth, "--threshold", "0.6")
    assert score(capsys, submission, truth) == [first]
    assert table[0].split() == ["score", "95", "%", "interval", "over"]
    names = [line.split("  ")[0] for line in table[1:]]
    assert names == [
        "macro ROC-AUC", "cmAP", "precision, macro", "recall, macro", "F1, macro",
        "precision, micro", "recall, micro", "F1, micro",
    ]  # fmt: skip
    assert f"{float(first.split()[2]):.4f}" in table[1]


def test_birdset_has_its_names(
    submission: Path, truth: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, _, *table = score(capsys, submission, truth, "--protocol", "birdset")
    assert [line.split()[0] for line in table] == ["cmAP", "AUROC", "top-1"]
    assert table[2].endswith("169 rows with a class")


def test_thresholds_of_one_table_score_another(
    submission: Path, truth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    classes = tmp_path / "classes.csv"
    best = score(capsys, submission, truth, "--threshold", "per-class", "--by-class", classes)
    with classes.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["class"] for row in rows] == pd.read_csv(truth).columns[1:].tolist()
    assert (
        sum(int(float(row["rows"])) for row in rows) == pd.read_csv(truth).iloc[:, 1:].sum().sum()
    )
    assert score(capsys, submission, truth, "--threshold", classes) == best
    rows[3]["threshold"] = "high"
    pd.DataFrame(rows).to_csv(classes, index=False)
    (line,) = score(capsys, submission, truth, "--threshold", classes, code=1)
    assert f"{classes}:5: threshold 'high' is no number" in line
    pd.DataFrame(rows[:3]).to_csv(classes, index=False)
    (line,) = score(capsys, submission, truth, "--threshold", classes, code=1)
    assert f"{classes}: no threshold of {rows[3]['class']!r}" in line


def test_a_threshold_that_is_none_is_refused(
    submission: Path, truth: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = score(capsys, submission, truth, "--threshold", "best", code=2)
    assert "'best' is no number, no file, and not per-class" in said[-1]
