"""Detections read back: whichever table is there, and what is refused."""

import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

from birdcore.detection.read import COLUMNS, read_detections, read_files, recordings_root

EVENTS = {
    "a/=x_20210601_050000.wav": [(0.0, 3.0, 0, 0.9), (4.25, 10.0, 2, 0.75)],
    "b.wav": [],
    "c.wav": [(1.5, 2.5, 1, 0.625)],
}
HEAD = "Start (s),End (s),Scientific name,Confidence,File\n"


def test_csv_and_parquet_say_the_same(detected: Any) -> None:
    out = detected(EVENTS, rtypes=("parquet", "csv"))
    one, other = read_detections(out), read_detections(out / "detections.csv")
    assert list(one.columns) == list(other.columns) == list(COLUMNS)
    for name in COLUMNS:
        if name == "confidence":
            assert one[name].tolist() == pytest.approx(other[name].tolist(), abs=1e-4)
        else:
            assert one[name].tolist() == other[name].tolist()
    assert one["file"].tolist() == ["a/=x_20210601_050000.wav"] * 2 + ["c.wav"]
    (out / "detections.parquet").unlink()
    assert read_detections(out)["class"].tolist() == other["class"].tolist()


def test_parts_are_read_where_no_table_was_asked_for(detected: Any) -> None:
    parts = []
    for number, name in enumerate(EVENTS):
        parts.append(detected({name: EVENTS[name]}, folder=f"part{number}"))
    out = detected({}, rtypes=())
    (out / ".detect" / "parts").mkdir()
    for number, part in enumerate(parts):
        shutil.copy(part / "detections.parquet", out / f".detect/parts/0000-{number:05d}.parquet")
    assert read_detections(out)["file"].tolist() == ["a/=x_20210601_050000.wav"] * 2 + ["c.wav"]


def test_tables_of_birdnet_analyzer_are_read(tmp_path: Path) -> None:
    path = tmp_path / "birdnet.csv"
    path.write_text(
        "Start (s),End (s),Scientific name,Common name,Confidence,File\n"
        "3.0,6.0,Turdus merula,Eurasian Blackbird,0.91,/there/a.wav\n"
    )
    (row,) = read_detections(path).to_dict("records")
    assert (row["class"], row["file"]) == ("Turdus merula", "/there/a.wav")
    assert recordings_root(path) is None


def test_files_and_their_folder_are_known(detected: Any, tmp_path: Path) -> None:
    out = detected(EVENTS, failed={"bad.wav": "=not a sound file"}, root=tmp_path / "there")
    files = read_files(out)
    assert files["detections"].tolist() == [2, 0, 1, 0]
    assert files["reason"].tolist() == ["", "", "", "=not a sound file"]
    assert recordings_root(out) == recordings_root(out / "detections.csv") == tmp_path / "there"


def test_a_filtered_table_needs_no_version(detected: Any, tmp_path: Path) -> None:
    out = detected(EVENTS)
    table = pd.read_parquet(out / "detections.parquet")
    table[table["confidence"] > 0.7].to_parquet(tmp_path / "sure.parquet")
    assert len(read_detections(tmp_path / "sure.parquet")) == 2


def test_what_holds_no_detections_is_refused(detected: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not there"):
        read_detections(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"holds no detections: give the folder that `birdflow de"):
        read_detections(tmp_path)
    with pytest.raises(ValueError, match=r"files\.csv is not there"):
        read_files(tmp_path)
    for name, content, message in (
        ("a.csv", "Start (s),End (s)\n1,2\n", "has no column 'File'"),
        ("b.csv", "", "is no table of detections: No columns"),
        ("c.csv", f"{HEAD}x,1,a,1,f\n", "is no table"),
        ("d.parquet", "PAR1", "is no table of detections"),
        ("e.csv", f"{HEAD}1,,a,.5,f\n", "has detections without end_s: leave them out"),
        ("f.csv", f"{HEAD}1,2,a,.5,f\n,2,a,.5,f\n", "without start_s"),
        ("g.csv", f"{HEAD}1,2,a,,f\n", "without confidence"),
    ):
        (tmp_path / name).write_text(content)
        with pytest.raises(ValueError, match=message) as error:
            read_detections(tmp_path / name)
        assert "\n" not in str(error.value)
    other = tmp_path / "other.parquet"
    pd.DataFrame({"x": [1]}).to_parquet(other)
    with pytest.raises(ValueError, match="is no table of detections"):
        read_detections(other)


def test_a_table_of_version_1_is_read_and_one_of_a_later_birdflow_refused(
    detected: Any, tmp_path: Path
) -> None:
    table = pq.read_table(detected(EVENTS) / "detections.parquet").drop(["probability"])
    for version in (b"1", b"3"):
        old = table.replace_schema_metadata({b"birdflow.detections": version})
        pq.write_table(old, tmp_path / f"{version.decode()}.parquet")
    assert len(read_detections(tmp_path / "1.parquet")) == 3
    with pytest.raises(ValueError, match=r"is of version 3, this birdflow reads versions up to 2"):
        read_detections(tmp_path / "3.parquet")
