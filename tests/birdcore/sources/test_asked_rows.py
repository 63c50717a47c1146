"""Which rows are asked for: by a sample, or by test.csv of the years that have none."""

from pathlib import Path

import pytest

from birdcore.csv_table import TableError
from birdcore.sources.asked_rows import read_asked_rows, row_of_class, segment_and_class


def test_2022_is_told_by_its_sample_and_by_its_test_table(shared_data: Path) -> None:
    folder = shared_data / "field/birdclef-tables/birdclef2022"
    asked = read_asked_rows(folder)
    assert (asked.form, asked.labels, asked.table) == ("target", (), "sample_submission.csv")
    assert asked.rows[0] == "soundscape_1000170626_akiapo_5"
    assert asked.segments[0] == "soundscape_1000170626_5"
    assert len(asked.rows) == len(asked.segments) == 3


def test_test_table_says_the_rows_where_there_is_no_sample(
    tmp_path: Path, shared_data: Path
) -> None:
    table = shared_data / "field/birdclef-tables/birdclef2022/test.csv"
    (tmp_path / "test.csv").write_text(table.read_text())
    asked = read_asked_rows(tmp_path)
    assert (asked.form, asked.table) == ("target", "test.csv")
    assert asked.rows[1] == "soundscape_1000170626_akiapo_10"
    (tmp_path / "test.csv").write_text("row_id,site,seconds,audio_id\n3575_COR_5,COR,5,3575\n")
    asked = read_asked_rows(tmp_path)
    assert (asked.form, asked.rows) == ("birds", ("3575_COR_5",))


@pytest.mark.parametrize("text", ["filename,label\na.ogg,x\n", "row_id\n", "\x00"])
def test_other_tables_of_that_name_ask_for_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "test.csv").write_text(text)
    assert read_asked_rows(tmp_path).table == ""
    assert read_asked_rows(tmp_path).form == "classes"


def test_a_row_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "test.csv").write_text("row_id,bird,end_time\nx_a_5,a,5\nx_a_5,a,5\n")
    with pytest.raises(TableError, match=r"test\.csv:3: row_id 'x_a_5' is there twice"):
        read_asked_rows(tmp_path)


def test_a_segment_and_a_class_are_a_row() -> None:
    for segment in ("soundscape_1_5", "s_60", "a_b_c_5"):
        assert segment_and_class(row_of_class(segment, "afrsil1")) == (segment, "afrsil1")
    assert segment_and_class("x_5") == ("x_5", "x")  # no row of 2022: no class is called so
