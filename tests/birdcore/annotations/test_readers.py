import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdcore.annotations.annotation import EVERY_CLASS, Annotated, said
from birdcore.annotations.readers import READERS, format_of, read_annotations
from birdcore.annotations.table import LABELS, Table, column_key
from birdcore.config import Annotations
from birdcore.csv_table import TableError

Read = Callable[..., Annotated]
Write = Callable[[dict[str, str]], Path]
RAVEN = "Selection\tBegin Time (s)\tEnd Time (s)\n1\t1\t2\n"
WINDOWS = "filename,start,end,label\na.wav,1,2,amered\n"


def test_the_setting_allows_the_formats_that_there_are() -> None:
    allowed = get_args(Annotations.model_fields["format"].annotation)
    assert allowed[0] == "auto"
    assert set(allowed[1:]) == set(READERS)


@pytest.mark.parametrize(
    ("table", "format"),
    [
        ("raven-tables/EmptyExample.Table.1.selections.txt", "raven"),
        ("other-formats/Recording_1_Segment_02.Table.1.selections.txt", "raven"),
        ("audacity/spinetail.txt", "audacity"),
        ("csv-windows/annotations.csv", "csv"),
        ("other-formats/bird1.csv", "csv"),
        ("other-formats/AVO-maea-basic.TextGrid", "crowsetta"),
        ("checklists/BirdVox-full-night_unit03_00-19-45_01min_checklist.csv", None),
        ("raven-noisy-pitta/neg/Iter2/sel.221101.180622.txt", None),
        ("folder-per-class/README.txt", None),
        ("other-formats/spinetail-description.txt", None),
        ("birdclef-tables/birdclef2021/train_soundscape_labels.csv", None),
    ],
)
def test_real_tables_are_told_apart_by_content(
    shared_data: Path, table: str, format: str | None
) -> None:
    assert format_of(Table(shared_data / "field" / table, table)) == format


def test_lists_of_moments_are_reported_and_notes_are_not(shared_data: Path, read: Read) -> None:
    found = read(shared_data / "field" / "checklists")
    assert len(found.problems) == 7
    assert {each.problem for each in found.problems} == {
        "table of no known format of labels, left out"
    }
    assert read(shared_data / "field" / "folder-per-class").problems[0].problem == (
        "recordings without a table, not annotated"
    )


def test_a_recording_without_a_table_is_what_the_setting_says(write: Write, read: Read) -> None:
    root = write({"a.wav": "", "b.wav": "", "Neg/c.wav": "", "t.csv": WINDOWS})
    found = read(root)
    assert found.recordings == {"a.wav", "Neg/c.wav"}
    assert found.silent == {"Neg/c.wav"}
    assert [tuple(each) for each in found.problems] == [
        ("recordings without a table, not annotated", ".", "1: b.wav")
    ]
    silent = read(root, without_table="silent")
    assert silent.recordings == {"a.wav", "b.wav", "Neg/c.wav"}
    assert silent.silent == {"b.wav", "Neg/c.wav"}
    assert silent.problems == ()


def test_a_table_says_more_than_its_folder(write: Write, read: Read) -> None:
    labelled = RAVEN.replace("\n1\t1\t2", "\tSpecies\n1\t1\t2\tamered")
    root = write({"noise/a.wav": "", "noise/a.txt": labelled})
    found = read(root, label="bawwar")
    assert [(each.label, each.kind) for each in found.annotations] == [("amered", "present")]
    assert found.silent == set()
    unlabelled = read(write({"noise/a.txt": RAVEN}), label="bawwar")
    assert [(each.label, each.kind) for each in unlabelled.annotations] == [(EVERY_CLASS, "absent")]
    assert unlabelled.silent == {"noise/a.wav"}


@pytest.mark.parametrize(
    ("label", "table", "labels"),
    [
        ("amered", "x/a.txt", ["amered"]),
        ("folder", "Setophaga ruticilla/a.Table.1.selections.txt", ["Setophaga ruticilla"]),
        ("table", "x/a_amered.Table.1.selections.txt", ["amered"]),
        ("table", "x/a.amered.txt", ["amered"]),
    ],
)
def test_a_table_without_a_column_of_labels_is_named_by_a_setting(
    write: Write, read: Read, label: str, table: str, labels: list[str]
) -> None:
    root = write({"x/a.wav": "", table: RAVEN})
    assert [each.label for each in read(root, label=label).annotations] == labels


@pytest.mark.parametrize(("label", "table"), [("folder", "a.txt"), ("table", "a.selections.txt")])
def test_a_name_of_which_nothing_is_left_is_no_label(
    write: Write, read: Read, label: str, table: str
) -> None:
    root = write({"a.wav": "", table: RAVEN})
    with pytest.raises(TableError, match=rf"{table}:1: nothing is left of the {label}'s name"):
        read(root, label=label)


def test_a_table_whose_recordings_are_elsewhere_needs_no_label(write: Write, read: Read) -> None:
    found = read(write({"a.wav": "", "b.txt": RAVEN}))
    assert [tuple(each) for each in found.problems] == [
        ("table of a recording that is not there", "b.txt:2", "1 row"),
        ("recordings without a table, not annotated", ".", "1: a.wav"),
    ]


def test_one_format_can_be_taken_alone(write: Write, read: Read) -> None:
    root = write({"a.wav": "", "a.txt": RAVEN, "t.csv": WINDOWS})
    found = read(root, format="csv")
    assert [each.source for each in found.annotations] == ["t.csv:2"]
    assert [tuple(each) for each in found.problems] == [
        ("table of another format, left out", "a.txt", "raven")
    ]


def test_labels_of_two_tables_are_counted_once(write: Write, read: Read) -> None:
    root = write({"a.wav": "", "t.csv": WINDOWS, "copy/t.csv": WINDOWS})
    found = read(root)
    assert [each.source for each in found.annotations] == ["copy/t.csv:2"]
    assert [tuple(each) for each in found.problems] == [
        ("labels that another table has too", "t.csv", "1 of 1, counted once")
    ]


def test_tables_are_found_in_any_case_nested_and_by_links(write: Write, read: Read) -> None:
    root = write(
        {"deep/er/A.TABLE.1.SELECTIONS.TXT": RAVEN, "deep/er/a.WAV": "", ".x/a.txt": RAVEN}
    )
    (root / "deep" / "back").symlink_to(root)
    (root / "linked").symlink_to(root / "deep" / "er")
    (root / "lost.csv").symlink_to("nothing.csv")
    os.mkfifo(root / "pipe.csv")
    found = read(root, label="amered")
    assert {each.source for each in found.annotations} >= {"deep/er/A.TABLE.1.SELECTIONS.TXT:2"}
    assert {each.where for each in found.problems if each.problem == "no table"} >= {
        "lost.csv",
        "pipe.csv",
    }


def test_other_encodings_are_said(write: Write, read: Read) -> None:
    root = write({"a.wav": ""})
    (root / "a.txt").write_bytes(RAVEN.encode("utf-16"))
    assert read(root).problems[0][:2] == ("no UTF-8 text, left out", "a.txt")
    latin = RAVEN.replace("\n1\t1\t2", "\tSpecies\n1\t1\t2\tRougegorge à")
    (root / "a.txt").write_bytes(latin.encode("latin-1"))
    with pytest.raises(TableError, match=r"a\.txt:2: not UTF-8 text: save the table as UTF-8"):
        read(root)


def test_a_column_of_confidence_is_remarked(write: Write, read: Read) -> None:
    root = write({"a.wav": "", "t.csv": "file,start,end,label,confidence\na,0,3,amered,0.9\n"})
    assert [each.problem for each in read(root).problems] == [
        "table with a column confidence, taken as labels"
    ]


@given(st.text())
def test_the_key_of_a_column_has_no_case_and_no_signs(name: str) -> None:
    key = column_key(name)
    assert column_key(key) == key == column_key(f" {name}_")


def test_the_docs_name_all_formats_and_columns() -> None:
    text = (Path(__file__).parents[3] / "docs" / "annotations.md").read_text()
    named = {column_key(each) for each in re.findall(r"`([^`\n]+)`", text)}
    assert {column_key(each) for each in LABELS} | {*READERS} <= named
    assert {*Annotations().absent_labels} <= named
    settings = [each.split(" = ")[0] for each in re.findall(r"`([a-z_]+ = [^`]+)`", text)]
    assert {*settings} == {*Annotations.model_fields}


HEADERS = (
    "Selection\tView\tBegin Time (s)\tEnd Time (s)\tSpecies\tBegin File\tFile Offset (s)",
    "filename,start,end,label,min.frq,max.frq",
    "FOLDER,IN FILE,OFFSET,DURATION,MANUAL ID,INDIR",
    "FOLDER,IN FILE,OFFSET,DURATION,MANUAL ID,CLIP LENGTH",
    "recording,start_offset_s,end_offset_s,label,label_type",
    "1\t2\tamered",
)
CELL = st.sampled_from(["", "a", "a.wav", "b/a.WAV", "noise", "1", "2.5", "-1", "0:07", "x;y", '"'])
ROWS = st.lists(st.lists(CELL, max_size=9), max_size=5)


@given(st.sampled_from(HEADERS), ROWS, st.sampled_from(["raw", "label"]))
def test_any_table_makes_sound_annotations_or_is_refused_with_its_place(
    tmp_path_factory: pytest.TempPathFactory, header: str, rows: list[list[str]], label: str
) -> None:
    root = tmp_path_factory.getbasetemp() / "any"
    root.mkdir(exist_ok=True)
    delimiter = "\t" if "\t" in header else ","
    (root / "a.txt").write_text("\n".join([header, *map(delimiter.join, rows)]))
    settings = Annotations(label=label if label == "label" else None)
    durations = {"a.wav": 3.0}
    try:
        found = read_annotations(root, ["a.wav", "b/a.wav"], settings, durations)
    except TableError as error:
        assert str(error).startswith(f"{root / 'a.txt'}:")  # noqa: PT017
        return
    for each in found.annotations:
        assert each.recording in found.recordings
        assert 0 <= each.start_s < each.end_s <= durations.get(each.recording, 1e12)
        assert (each.low_hz is None) == (each.high_hz is None)
        assert each.low_hz is None or each.low_hz < (each.high_hz or 0)
        assert each.label != EVERY_CLASS or each.kind != "present"
        assert each.source.startswith("a.txt:")
    assert found.silent <= found.recordings
    assert len({*map(said, found.annotations)}) == len(found.annotations)
