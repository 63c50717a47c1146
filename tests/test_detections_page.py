"""docs/detections.md says what the tables of detections are."""

import re
from pathlib import Path

import pyarrow as pa
import pytest

from birdcore.detection.table import FILE_SCHEMA, SCHEMA, VERSION
from birdcore.detection.writers import ALL_FILES, CSV_NAMES, RTYPES, TABLES

PAGE = (Path(__file__).parents[1] / "docs" / "detections.md").read_text(encoding="utf-8")


def rows_after(words: str) -> list[list[str]]:
    """The cells of the first table that follows."""
    table = re.search(r"(?:^\|.*\n)+", PAGE[PAGE.index(words) :], re.MULTILINE)
    assert table
    lines = table[0].splitlines()[2:]
    return [[cell.strip().strip("`") for cell in line.split("|")[1:-1]] for line in lines]


@pytest.mark.parametrize(
    ("words", "schema"),
    [("`detections.parquet`; `detections.csv`", SCHEMA), ("`files.csv`, a row", FILE_SCHEMA)],
)
def test_columns_are_those_of_the_schema(words: str, schema: pa.Schema) -> None:
    described = [(name, kind) for name, kind, _ in rows_after(words)]
    assert described == [(field.name, str(field.type)) for field in schema]


def test_version_is_that_of_the_schema() -> None:
    assert f"Version {VERSION}." in PAGE
    assert SCHEMA.metadata == FILE_SCHEMA.metadata == {b"birdflow.detections": b"%d" % VERSION}


def test_names_of_birdnet_are_said() -> None:
    for ours, theirs in CSV_NAMES.items():
        assert f"`{ours}` (`{theirs}`)" in PAGE.replace("\n", " ")


def test_formats_are_those_that_there_are() -> None:
    files = {name: file for name, file, _ in rows_after("| `--rtype` |")}
    assert files.keys() == RTYPES.keys()
    for name, writer in RTYPES.items():
        folder = f"{TABLES}/NAME" if writer.per_file else ALL_FILES
        assert files[name].startswith(f"{folder}{writer.suffix}")
