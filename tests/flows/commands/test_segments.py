"""`birdflow segments` as a user gives it."""

import csv
from pathlib import Path

import pytest
import soundfile as sf

from flows.cli import main
from tests.flows.test_imports import heavy_imports

HEAD = "Start (s),End (s),Scientific name,Common name,Confidence,File\n"


@pytest.fixture
def detections(shared_data: Path, tmp_path: Path) -> Path:
    """A table as BirdNET-Analyzer writes it, of recordings of one day."""
    recordings = sorted((shared_data / "field" / "recorder-day").iterdir())
    lines = [
        f"{start},{start + 3},Turdus merula,Blackbird,{(n + start) / 30:.4f},{path}\n"
        for n, path in enumerate(recordings)
        for start in (0, 3, 6)
    ]
    path = tmp_path / "detections.csv"
    path.write_text(HEAD + "".join(lines))
    return path


def said(capsys: pytest.CaptureFixture[str], code: int, *words: object) -> list[str]:
    capsys.readouterr()
    assert main(["segments", *map(str, words)]) == code
    printed = capsys.readouterr()
    return (printed.err if code else printed.out).splitlines()


def test_segments_are_cut_and_added_to(
    detections: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    to = tmp_path / "cuts"
    lines = said(capsys, 0, detections, "--out", to, "--max", 10, "--choose", "balanced")
    assert lines == ["10 segments of 1 species", f"table    {to / 'segments.csv'}"]
    files = sorted((to / "Turdus merula_Blackbird").glob("*.wav"))
    assert len(files) == 10
    assert len({int(float(path.name.split("_")[0]) * 10) for path in files}) == 8  # bands
    assert {sf.info(path).samplerate for path in files} == {22_000}
    options = ("--choose", "confidence", "--min-conf", 0.6, "--seconds", 5)
    lines = said(capsys, 0, detections, "--out", to, *options)
    assert lines[0].endswith(" were there before")
    with (to / "segments.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len({row["segment"] for row in rows}) > 10
    lengths = [float(row["cut_end_s"]) - float(row["cut_start_s"]) for row in rows]
    assert lengths[:10] == [3.0] * 10
    assert 5.0 in lengths


def test_recordings_that_moved_are_found_by_audio(
    detections: Path, shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shared_data / "field" / "recorder-day"
    detections.write_text(detections.read_text().replace(f"{folder}/", ""))
    (line,) = said(capsys, 1, detections, "--out", tmp_path / "cuts")
    assert line.endswith("does not say where its recordings are: say so with --audio DIR")
    assert not (tmp_path / "cuts").exists()
    lines = said(capsys, 0, detections, "--out", tmp_path / "cuts", "--audio", folder, "--max", 2)
    assert lines[0] == "2 segments of 1 species"


def test_refusals_are_of_one_line(
    detections: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    to = tmp_path / "cuts"
    for words, message in (
        ((tmp_path / "gone",), "gone is not there"),
        ((tmp_path,), "give the folder that `birdflow detect` wrote to"),
        ((detections, "--choose", "best"), "--choose is random, confidence, balanced, not 'best'"),
        ((detections, "--min_conf", 0.9), "no detection has a confidence of 0.9 or more"),
    ):
        if words == (tmp_path,):
            detections.rename(tmp_path / "other.csv")
        (line,) = said(capsys, 1, *words, "--out", to)
        assert line.startswith("birdflow: ")
        assert message in line
        if words == (tmp_path,):
            (tmp_path / "other.csv").rename(detections)
    assert not to.exists()
    (line,) = said(capsys, 1, detections, "--out", detections)
    assert line.startswith("birdflow: not a directory: ")


def test_torch_is_not_imported(tmp_path: Path) -> None:
    assert heavy_imports("segments", tmp_path / "x", "--out", tmp_path / "y") == set()
