"""Annotations of hoplite (agile modelling by search): positive, negative and uncertain windows."""

from birdcore.annotations.annotation import Kind
from birdcore.annotations.row import Row
from birdcore.annotations.table import Table, label_column, records, seconds
from birdcore.config import Annotations
from birdcore.csv_table import TableError
from birdcore.text import from_spreadsheet_cell
from birdcore.unicode_names import nfc

START, END, TYPE = "start offset s", "end offset s", "label type"
KINDS: dict[str, Kind] = {
    "positive": "present",
    "negative": "absent",
    "uncertain": "uncertain",
    "possible": "uncertain",
    "": "present",
}


def fits(table: Table) -> bool:
    """Whether it has hoplite's columns."""
    return {"recording", START, END} <= {*table.header}


def read(table: Table, settings: Annotations) -> list[Row]:
    """Its rows; raises TableError where a time or a label's type is none."""
    rows = list(records(table))
    label = label_column(table, rows, ("label",), settings)
    made = []
    for row in rows:
        kind = row.cells.get(TYPE, "").casefold()
        if kind not in KINDS:
            raise TableError(
                f"{table.path}:{row.line}: label_type {kind[:40]!r}: positive, negative or "
                "uncertain is allowed"
            )
        made.append(
            Row(
                row.line,
                seconds(table, row, START),
                seconds(table, row, END),
                nfc(from_spreadsheet_cell(row.cells[label])) if label else "",
                kind=KINDS[kind],
                recording=from_spreadsheet_cell(row.cells["recording"]),
            )
        )
    return made
