"""`birdflow detect` as a user gives it: real recorders' files, BirdNET's spellings, refusals."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from crowsetta.formats.bbox import Raven

from birdcore.config import Predict
from birdcore.detection.calibration import CALIBRATION_FILE, LEVELS, Calibration, Curve
from flows.cli import main
from tests.support.small_run import write_run

CLASSES = "class,scientific_name,common_name\na,Turdus merula,Eurasian Blackbird\n"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results folder of a run with one small model."""
    folder = tmp_path_factory.mktemp("run") / "out"
    write_run(folder, {"one/test_resnet": ["one"]}, {"one/test_resnet": 1.0}, Predict())
    (folder / "model" / "classes.csv").write_text(CLASSES)
    return folder


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    (tmp_path / "disk").mkdir()
    for number in range(3):
        samples = 0.1 * rng.standard_normal(6 * 32_000)
        sf.write(tmp_path / "disk" / f"SITE_2025060{number + 1}_050000.wav", samples, 32_000)
    return tmp_path / "disk"


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def refused(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """The one line that refuses a command."""
    capsys.readouterr()
    assert main(["detect", *map(str, words)]) == 1
    line, *others = reversed(capsys.readouterr().err.splitlines())
    assert all("birdflow:" not in other for other in others)
    return line


# crowsetta renames columns in place, of which pandas warns.
@pytest.mark.filterwarnings("ignore:The inplace keyword")
def test_recorders_files_become_tables_that_others_open(
    run: Path, shared_data: Path, tmp_path: Path
) -> None:
    field, out = shared_data / "field", tmp_path / "out"
    words = ["detect", field / "recorder-day", field / "recorders", "--model", run, "--out", out]
    words += ["--min_conf", 0.1, "--rtype", "table", "csv", "parquet", "--threads", 2]
    assert main(list(map(str, words))) == 0
    files = {row["file"]: row for row in rows(out / "files.csv")}
    assert len(files) == 23
    night = files["recorder-day/S4A03895_20190522_013000.flac"]
    assert (night["seconds"], night["recorded_at"]) == ("10.0", "2019-05-22T01:30:00")
    assert files["recorders/audiomoth_gps.wav"]["serial"] == "243B1F026488F56E"
    assert files["recorders/empty_2c.wav"]["reason"] == "no samples can be read from it"
    found = rows(out / "detections.csv")
    assert len(found) == sum(int(row["detections"]) for row in files.values()) > 10
    assert {row["Common name"] for row in found} <= {"Eurasian Blackbird", "b", "c"}
    boxes = Raven.from_file(
        out / "detections.selection.table.txt", annot_col="Common Name"
    ).to_bbox()
    assert [box.label for box in boxes] == [row["Common name"] for row in found]
    assert (out / "detections.parquet").is_file()
    assert "Eurasian Blackbird" in (out / "index.html").read_text()


def test_windows_have_the_spellings_of_birdnet(run: Path, disk: Path, tmp_path: Path) -> None:
    common = [str(disk), "--model", str(run), "--segments", "3"]
    ways = [
        ["--min_conf", ".01", "--top_n", "2", "--merge_consecutive", "2", "--split_tables"],
        ["--min-conf", ".01", "--top-n", "2", "--merge-consecutive", "2", "--split-tables"],
    ]
    for number, way in enumerate(ways):
        out = ["--out", str(tmp_path / str(number)), "--rtype", "csv,audacity"]
        assert main(["detect", *common, *way, *out]) == 0
    one, two = (
        {p.relative_to(tmp_path / n): p.read_bytes() for p in (tmp_path / n / "tables").iterdir()}
        for n in "01"
    )
    assert one == two
    assert len(one) == 6
    found = rows(tmp_path / "0" / "tables" / "SITE_20250601_050000.csv")
    assert {float(row["End (s)"]) - float(row["Start (s)"]) for row in found} <= {3.0, 6.0}


def test_species_list_leaves_others_out(
    run: Path, disk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "list.txt").write_text("Turdus merula_Amsel\nParus major\n")
    words = [str(disk), "--model", str(run), "--slist", str(tmp_path / "list.txt")]
    out = tmp_path / "out"
    assert main(["detect", *words, "--out", str(out), "--min_conf", "1e-4"]) == 0
    assert "note: not a species of the model: Parus major" in capsys.readouterr().err
    assert {row["class"] for row in rows(out / "detections.csv")} == {"a"}
    (tmp_path / "list.txt").write_text("Turdus merulla\n")
    assert "nearest are Turdus merula" in refused(capsys, *words, "--out", tmp_path / "other")


def test_precision_has_thresholds_by_class(
    run: Path, disk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(disk), "--model", str(run), "--precision", ".9"]
    assert "has no calibration.json" in refused(capsys, *words, "--out", tmp_path / "none")
    model, out = tmp_path / "run", tmp_path / "out"
    shutil.copytree(run, model)
    curve = Curve(method="pooled", positives=0, confidence=(0.0, 1.0), probability=(0.0, 1.0))
    thresholds = ((1e-5,) * len(LEVELS), (None,) * len(LEVELS), (1e-4,) * len(LEVELS))
    calibration = Calibration(
        classes=("a", "b", "c"), recordings=9, curves=(curve,) * 3, levels=LEVELS,
        thresholds=thresholds,
    )  # fmt: skip
    (model / "model" / CALIBRATION_FILE).write_text(calibration.model_dump_json())
    words[2] = str(model)
    assert main(["detect", *words, "--out", str(out)]) == 0
    assert "1 of 3 species are left out, since no threshold" in capsys.readouterr().err
    found = {(row["class"], row["threshold"]) for row in rows(out / "detections.csv")}
    assert found == {("a", "0.0"), ("c", "0.0001")}
    assert "give one" in refused(capsys, *words, "--out", out, "--min_conf", ".3")


def test_what_can_not_be_is_refused_in_a_line_before_work(
    run: Path, disk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "none").mkdir()
    out = tmp_path / "out"
    given = (disk, "--model", run, "--out", out)
    assert "none: there is no recording" in refused(capsys, tmp_path / "none", *given[1:])
    assert "no model is at nowhere" in refused(capsys, disk, "--model", "nowhere", "--out", out)
    assert "--lat without --lon, --week" in refused(capsys, *given, "--lat", 3)
    assert "no --rtype is called 'cvs'" in refused(capsys, *given, "--rtype", "cvs")
    assert "no engine is called 'tf'" in refused(capsys, *given, "--engine", "tf")
    assert "are of fixed windows" in refused(capsys, *given, "--overlap", 1)
    assert not out.exists()
    (tmp_path / "file").write_text("")
    taken = (disk, "--model", run, "--out", tmp_path / "file")
    assert "not a directory" in refused(capsys, *taken)
    assert main(["detect", *map(str, given)]) == 0
    assert "min_conf was 0.25, now 0.5" in refused(capsys, *given, "--min_conf", 0.5)


def test_what_looks_like_a_recording_and_is_none_is_said(
    run: Path, disk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (disk / "old.w01").write_bytes(b"1")
    assert main(["detect", str(disk), "--model", str(run), "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr()
    assert "note: passed over: suffix of no known audio: disk/old.w01" in said.err
    assert "3 files, 0.01 h of audio" in said.out
    assert main(["detect", str(disk), "--model", str(run), "--out", str(tmp_path / "out")]) == 0
    assert "3 other files were done before or elsewhere" in capsys.readouterr().out


def test_ctrl_c_says_how_to_go_on(
    run: Path,
    disk: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("birdcore.detection.detect.decode", stopped)
    assert main(["detect", str(disk), "--model", str(run), "--out", str(tmp_path / "out")]) == 130
    said = capsys.readouterr().err
    assert said.splitlines()[-1] == "stopped; run the same command again to continue"
