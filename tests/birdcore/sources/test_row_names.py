import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdcore.csv_table import TableError
from birdcore.sources.row_names import decides_rows, refuse_one_for_two, row_names, stem_of

PATHS = st.lists(
    st.from_regex(r"[ab](/[ab]){0,2}/[ab](\.wav|\.mp3){0,2}\.ogg", fullmatch=True),
    unique=True,
)


@given(PATHS)
def test_no_two_soundscapes_share_a_name(paths: list[str]) -> None:
    names = row_names(paths)
    assert set(names) == set(paths)
    assert len(set(names.values())) == len(paths)


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["x/a.ogg", "x/b.ogg"], ["a", "b"]),
        (["x/s/a.ogg", "x/t/a.ogg", "x/t/b.ogg"], ["s/a", "t/a", "b"]),
        (["x/a.ogg", "x/t/a.ogg"], ["a", "t/a"]),
        (["x/a.wav", "x/a.mp3"], ["a.wav", "a.mp3"]),
        (["x/a.wav", "x/a.mp3", "x/a.wav.ogg"], ["a.wav", "a.mp3", "a.wav.ogg"]),
        (["x/s/a.wav", "x/s/a.WAV", "x/t/a.wav"], ["s/a.wav", "s/a.WAV", "t/a"]),
        (["s/a.wav", "t/a.wav", "t/b.wav"], ["s/a", "t/a", "b"]),  # no folder that all are in
    ],
)
def test_names_say_no_more_than_they_must(paths: list[str], names: list[str]) -> None:
    assert list(row_names(paths).values()) == names


def test_a_row_belongs_to_a_soundscape_by_all_before_its_last_underscore() -> None:
    assert stem_of("H02_20230420_112000_5") == "H02_20230420_112000"
    assert stem_of("alone") == "alone"


def test_rows_of_one_stem_are_refused_where_there_are_two() -> None:
    names = row_names(["x/a.ogg", "x/t/a.wav", "x/b.ogg"])
    refuse_one_for_two("truth.csv", ["b_5", "c_5"], names)
    refuse_one_for_two("truth.csv", ["a_5", "t/a_5"], names)  # our own names
    with pytest.raises(TableError, match=r"truth\.csv: .* x/a\.ogg and x/t/a\.wav: rename one"):
        refuse_one_for_two("truth.csv", ["b_5", "a_5"], names)


def test_a_sample_decides_rows_where_it_names_something_that_is_there() -> None:
    names = row_names(["x/a_b.ogg"])
    assert decides_rows(["q_5", "a_b_10"], names, ())
    assert not decides_rows(["q_5", "a_5"], names, ())
    assert decides_rows(["q_5"], names, ["test_soundscapes/q.xyz"])
    assert not decides_rows((), names, ())
