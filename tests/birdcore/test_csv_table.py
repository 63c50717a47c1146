import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from birdcore.csv_table import read_table

CELLS = st.text("a,é\"\n\r '", max_size=5)


@settings(deadline=None)
@given(st.lists(st.tuples(CELLS.filter(str.strip), CELLS), min_size=1, max_size=5))
def test_whatever_is_written_as_csv_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]
) -> None:
    file = io.StringIO(newline="")
    csv.writer(file).writerows([("a", "b"), *rows])
    path = tmp_path_factory.getbasetemp() / "written.csv"
    path.write_bytes(file.getvalue().encode())
    table = read_table(path, ("a",))
    assert [*zip(table["a"], table["b"], strict=True)] == [(a.strip(), b.strip()) for a, b in rows]
