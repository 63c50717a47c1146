from pathlib import Path

import pytest

from birdcore.csv_table import TableError
from birdcore.sources.soundscape_labels import (
    LabelledWindow,
    SoundscapeLabels,
    read_soundscape_labels,
    seconds,
)

HEADER_2021 = "row_id,site,audio_id,seconds,birds\n"
HEADER_2026 = "filename,start,end,primary_label\n"


def read(folder: Path, text: str, *recordings: str) -> SoundscapeLabels:
    path = folder / "train_soundscapes_labels.csv"
    path.write_text(text)
    return read_soundscape_labels(path, recordings)


def test_rows_of_2026_that_stand_there_twice_are_one_window(shared_data: Path) -> None:
    root = shared_data / "birdclef-2026-mini"
    files = [f"train_soundscapes/{path.name}" for path in (root / "train_soundscapes").iterdir()]
    found = read_soundscape_labels(root / "train_soundscapes_labels.csv", files)
    assert len(found.windows) == 63
    assert len({window.recording for window in found.windows}) == 12
    assert found.problems == ()
    assert found.windows[2] == LabelledWindow(
        "train_soundscapes/BC2026_Train_0001_S05_20250601_000000.ogg", 15.0, 20.0, ("1139546",), 4
    )
    assert {len(window.labels) for window in found.windows} >= {1, 2}


def test_nocall_of_2021_says_that_nothing_is_heard(shared_data: Path) -> None:
    path = shared_data / "field/birdclef-tables/birdclef2021/train_soundscape_labels.csv"
    found = read_soundscape_labels(path, ["train_soundscapes/7019_COR_20190904.ogg"])
    assert len(found.windows) == 119
    assert found.problems == ()
    assert found.windows[0] == LabelledWindow(
        "train_soundscapes/7019_COR_20190904.ogg", 0.0, 5.0, (), 2
    )
    assert found.windows[-1].end_s == 595.0


def test_birds_of_2021_stand_between_spaces(tmp_path: Path) -> None:
    rows = "26709_SSW_25,SSW,26709,25,amecro norcar\n"
    found = read(tmp_path, HEADER_2021 + rows, "train_soundscapes/26709_SSW_20170701.ogg")
    assert [window.labels for window in found.windows] == [("amecro", "norcar")]


def test_labels_of_2026_stand_between_semicolons_and_stay_text(tmp_path: Path) -> None:
    rows = "a.ogg,00:59:55,01:00:00,22930;47158son01;0815\n"
    found = read(tmp_path, HEADER_2026 + rows, "train_soundscapes/a.ogg")
    (window,) = found.windows
    assert (window.start_s, window.end_s) == (3595.0, 3600.0)
    assert window.labels == ("22930", "47158son01", "0815")


def test_two_rows_that_differ_both_count(tmp_path: Path) -> None:
    rows = "a.ogg,00:00:00,00:00:05,x\na.ogg,00:00:00,00:00:05,y\n"
    found = read(tmp_path, HEADER_2026 + rows, "train_soundscapes/a.ogg")
    assert [window.labels for window in found.windows] == [("x", "y")]
    assert [(each.problem, each.where) for each in found.problems] == [
        ("window labelled twice", "train_soundscapes_labels.csv:3")
    ]


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("b.ogg,00:00:00,00:00:05,x", "there is no soundscape 'b.ogg'"),
        ("a.ogg,00:00:05,00:00:05,x", "it ends at 00:00:05 and begins at 00:00:05"),
        ("a.ogg,0:75,00:02:05,x", "'0:75' is no time such as 00:01:05"),
        ("a.ogg,00:00:00,00:00:05,", "no label: where nothing is heard, nocall stands"),
        ("two.ogg,00:00:00,00:00:05,x", "'two.ogg' could be s/1/two.ogg or s/2/two.ogg"),
    ],
)
def test_a_row_that_fits_nothing_is_left_out(tmp_path: Path, row: str, problem: str) -> None:
    found = read(tmp_path, f"{HEADER_2026}{row}\n", "s/a.ogg", "s/1/two.ogg", "s/2/two.ogg")
    assert found.windows == ()
    assert [each.detail for each in found.problems] == [problem]


def test_windows_that_overlap_are_reported(tmp_path: Path) -> None:
    rows = "a.ogg,00:00:03,00:00:08,x\na.ogg,00:00:00,00:00:05,y\n"
    found = read(tmp_path, HEADER_2026 + rows, "s/a.ogg")
    assert [each.detail for each in found.problems] == ["3 to 8 s overlaps line 3"]


def test_a_table_of_neither_year_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"there are row_id, amered"):
        read(tmp_path, "row_id,amered\nS1_5,0\n", "s/S1.ogg")


@pytest.mark.parametrize(
    ("text", "value"), [("00:01:05", 65.0), ("1:05.5", 65.5), ("65", 65.0), ("10:00:00", 36000.0)]
)
def test_times_in_seconds(text: str, value: float) -> None:
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["", "nan", "-5", "1:2:3:4", "00:60", "1e3", "1,5"])
def test_other_text_is_no_time(text: str) -> None:
    with pytest.raises(ValueError, match="is no time"):
        seconds(text)
