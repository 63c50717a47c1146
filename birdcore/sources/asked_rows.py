"""Which rows a submission has and in what form: what sample_submission.csv or test.csv says.

Since 2023 a row is a segment and has a probability for each class. In 2021 a row listed the birds
of a segment, or said `nocall`; in 2022 it was a segment and a class, and said yes or no. The public
folders of these years have a sample of a few rows, which tells the form; where there is no sample,
the columns of test.csv tell it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import pandas as pd

from birdcore.csv_table import TableError, is_there, read_table
from birdcore.sources.label_lists import NO_CLASS
from birdcore.sources.source import SAMPLE, TEST_TABLE

RowForm: TypeAlias = Literal["classes", "birds", "target"]
"""What a row is: a segment with a column for each class; a segment of a soundscape that is called
by the first two parts of its name, `7019_COR_5`, with the birds in it (2021); or a segment and a
class, `soundscape_453028782_afrsil1_5`, with yes or no (2022)."""
LONG_ROWS: dict[tuple[str, ...], RowForm] = {("birds",): "birds", ("target",): "target"}
"""Columns beside row_id where a sample has no class columns."""
TEST_COLUMNS: dict[RowForm, set[str]] = {
    "target": {"row_id", "bird", "end_time"},
    "birds": {"row_id", "audio_id", "seconds"},
}
"""Columns of test.csv that tell a form."""


@dataclass(frozen=True)
class AskedRows:
    """The rows of a submission.

    Attributes:
        rows: Their ids, as the table has them; empty where nothing says them.
        form: What a row is.
        labels: The columns of classes, in their order; empty where the form has none.
        table: Which table says it; "" where none does.
    """

    rows: tuple[str, ...] = ()
    form: RowForm = "classes"
    labels: tuple[str, ...] = ()
    table: str = ""

    @property
    def segments(self) -> tuple[str, ...]:
        """The ids of the rows' segments, each once."""
        if self.form != "target":
            return self.rows
        return tuple(dict.fromkeys(segment_and_class(row)[0] for row in self.rows))


def segment_and_class(row_id: str) -> tuple[str, str]:
    """The segment of a row of 2022, and the class.

    Example:
        >>> segment_and_class("soundscape_453028782_afrsil1_5")
        ('soundscape_453028782_5', 'afrsil1')
    """
    rest, _, end = row_id.rpartition("_")
    soundscape, _, label = rest.rpartition("_")
    return f"{soundscape or label}_{end}", label


def row_of_class(segment: str, label: str) -> str:
    """What 2022 calls the row of a segment and a class.

    Example:
        >>> row_of_class("soundscape_453028782_5", "afrsil1")
        'soundscape_453028782_afrsil1_5'
    """
    soundscape, _, end = segment.rpartition("_")
    return f"{soundscape}_{label}_{end}"


def read_asked_rows(root: Path) -> AskedRows:
    """What the tables of a data folder ask for.

    Raises:
        TableError: The sample has no columns beside row_id, or a row is there twice.
    """
    if not is_there(root / SAMPLE):
        return _of_test_table(root)
    sample = read_table(root / SAMPLE, ("row_id",))
    columns = tuple(c for c in sample.columns if c not in ("row_id", NO_CLASS))
    if not columns:
        raise TableError(f"{root / SAMPLE}: no class columns beside row_id")
    rows = _rows(root / SAMPLE, sample)
    form = LONG_ROWS.get(columns, "classes")
    return AskedRows(rows, form, columns if form == "classes" else (), SAMPLE)


def _of_test_table(root: Path) -> AskedRows:
    """Those of test.csv, where it is one of 2021 or 2022: other tables of that name are no matter
    of ours."""
    path = root / TEST_TABLE
    if path.is_file():
        try:
            table = read_table(path, ())
        except TableError:
            return AskedRows()
        for form, columns in TEST_COLUMNS.items():
            if columns <= set(table.columns):
                return AskedRows(_rows(path, table), form, (), TEST_TABLE)
    return AskedRows()


def _rows(path: Path, table: pd.DataFrame) -> tuple[str, ...]:
    repeated = table.index[table["row_id"].duplicated()]
    if len(repeated):
        value = table["row_id"][repeated[0]]
        raise TableError(f"{path}:{repeated[0]}: row_id {value!r} is there twice")
    return tuple(table["row_id"])
