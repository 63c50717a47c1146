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
from birdcore.csv_table import Problem, TableError
from birdcore.text import first_of
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
    "annotator", "channel", "comment", "confidence", "count", "date", "day", "hour", "index",
    "latitude", "location", "longitude", "minute", "month", "note", "notes", "number", "observer",
    "quality", "recorder", "reviewed", "reviewer", "row", "sample rate", "score", "selection",
    "site", "temperature", "time", "view", "year",
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
    marks = _marks_of_columns(table, rows, NO_CLASSES)
    return any(2 * sum(each) > len(each) for each in marks.values())


def read(table: Table, settings: Annotations) -> list[Row]:
    """Its rows, one for each mark; raises TableError where a cell or a time is none.

    A column with any mark is of a class: were one of counts passed over, `complete` would say that
    its class is nowhere.
    """
    rows = list(records(table))
    marks = _marks_of_columns(table, rows, _no_classes(settings))
    classes = {key: name for key, name in _labels(table).items() if any(marks.get(key, ()))}
    absent = {label.casefold() for label in settings.absent_labels}
    return [each for row in rows for each in _marks(table, row, classes, absent)]


def columns_left_out(table: Table, settings: Annotations) -> list[Problem]:
    """What to say of columns that hold something and no mark, which may be counts of a class."""
    marks = _marks_of_columns(table, list(records(table)), _no_classes(settings))
    names = [name for key, name in _labels(table).items() if marks.get(key) and not any(marks[key])]
    if not names:
        return []
    return [Problem("columns without marks, taken for no class", table.name, first_of(names, 12))]


def _no_classes(settings: Annotations) -> set[str]:
    named = (settings.annotator, settings.votes, settings.voters)
    return NO_CLASSES | {column_key(name) for name in named if isinstance(name, str)}


def _labels(table: Table) -> dict[str, str]:
    """Labels by the key of their column."""
    return {column_key(name): nfc(name) for name in table.columns}


def _marks_of_columns(
    table: Table, rows: Sequence[Record], others: set[str]
) -> dict[str, list[bool]]:
    """By the key of a column whether each cell that holds anything is a mark."""
    return {
        key: [row.cells[key].casefold() in MARKS for row in rows if row.cells[key]]
        for key in _labels(table)
        if key not in others
    }


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
                "unsure or nothing, or take the column out if it is of no class"
            )
        if label.casefold() in absent and kind != "present":
            continue  # that there is no noise says nothing of a class
        said = True
        yield Row(row.line, start, end, label, kind=kind, recording=recording)
    if not said:
        yield Row(row.line, 0, 0, recording=recording)
