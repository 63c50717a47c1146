import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdcore.annotations.match import Ambiguous, Names

FIELD = (
    "pos/sel.04.ch01.221101.151755.72..flac",
    "site1/20210601_050000.WAV",
    "site2/20210601_050000.WAV",
    "odd/201906 7T095935+1000_REC [19.2144 152.8811].flac",
    "odd/Höhe #3.ogg",
)


def named(name: str, folder: str = "", recordings: tuple[str, ...] = FIELD) -> object:
    return Names(recordings).of_rows([name], folder)[name]


@pytest.mark.parametrize(
    ("name", "recording"),
    [
        ("sel.04.ch01.221101.151755.72..wav", FIELD[0]),
        ("SEL.04.CH01.221101.151755.72.", FIELD[0]),
        ("D:\\data\\pos\\sel.04.ch01.221101.151755.72..flac", FIELD[0]),
        ("/home/me/site2/20210601_050000.wav", FIELD[2]),
        ("site1\\20210601_050000", FIELD[1]),
        ("201906 7T095935+1000_REC [19.2144 152.8811].wav", FIELD[3]),
        ("201906%207T095935+1000_REC%20%5B19.2144%20152.8811%5D.wav", FIELD[3]),
        ("H%C3%B6he%20%233.ogg", FIELD[4]),
        (unicodedata.normalize("NFD", "Höhe #3.ogg"), FIELD[4]),
        ("Höhe #33.ogg", None),
        ("", None),
    ],
)
def test_a_row_names_its_recording_as_other_machines_do(name: str, recording: str | None) -> None:
    assert named(name) == recording


def test_a_name_at_two_sites_is_that_of_the_nearest_or_not_decided() -> None:
    both = Ambiguous(("site1/20210601_050000.WAV", "site2/20210601_050000.WAV"))
    assert named("20210601_050000.WAV") == both
    assert named("C:\\x\\20210601_050000.WAV") == both
    assert named("20210601_050000.WAV", "site2") == FIELD[2]
    assert named("20210601_050000.WAV", "labels/site1") == FIELD[1]


def test_a_row_of_another_site_does_not_get_the_recording_that_is_there() -> None:
    rows = ["site1/a.wav", "site3/a.wav"]
    assert Names(["x/site3/a.wav"]).of_rows(rows, "") == {rows[0]: None, rows[1]: "x/site3/a.wav"}
    assert Names(["a.wav"]).of_rows([*rows, "a"], "") == {
        rows[0]: None,
        rows[1]: None,
        "a": "a.wav",
    }
    assert named("site1/a.wav", "", ("audio/a.wav",)) == "audio/a.wav"  # where no row fits better


def test_a_table_beside_recordings_is_of_one_of_them() -> None:
    names = Names(["site1/1.wav", "site2/0500.wav", "site1/day/0600.wav", "labels.wav"])
    assert names.of_table("site1/0500.txt") is None
    assert names.of_rows(["0500.wav", "site2/0500.wav"], "site1") == {
        "0500.wav": None,
        "site2/0500.wav": "site2/0500.wav",
    }
    assert names.of_table("site1/0600.txt") == "site1/day/0600.wav"
    assert names.of_table("labels/0500.txt") == names.of_table("0500.txt") == "site2/0500.wav"


def test_spelling_decides_where_nothing_else_does() -> None:
    for recordings in (("A.wav", "a.wav"), ("a%20b.wav", "a b.wav")):
        for name in recordings:
            assert named(name, "", recordings) == name
            table = name.replace(".wav", ".Table.1.selections.txt")
            assert Names(recordings).of_table(table) == name


@pytest.mark.parametrize(
    ("table", "recording"),
    [
        ("pos/sel.04.ch01.221101.151755.72..Table.1.selections.txt", FIELD[0]),
        ("pos/sel.04.ch01.221101.151755.72..txt", FIELD[0]),
        ("pos/sel.04.ch01.221101.151755.7.Table.1.selections.txt", None),
        ("pos/sel.04.ch01.221101.151755.72..1.txt", None),
        ("site2/20210601_050000.txt", FIELD[2]),
        ("site2/20210601_050000_b.csv", FIELD[2]),
        ("site2/20210601_050000.WAV.audacity.TXT", FIELD[2]),
        ("site2/20210601_0500001.txt", None),
        ("labels/20210601_050000 (1).txt", None),
        ("HÖHE%20%233.selections.txt", FIELD[4]),
        ("odd/.txt", None),
    ],
)
def test_a_table_belongs_to_the_longest_stem_that_begins_its_name(
    table: str, recording: str | None
) -> None:
    assert Names(FIELD).of_table(table) == recording


def test_a_longer_stem_and_a_nearer_folder_win() -> None:
    names = Names(["a.wav", "a_2.wav", "x/a_2.wav", "x/b.wav", "y/b.wav"])
    assert names.of_table("a_2.txt") == "a_2.wav"
    assert names.of_table("x/a_2_call.txt") == "x/a_2.wav"
    assert names.of_table("z/a.txt") == "a.wav"
    assert names.of_table("b.txt") == Ambiguous(("x/b.wav", "y/b.wav"))


PATHS = st.lists(
    st.text("aÖ1 .%2", min_size=1, max_size=5)
    .filter(lambda name: not name.startswith(".") and "%2" not in name)
    .map(lambda name: f"{name}.wav"),
    min_size=1,
    unique_by=str.casefold,
)


@given(PATHS)
def test_each_recording_is_found_by_its_own_path(recordings: list[str]) -> None:
    names = Names(recordings)
    assert names.of_rows(recordings, "") == {name: name for name in recordings}


@given(st.lists(st.text(max_size=12)), st.text(max_size=20), st.text(max_size=9))
def test_any_names_are_matched_or_not(recordings: list[str], name: str, folder: str) -> None:
    names = Names(recordings)
    for found in (*names.of_rows([name], folder).values(), names.of_table(f"{folder}/{name}")):
        assert found is None or isinstance(found, Ambiguous) or found in recordings
