"""Files of detections: what others' readers find in them, and that nothing is lost on the way."""

import csv
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from crowsetta.formats.bbox import Raven
from crowsetta.formats.seq import SimpleSeq
from hypothesis import given
from hypothesis import strategies as st

from birdcore.detection.events import Events
from birdcore.detection.table import (
    FILE_SCHEMA,
    SCHEMA,
    FileRow,
    RecorderInfo,
    Species,
    detections_table,
    file_rows,
    files_table,
)
from birdcore.detection.writers import RTYPES, split_names, write_outputs
from birdcore.text import from_spreadsheet_cell

SPECIES = (
    Species("blackbird", "Turdus merula", "Eurasian Blackbird"),
    Species("x", "x", "x"),
)
ABOUT = RecorderInfo("AudioMoth", "24F3", "2021-06-04T05:00:00+01:00", 51.5, -0.1, 12.8, "wood")
ROOT = Path("/recordings")
MODEL = "0123456789ab"
Result = tuple[FileRow, pa.Table]

# crowsetta renames columns in place, of which pandas warns.
pytestmark = pytest.mark.filterwarnings("ignore:The inplace keyword")


def result(file: str, seconds: float, events: list[tuple[float, float, int, float]]) -> Result:
    start, end, label, confidence = np.array(events, np.float64).reshape(-1, 4).T
    found = Events(start, end, label.astype(np.int64), confidence.astype(np.float32))
    row = FileRow(file, seconds, 24_000, 1, ABOUT, MODEL, 0.5, len(found))
    return row, detections_table(row, found, SPECIES, [0.5, 0.6])


RESULTS = [
    result("a/=one.wav", 10.0, [(0.0, 3.0, 0, 0.9), (4.25, 10.0, 1, 0.75)]),
    result("a/silent.wav", 5.0, []),
    (FileRow("bad.wav", 0.0, 0, 0, RecorderInfo(), MODEL, 0.5, reason="not a sound file"),
     SCHEMA.empty_table()),
    result("two\twords.flac", 8.0, [(1.5, 2.5, 0, 0.625)]),
]  # fmt: skip


def written(folder: Path, *rtypes: str, split: bool = False) -> Path:
    write_outputs(folder, lambda: iter(RESULTS), rtypes, ROOT, split_tables=split)
    assert not list(folder.rglob(".*"))
    return folder


def test_foreign_reader_opens_raven_table_over_several_files(tmp_path: Path) -> None:
    path = written(tmp_path, "table") / "detections.selection.table.txt"
    boxes = Raven.from_file(path, annot_col="Common Name").to_bbox()
    # Begin and end accumulate: the third event is in the file that begins after 10 and 5 s.
    assert [(b.onset, b.offset, b.label) for b in boxes] == [
        (0.0, 3.0, "Eurasian Blackbird"), (4.25, 10.0, "x"), (16.5, 17.5, "Eurasian Blackbird"),
    ]  # fmt: skip
    assert {(b.low_freq, b.high_freq) for b in boxes} == {(0.0, 12_000.0)}
    table = pd.read_csv(path, sep="\t")
    assert list(table["File Offset (s)"]) == [0.0, 4.25, 1.5]
    assert list(table["Begin Path"])[2] == "/recordings/two words.flac"
    assert list(table["Threshold"]) == [0.5, 0.6, 0.5]
    assert set(table["Model"].astype(str)) == {MODEL}


def test_foreign_reader_opens_tables_and_labels_of_one_recording(tmp_path: Path) -> None:
    folder = written(tmp_path, "table", "audacity", split=True) / "tables"
    boxes = Raven.from_file(folder / "a/=one.selection.table.txt", annot_col="Species Code").df
    assert list(boxes["annotation"]) == ["blackbird", "x"]
    labels = SimpleSeq.from_file(
        folder / "a/=one.txt",
        columns_map={"onset": "onset_s", "offset": "offset_s"},
        read_csv_kwargs={
            "sep": "\t", "header": None, "names": ["onset", "offset", "label", "confidence"],
            "usecols": [0, 1, 2],
        },
    )  # fmt: skip
    assert list(labels.onsets_s) == [0.0, 4.25]
    assert list(labels.offsets_s) == [3.0, 10.0]
    assert list(labels.labels) == ["Eurasian Blackbird", "x"]
    assert (folder / "a/silent.txt").read_text() == ""


def test_csv_and_kaleidoscope_have_the_columns_that_scripts_know(tmp_path: Path) -> None:
    folder = written(tmp_path, "csv", "kaleidoscope")
    rows = list(csv.DictReader((folder / "detections.csv").read_text().splitlines()))
    assert list(rows[0])[:6] == [
        "Start (s)", "End (s)", "Scientific name", "Common name", "Confidence", "File",
    ]  # fmt: skip
    assert rows[0]["recorded_at"] == ABOUT.recorded_at
    assert float(rows[0]["temperature"]) == 12.8
    rows = list(csv.DictReader((folder / "detections.kaleidoscope.csv").read_text().splitlines()))
    assert (rows[0]["INDIR"], rows[0]["FOLDER"]) == ("/recordings", "a")
    assert from_spreadsheet_cell(rows[0]["IN FILE"]) == "=one.wav"
    assert (rows[1]["OFFSET"], rows[1]["DURATION"]) == ("4.25", "5.75")


def test_each_analysed_file_has_a_row(tmp_path: Path) -> None:
    table = pd.read_csv(written(tmp_path) / "files.csv", dtype={"model": str})
    assert list(table.columns) == FILE_SCHEMA.names
    assert list(table["detections"]) == [2, 0, 0, 1]
    assert list(table["reason"].fillna("")) == ["", "", "not a sound file", ""]


def test_parquet_holds_all_and_says_its_version(tmp_path: Path) -> None:
    path = written(tmp_path, "parquet") / "detections.parquet"
    assert pq.read_schema(path).metadata[b"birdflow.detections"] == b"2"
    assert pq.read_table(path).equals(pa.concat_tables([table for _, table in RESULTS]))


def test_files_with_one_stem_keep_their_suffixes() -> None:
    names = split_names(["a.wav", "A.flac", "c/a.wav"])
    assert names == {"a.wav": "a.wav", "A.flac": "A.flac", "c/a.wav": "c/a"}


def test_unknown_rtype_is_refused_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no --rtype is called 'r': choose from table, csv"):
        written(tmp_path, "r")
    assert not list(tmp_path.iterdir())


texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12)
events = st.lists(
    st.tuples(
        st.floats(0, 1e5).map(lambda t: round(t, 3)),
        st.floats(0.001, 9).map(lambda t: round(t, 3)),
        st.integers(0, 1),
        st.integers(1, 100).map(lambda p: p / 100),
    ),
    max_size=5,
)  # fmt: skip


@given(st.dictionaries(texts, events, min_size=1, max_size=4))
def test_tables_round_trip(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, list[tuple[float, ...]]]
) -> None:
    folder = tmp_path_factory.mktemp("out")
    results = [
        result(name, 1e5, [(a, a + long, label, p) for a, long, label, p in rows])  # type: ignore[misc]
        for name, rows in files.items()
    ]
    write_outputs(folder, lambda: iter(results), ["table", "csv", "parquet"], ROOT)
    whole = pa.concat_tables([table for _, table in results])
    assert pq.read_table(folder / "detections.parquet").equals(whole)
    for name, start, sep in (
        ("detections.csv", "Start (s)", ","),
        ("detections.selection.table.txt", "File Offset (s)", "\t"),
    ):  # fmt: skip
        table = pd.read_csv(
            folder / name, sep=sep, keep_default_na=False, quoting=0 if sep == "," else 3
        )
        np.testing.assert_allclose(table[start].astype(float), whole["start_s"], atol=1e-5)
        np.testing.assert_allclose(
            table["Confidence"].astype(float), whole["confidence"], atol=1e-4
        )
    rows = [row for row, _ in results]
    assert file_rows(files_table(rows)) == rows


def test_every_writer_gives_its_own_suffix() -> None:
    assert len({writer.suffix for writer in RTYPES.values()}) == len(RTYPES)
