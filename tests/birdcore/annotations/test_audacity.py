import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdcore.annotations import audacity
from birdcore.annotations.annotation import Annotated
from birdcore.annotations.table import Table
from birdcore.config import Annotations
from birdcore.csv_table import TableError

Read = Callable[..., Annotated]
Write = Callable[[dict[str, str]], Path]


def test_real_labels_with_bands(shared_data: Path, read: Read) -> None:
    found = read(shared_data / "field" / "audacity")
    assert {each.recording for each in found.annotations} == {"spinetail.wav"}
    assert Counter(each.label for each in found.annotations) == {"SP": 14, "CRER": 4}
    first = found.annotations[0]
    assert (first.start_s, first.end_s) == (0.101385, 0.367520)
    assert (first.low_hz, first.high_hz) == (6441.064453, 12296.577148)
    assert first.source == "spinetail.txt:1"
    assert [tuple(each) for each in found.problems] == [
        (
            "table of a recording that is not there",
            "cold_forest_daylight_label.txt:1",
            "160 rows",
        )
    ]


@pytest.mark.parametrize(
    ("name", "recording", "count", "label"),
    [
        ("audacity/cold_forest_daylight_label.txt", "cold_forest_daylight.mp3", 160, "1"),
        (
            "other-formats/405_marron1_June_14_2016_69640887.audacity.txt",
            "405_marron1_June_14_2016_69640887.wav",
            61,
            "SIL",
        ),
    ],
)
def test_real_tracks_beside_recordings_of_their_stem(
    shared_data: Path, tmp_path: Path, read: Read, name: str, recording: str, count: int, label: str
) -> None:
    shutil.copy(shared_data / "field" / name, tmp_path)
    (tmp_path / recording).touch()
    found = read(tmp_path, absent_labels=())
    assert found.recordings == {recording}
    assert len(found.annotations) == count
    assert found.annotations[0].label == label
    assert found.problems == ()


def test_silence_of_a_real_track_can_be_named(
    shared_data: Path, tmp_path: Path, read: Read
) -> None:
    name = "405_marron1_June_14_2016_69640887.audacity.txt"
    shutil.copy(shared_data / "field" / "other-formats" / name, tmp_path)
    (tmp_path / "405_marron1_June_14_2016_69640887.wav").touch()
    found = read(tmp_path, absent_labels=["sil"])
    assert Counter(each.kind for each in found.annotations)["absent"] == 25
    assert "SIL" not in {each.label for each in found.annotations}


def test_commas_for_points_empty_labels_and_other_line_ends(write: Write, read: Read) -> None:
    track = "\r\n0,5\t1,25\tamered\r\n\\\t-1\t-1\r\n2\t3\t\r\n4\t5\tbawwar\t0.9\r\n"
    found = read(write({"a.wav.txt": track, "a.wav": ""}))
    assert [(each.start_s, each.end_s, each.low_hz, each.label) for each in found.annotations] == [
        (0.5, 1.25, None, "amered"),
        (2, 3, None, ""),
        (4, 5, None, "bawwar"),
    ]
    assert found.problems[0].where == "a.wav.txt:4"


def test_an_empty_track_covers_its_recording_and_an_empty_note_nothing(
    write: Write, read: Read
) -> None:
    found = read(write({"a.txt": "", "a.wav": "", "readme.txt": "", "notes.txt": "5 birds\n"}))
    assert found.recordings == {"a.wav"}
    assert found.annotations == found.problems == ()


@pytest.mark.parametrize(
    ("track", "says"),
    [
        ("0\t1\ta\nnot a time\t2\tb\n", r"a\.txt:2: start 'not a time' is no time"),
        ("0\t1\ta\n3\n", r"a\.txt:2: end '' is no time"),
        ("0\t1\ta\nnan\t2\tb\n", r"a\.txt:2: start 'nan' is no time"),
    ],
)
def test_a_line_that_is_no_label_is_refused(
    write: Write, read: Read, track: str, says: str
) -> None:
    root = write({"a.txt": track, "a.wav": ""})
    with pytest.raises(TableError, match=says):
        read(root)


LABEL = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=8)
BAND = st.none() | st.tuples(st.floats(0, 1e4), st.floats(1e4, 1e5))


@given(st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1e6), LABEL, BAND), max_size=4))
def test_labels_are_read_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory,
    written: list[tuple[float, float, str, tuple[float, float] | None]],
) -> None:
    path = tmp_path_factory.getbasetemp() / "written.txt"
    lines = []
    for start, end, label, band in written:
        lines.append(f"{start!r}\t{end!r}\t{label}\n")
        lines += [f"\\\t{band[0]!r}\t{band[1]!r}\n"] if band else []
    path.write_text("".join(lines))
    table = Table(path, path.name)
    assert audacity.fits(table)
    found = audacity.read(table, Annotations())
    assert [(row.start_s, row.end_s) for row in found] == [each[:2] for each in written]
    bands = [(row.low_hz, row.high_hz) for row in found]
    assert bands == [each[3] or (None, None) for each in written]


@given(st.text("\\\t\n\r12.,-e x\x0b\x85é", max_size=40))
def test_any_text_is_read_or_refused_with_its_line(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.txt"
    path.write_text(text, newline="")
    table = Table(path, path.name)
    if audacity.fits(table):
        try:
            audacity.read(table, Annotations())
        except TableError as error:
            assert str(error).startswith(f"{path}:")  # noqa: PT017
