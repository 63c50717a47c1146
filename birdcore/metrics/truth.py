"""True labels of rows, in the forms that competitions give them.

A wide table has a column of 0 and 1 for each class. A long one names the classes that are there:
BirdCLEF's of 2021 by `row_id`, that of 2026 by file and times, with each row twice; or it has a row
for each window and class, true or false (2022). A window that no row names is not labelled: it is
no negative, and is not scored.
"""

import csv
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from birdcore.csv_table import TableError, read_table
from birdcore.metrics.submission import NOTHING, Submission, read_header, read_submission
from birdcore.unicode_names import nfc

LABELS = {"birds": " ", "primary_label": ";", "labels": ";", "label": ";"}
"""Columns of labels, and what stands between two of them."""


def has_rows(path: Path) -> bool:
    """Whether a truth is one that `read_truth` is for, by its header."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        first = file.readline(1 << 20).decode("utf-8-sig", errors="replace")
    try:
        header = set(next(csv.reader([first]), []))
    except csv.Error:
        return True  # `read_truth` says what is wrong
    return "row_id" in header or {"filename", "start", "end", "primary_label"} <= header


def read_truth(path: Path, classes: Sequence[str] = ()) -> Submission:
    """True labels, 1 where a class is there and 0 where it is not.

    Args:
        path: A wide table, or a long one with the columns row_id or filename, start and end, and
            one of `LABELS`.
        classes: Those that a long table need not name: where it does not, they are not there. They
            come first.

    Raises:
        OSError: It can't be opened.
        ValueError: It is no such table; the message names file and line.
    """
    header = read_header(path)
    column = next((name for name in LABELS if name in header), None)
    if column is None or not ("row_id" in header or {"filename", "end"} <= set(header)):
        return _wide(path)
    needs = ("row_id",) if "row_id" in header else ("filename", "start", "end")
    table = read_table(path, (*needs, column))
    names = table["row_id"].map(nfc) if "row_id" in header else _row_ids(path, table)
    there: dict[str, set[str]] = {}
    for line, name, cell in zip(table.index, names, table[column], strict=True):
        labels = [label.strip() for label in cell.split(LABELS[column].strip() or None)]
        if not name or not all(labels) or not labels:
            empty = column if name else "row_id"
            raise TableError(
                f"{path}:{line}, column {empty}: empty; where no class is heard, write {NOTHING}"
            )
        there.setdefault(name, set()).update(map(nfc, set(labels) - {NOTHING}))
    known = {nfc(label): label for label in classes}
    others = sorted(set().union(*there.values()) - known.keys())
    order = [*known, *others]
    marks = [[float(label in labels) for label in order] for labels in there.values()]
    return Submission(tuple(there), (*known.values(), *others), np.array(marks))


def _wide(path: Path) -> Submission:
    table = read_submission(path)
    for row, column in np.argwhere((table.scores != 0) & (table.scores != 1))[:1]:
        where = f"{path}, row {table.row_ids[row]}, column {table.labels[column]}"
        raise ValueError(f"{where}: {table.scores[row, column]:g} is neither 0 nor 1")
    return table


def _row_ids(path: Path, table: pd.DataFrame) -> list[str]:
    """Rows as a submission calls them: a file's stem and the second at which a window ends."""
    found = []
    for line, name, end in zip(table.index, table["filename"], table["end"], strict=True):
        second = _seconds(end, f"{path}:{line}, column end")
        found.append(f"{nfc(PurePosixPath(name).stem)}_{second:g}")
    return found


def _seconds(text: str, where: str) -> float:
    """Of seconds, MM:SS or HH:MM:SS."""
    try:
        parts = [float(part) for part in text.split(":")]
    except ValueError:
        parts = []
    if not 1 <= len(parts) <= 3 or not all(0 <= part < 1e9 for part in parts):
        raise TableError(f"{where}: {text!r} is no time: give seconds or HH:MM:SS")
    return sum(part * 60.0**at for at, part in enumerate(reversed(parts)))
