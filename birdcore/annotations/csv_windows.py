"""CSV tables with a recording, a start, an end and a label a row, as competitions, crowsetta,
monitoR, warbleR and people write them.

They agree on that and on no column's name. Several labels of a window may stand in one cell, with
semicolons between them (BirdCLEF+ 2026). R's packages give frequencies in kHz.
"""

import re
from collections.abc import Iterator, Set

from birdcore.annotations.row import Row
from birdcore.annotations.table import (
    LABELS,
    Record,
    Table,
    column_key,
    first_cell,
    hertz,
    label_column,
    records,
    seconds,
)
from birdcore.config import Annotations
from birdcore.csv_table import TableError
from birdcore.unicode_names import nfc

# fmt: off
DATE = re.compile(r"\d+[-/.]\d+[-/.]\d+", re.ASCII)
RECORDING = (
    "audiofilename", "audio filename", "filename", "file name", "notated path", "sound files",
    "sound file", "audio path", "audio file", "file path", "filepath", "recording", "wav", "path",
    "file",
)
START = (
    "start", "start s", "start time", "start time s", "start seconds", "start sec", "begin",
    "begin s", "begin time", "onset", "onset s", "onset time", "t start", "tmin",
)
END = (
    "end", "end s", "end time", "end time s", "end seconds", "end sec", "stop", "stop s",
    "stop time", "stop seconds", "offset", "offset s", "offset time", "t end", "tmax",
)
LENGTH = ("duration", "duration s", "length", "length s")
LOW = {
    "low freq hz": 1, "low hz": 1, "low frequency": 1, "low freq": 1, "min frequency": 1,
    "min freq": 1, "freq low": 1, "fmin": 1,
    "bottom freq": 1000, "min frq": 1000, "low freq khz": 1000, "low khz": 1000,
}
"""Columns of the lower frequency, and how many Hz their unit is: warbleR and monitoR use kHz."""
HIGH = {
    "high freq hz": 1, "high hz": 1, "high frequency": 1, "high freq": 1, "max frequency": 1,
    "max freq": 1, "freq high": 1, "fmax": 1,
    "top freq": 1000, "max frq": 1000, "high freq khz": 1000, "high khz": 1000,
}
# fmt: on


def fits(table: Table) -> bool:
    """Whether it has columns for where a label begins, and where it ends or how long it is; a table
    of dates (when a recorder was out) is another matter."""
    header = set(table.header)
    if not (header & {*START} and header & {*END, *LENGTH}):
        return False
    try:
        first = next(records(table), None)
    except TableError:
        return True  # `read` says what is wrong
    return first is None or not DATE.match(first.cells[_column(first, START)])


def read(table: Table, settings: Annotations) -> list[Row]:
    """Its rows, one for each label of a cell; raises TableError where a time is none."""
    rows = list(records(table))
    label = label_column(table, rows, LABELS, settings)
    said_of_all = {*RECORDING, column_key(settings.annotator or "")}
    return [each for row in rows for each in _labels(table, row, label, said_of_all)]


def _labels(table: Table, row: Record, label: str | None, said_of_all: Set[str]) -> Iterator[Row]:
    recording = first_cell(row, RECORDING)
    if recording and not any(cell for name, cell in row.cells.items() if name not in said_of_all):
        yield Row(row.line, 0, 0, recording=recording)
        return
    start, end = bounds(table, row)
    low, high = _frequency(row, LOW), _frequency(row, HIGH)
    names = [nfc(name).strip() for name in row.cells[label].split(";")] if label else []
    for name in [name for name in names if name] or [""]:
        yield Row(row.line, start, end, name, low, high, recording=recording)


def bounds(table: Table, row: Record) -> tuple[float, float]:
    """Where a row's window begins and ends, in seconds; raises TableError where a time is none."""
    start = seconds(table, row, _column(row, START))
    if (last := _column(row, END)) in row.cells:
        return start, seconds(table, row, last)
    return start, start + seconds(table, row, _column(row, LENGTH))


def _column(row: Record, names: tuple[str, ...]) -> str:
    return next((name for name in names if name in row.cells), names[0])


def _frequency(row: Record, units: dict[str, int]) -> float | None:
    column = next((name for name in units if name in row.cells), "")
    return hertz(row, column, units.get(column, 1))
