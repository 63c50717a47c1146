"""Selection tables of Raven, and of all that write like it (BirdNET does).

Raven lists a selection once for each view (waveform, spectrogram), and in a table over several
recordings `Begin Time (s)` counts on from one to the next; `File Offset (s)` does not.
"""

from collections import Counter

from birdcore.annotations.row import Row
from birdcore.annotations.table import (
    LABELS,
    Record,
    Table,
    first_cell,
    hertz,
    label_column,
    records,
    seconds,
)
from birdcore.config import Annotations
from birdcore.csv_table import TableError
from birdcore.unicode_names import nfc

BEGIN, END, LENGTH, OFFSET = "begin time s", "end time s", "delta time s", "file offset s"
RECORDING = ("begin path", "begin file", "file", "filename")
"""Columns that name the recording, the surest first."""


def fits(table: Table) -> bool:
    """Whether a table has Raven's columns."""
    return BEGIN in table.header and (END in table.header or LENGTH in table.header)


def read(table: Table, settings: Annotations) -> list[Row]:
    """Its selections, each once.

    Raises:
        TableError: A time is none, or the table is over several recordings and does not say where
            in each a selection is.
    """
    selections = list(records(table))
    several = len({first_cell(each, RECORDING) for each in selections}) > 1
    label = label_column(table, selections, LABELS, settings)
    rows: dict[tuple[str, str, int], Row] = {}
    times: Counter[tuple[str, str, str]] = Counter()
    for each in selections:
        start, end = _times(table, each, several)
        row = Row(
            each.line,
            start,
            end,
            nfc(each.cells[label]) if label else "",
            hertz(each, "low freq hz"),
            hertz(each, "high freq hz"),
            recording=first_cell(each, RECORDING),
        )
        number = each.cells.get("selection") or f"line {each.line}"
        view = row.recording, number, each.cells.get("view", "")
        times[view] += 1
        # A number that comes again in the same view is another selection: tables were joined.
        key = row.recording, number, times[view]
        if key in rows and not (rows[key].start_s < row.end_s and row.start_s < rows[key].end_s):
            key = row.recording, number, -each.line
        rows[key] = max(rows.get(key, row), row, key=_worth)
    return list(rows.values())


def _times(table: Table, row: Record, several: bool) -> tuple[float, float]:
    """Where a selection begins and ends in its recording, in seconds."""
    begin = seconds(table, row, BEGIN)
    length = seconds(table, row, END) - begin if END in row.cells else seconds(table, row, LENGTH)
    if row.cells.get(OFFSET):
        begin = seconds(table, row, OFFSET)
    elif several:
        raise TableError(
            f"{table.path}:{row.line}: times of a table over several recordings count on from one "
            "to the next: export it from Raven with the column File Offset (s)"
        )
    return begin, begin + length


def _worth(row: Row) -> tuple[bool, bool]:
    """How much a view says: the label may be written in one of them, and one may be flat."""
    return bool(row.label), row.low_hz is not None and row.low_hz != row.high_hz
