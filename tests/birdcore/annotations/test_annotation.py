import math
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdcore.annotations.annotation import (
    EVERY_CLASS,
    SCHEMA,
    Annotation,
    read_annotations_table,
    write_annotations,
)

ROWS = (
    Annotation("a/b 1.wav", 0.5, 2.0, 1200.0, 3400.5, "amered", "present", "a/b 1.txt:2"),
    Annotation("a/Höhe.wav", 0.0, 5.0, None, None, EVERY_CLASS, "absent", "all.csv:3"),
)


def test_annotations_are_written_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "annotations.parquet"
    write_annotations(path, ROWS)
    assert read_annotations_table(path) == ROWS
    assert pq.read_schema(path).names == SCHEMA.names
    assert [*tmp_path.iterdir()] == [path]


def test_no_annotations_are_a_table_too(tmp_path: Path) -> None:
    path = tmp_path / "annotations.parquet"
    write_annotations(path, [])
    assert read_annotations_table(path) == ()
    assert pq.read_schema(path).equals(SCHEMA)


SECONDS = st.floats(0, 1e9)
HZ = st.none() | st.floats(0, 1e6)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@given(
    st.lists(
        st.builds(
            Annotation,
            TEXT,
            SECONDS,
            SECONDS | st.just(math.inf),
            HZ,
            HZ,
            TEXT,
            st.sampled_from(["present", "absent", "uncertain"]),
            TEXT,
        ),
        max_size=4,
    )
)
def test_any_annotations_are_read_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Annotation]
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.parquet"
    write_annotations(path, rows)
    assert read_annotations_table(path) == tuple(rows)
