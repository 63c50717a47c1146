"""Tables of windows with a column for each class, and a mark in it: there, not there, or not sure.

Detection tasks and ecologists' spreadsheets have them: recording, start, end, then the classes. A
mark of 0 says that somebody listened for the class, which tables of events never say. An empty cell
says nothing.
"""

from collections.abc import Iterator, Sequence

from birdcore.annotations.annotation import Kind
from birdcore.annotations.csv_windows import (
    END,
    HIGH,
    LENGTH,
    LOW,
    RECORDING,
    START,
    bounds,
)
from birdcore.annotations.csv_windows import fits as has_windows
from birdcore.annotations.row import Row
from birdcore.annotations.table import (
    LABELS,
    Record,
    Table,
    column_key,
    first_cell,
    records,
)
from birdcore.config import Annotations
from birdcore.csv_table import TableError
from birdcore.unicode_names import nfc

MARKS: dict[str, Kind] = {
    **dict.fromkeys(("1", "1.0", "true", "yes", "x", "present", "positive"), "present"),
    **dict.fromkeys(("0", "0.0", "false", "no", "absent", "negative"), "absent"),
    **dict.fromkeys(("unsure", "uncertain", "maybe", "possible", "unknown", "?"), "uncertain"),
}  # fmt: skip
"""What a cell may say, in any case, beside nothing."""
REMARKS = ("comments", "id")
"""Columns of labels in other tables that beside marks are none."""
# fmt: off
NO_CLASSES = {
    *RECORDING, *START, *END, *LENGTH, *LOW, *HIGH, *REMARKS, "",
    "annotator", "channel", "comment", "date", "day", "hour", "index", "latitude", "location",
    "longitude", "minute", "month", "note", "notes", "number", "observer", "quality", "recorder",
    "reviewed", "reviewer", "row", "sample rate", "selection", "site", "time", "view", "year",
}
# fmt: on
"""Columns that are never of a class, whatever their cells say."""
SHOWN = 50
"""Rows by which it is told."""


def fits(table: Table) -> bool:
    """Whether it has windows and columns of marks, and none of labels."""
    header = {*table.header}
    if header & ({*LABELS} - {*REMARKS}) or not has_windows(table):
        return False
    try:
        rows = [row for row, _ in zip(records(table), range(SHOWN), strict=False)]
    except TableError:
        return False
    return bool(_classes(table, rows, NO_CLASSES))


def read(table: Table, settings: Annotations) -> list[Row]:
    """Its rows, one for each mark; raises TableError where a cell or a time is none."""
    named = (settings.annotator, settings.votes, settings.voters)
    others = NO_CLASSES | {column_key(name) for name in named if isinstance(name, str)}
    rows = list(records(table))
    classes = _classes(table, rows, others)
    absent = {label.casefold() for label in settings.absent_labels}
    return [each for row in rows for each in _marks(table, row, classes, absent)]


def _classes(table: Table, rows: Sequence[Record], others: set[str]) -> dict[str, str]:
    """Labels by the key of their column: those whose cells are marks, or most of them, so that one
    that is misspelt is told."""

    def is_class(key: str) -> bool:
        cells = [row.cells[key].casefold() for row in rows if row.cells[key]]
        return 2 * sum(cell in MARKS for cell in cells) > len(cells)

    names = {column_key(name): nfc(name) for name in table.columns}
    return {key: name for key, name in names.items() if key not in others and is_class(key)}


def _marks(table: Table, row: Record, classes: dict[str, str], absent: set[str]) -> Iterator[Row]:
    recording = first_cell(row, RECORDING)
    start, end = bounds(table, row)
    said = False
    for key, label in classes.items():
        if not (cell := row.cells[key]):
            continue
        kind = MARKS.get(cell.casefold())
        if kind is None:
            raise TableError(
                f"{table.path}:{row.line}: column {label}: {cell[:40]!r} is no mark: write 1, 0, "
                "unsure or nothing"
            )
        if label.casefold() in absent and kind != "present":
            continue  # that there is no noise says nothing of a class
        said = True
        yield Row(row.line, start, end, label, kind=kind, recording=recording)
    if not said:
        yield Row(row.line, 0, 0, recording=recording)
