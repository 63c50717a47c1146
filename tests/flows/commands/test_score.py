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


@pytest.fixture
def detections(shared_data: Path, tmp_path: Path) -> Path:
    """BirdNET's table of a pitta in windows of 3 s, in recordings with Raven's tables."""
    lines = ["Start (s),End (s),Scientific name,Common name,Confidence,File"]
    for path in sorted((shared_data / "field" / "raven-noisy-pitta").rglob("*.flac")):
        lines += [
            f"{start},{start + 3},Pitta versicolor,Noisy Pitta,{0.2 + 0.07 * at},{path}"
            for at, start in enumerate((0, 3, 6))
        ]
    table = tmp_path / "detections.csv"
    table.write_text("\n".join(lines) + "\n")
    return table


def test_detections_are_scored_by_events(
    detections: Path, shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = shared_data / "field" / "raven-noisy-pitta"
    (line,) = score(capsys, detections, truth, code=1)
    assert "txt:1: no column of labels" in line
    named = (detections, truth, "--label", "Noisy Pitta")
    first, *table = score(capsys, *named, "--overlap-of", "event", "--by-class", tmp_path / "c.csv")
    assert first.startswith("event F1 0.")
    assert first.endswith("overlap at least 0.5 of the event")
    names = [line.split("  ")[0] for line in table[1:]]
    assert names == [
        "precision, macro", "recall, macro", "F1, macro", "precision, micro", "recall, micro",
        "F1, micro",
    ]  # fmt: skip
    assert pd.read_csv(tmp_path / "c.csv")["class"].tolist() == ["Pitta versicolor"]
    strict = score(capsys, *named, "--min-overlap", "0.9", "--threshold", "0.3")
    assert float(strict[0].split()[2]) < float(first.split()[2])


def test_options_of_rows_are_refused_for_detections(
    detections: Path, shared_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = shared_data / "field" / "raven-noisy-pitta"
    for options in (("--protocol", "birdset"), ("--threshold", "per-class")):
        said = score(capsys, detections, truth, *options, code=2)
        assert "it is for rows, not for events" in said[-1]
    said = score(capsys, detections, truth, "--label", "x", "--min-overlap", "0", code=1)
    assert "the least overlap is 0: give one above 0" in said[-1]


def test_each_side_may_have_rows_or_events(
    detections: Path, shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pitta = shared_data / "field" / "raven-noisy-pitta"
    stems = [path.stem for path in sorted(pitta.rglob("*.flac"))]
    windows = [f"{stem}_{end}" for stem in stems for end in (5, 10)]
    given = tmp_path / "submission.csv"
    rows = [f"{row},{at / 100}" for at, row in enumerate(windows)]
    given.write_text("\n".join(["row_id,noisy pitta", *rows]) + "\n")
    (line,) = score(capsys, given, pitta, "--label", "noisy pitta", "--silent")
    assert line.endswith(f"1 class, {len(windows)} rows")
    truth = tmp_path / "truth.csv"
    rows = [f"{row},{'Noisy Pitta' if at % 3 else 'nocall'}" for at, row in enumerate(windows)]
    truth.write_text("\n".join(["row_id,labels", *rows]) + "\n")
    lines = score(capsys, detections, truth, "--protocol", "birdset")
    assert lines[0].endswith(f"1 class, {len(windows)} rows")
    assert lines[-1].startswith("top-1")
