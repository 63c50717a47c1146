"""Submissions as files: a row for each window, a column for each class.

Those of 2021 list the classes of a window, those of 2022 have a row for each window and class: they
are read as the same table, with 1 for yes and 0 for no.
"""

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from birdcore.csv_table import read_table
from birdcore.unicode_names import nfc

NOTHING = "nocall"
"""What a row says in which no class is heard."""


@dataclass(frozen=True)
class Submission:
    """A table of `row_id` and one score per class: `scores` is (rows, labels).

    `listed`: classes are listed where they are; one that is listed nowhere has 0 in all rows.
    """

    row_ids: tuple[str, ...]
    labels: tuple[str, ...]
    scores: NDArray[np.float64]
    listed: bool = False

    def naming(self, labels: Iterable[str]) -> "Submission":
        """The same with columns of 0 for labels that are not listed."""
        known = {nfc(label) for label in self.labels}
        added = tuple(dict.fromkeys(label for label in labels if nfc(label) not in known))
        if not self.listed or not added:
            return self
        scores = np.pad(self.scores, ((0, 0), (0, len(added))))
        return replace(self, labels=(*self.labels, *added), scores=scores)


def read_submission(path: Path, *, may_be_empty: bool = False) -> Submission:
    """Read a CSV of `row_id` and one column per class; `may_be_empty`: a header alone will do.

    Or of `row_id` and `birds` (labels between spaces, or nocall), or `row_id` and `target`, where a
    row is a window and a class, such as soundscape_453028782_afrsil1_5.

    Raises OSError where the file cannot be opened, and ValueError with file, line and column
    for anything that is not a table of finite numbers with unique row ids and labels.
    """
    if (form := LONG.get(frozenset(read_header(path)) - PLACES)) is not None:
        return form(path, may_be_empty)
    reader = csv.reader(io.StringIO(_text(path), newline=""), strict=True)
    lines: dict[str, int] = {}
    table: list[list[float]] = []
    try:
        header = next((cells for cells in reader if cells), [])
        labels, id_column = _read_header(path, header)
        for cells in filter(None, reader):
            where = f"{path}, line {reader.line_num}"
            if len(cells) != len(header):
                raise ValueError(f"{where}: {len(cells)} cells, the header has {len(header)}")
            row_id = cells.pop(id_column)
            if not row_id or row_id in lines:
                why = f"{row_id!r} is already on line {lines[row_id]}" if row_id else "empty"
                raise ValueError(f"{where}, column row_id: {why}")
            lines[row_id] = reader.line_num
            table.append([_number(cell) for cell in cells])
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num}: {error}") from error
    if not table and not may_be_empty:
        raise ValueError(f"{path}: a header and no rows")
    scores = np.array(table, np.float64).reshape(len(table), len(labels))
    for row, column in np.argwhere(~np.isfinite(scores))[:1]:
        where = f"{path}, line {list(lines.values())[row]}, column {labels[column]}"
        raise ValueError(f"{where}: not a finite number")
    return Submission(tuple(lines), labels, scores)


def _read_birds(path: Path, may_be_empty: bool) -> Submission:
    """2021's form."""
    table = read_table(path, ("row_id", "birds"), may_be_empty=may_be_empty)
    _refuse_repeats(path, table)
    said = [set(map(nfc, cell.split())) - {NOTHING} for cell in table["birds"]]
    for line, cell in table["birds"].items():
        if not cell:
            raise ValueError(
                f"{path}, line {line}, column birds: empty; where no class is heard, write "
                f"{NOTHING}"
            )
    labels = sorted(set().union(*said))
    marks = [[float(label in of_row) for label in labels] for of_row in said]
    scores = np.array(marks, np.float64).reshape(len(table), len(labels))
    return Submission(tuple(table["row_id"]), tuple(labels), scores, listed=True)


def _read_targets(path: Path, may_be_empty: bool) -> Submission:
    """2022's form; targets may be probabilities too."""
    table = read_table(path, ("row_id", "target"), may_be_empty=may_be_empty)
    _refuse_repeats(path, table)
    cells: dict[tuple[str, str], float] = {}
    for line, row_id, target in zip(table.index, table["row_id"], table["target"], strict=True):
        where = f"{path}, line {line}"
        rest, _, end = row_id.rpartition("_")
        window, _, label = rest.rpartition("_")
        if not (window and label and end):
            raise ValueError(
                f"{where}, column row_id: {row_id!r} is no window and class, such as "
                "soundscape_453028782_afrsil1_5"
            )
        value = YES_NO.get(target.lower(), _number(target))
        if not np.isfinite(value):
            raise ValueError(f"{where}, column target: {target!r} is not true, false or a number")
        cells[f"{window}_{end}", label] = value
    rows, labels = (tuple(dict.fromkeys(cell[part] for cell in cells)) for part in (0, 1))
    missing = ((row, label) for row in rows for label in labels if (row, label) not in cells)
    if (first := next(missing, None)) is not None:
        raise ValueError(f"{path}: window {first[0]} has no row for class {first[1]}: add it")
    scores = np.array([[cells[row, label] for label in labels] for row in rows], np.float64)
    return Submission(rows, labels, scores.reshape(len(rows), len(labels)))


def _refuse_repeats(path: Path, table: pd.DataFrame) -> None:
    wrong = table.index[table["row_id"].duplicated() | (table["row_id"] == "")]
    if len(wrong):
        row_id = table["row_id"][wrong[0]]
        why = f"{row_id!r} is there twice" if row_id else "empty"
        raise ValueError(f"{path}, line {wrong[0]}, column row_id: {why}")


LONG: dict[frozenset[str], Callable[[Path, bool], Submission]] = {
    frozenset(("row_id", "birds")): _read_birds,
    frozenset(("row_id", "target")): _read_targets,
}
"""Forms without a column for each class, by their columns."""
PLACES = {"site", "audio_id", "seconds"}
"""Columns of 2021 that say once more what a row's id says."""
YES_NO = {"true": 1.0, "false": 0.0}


def read_header(path: Path) -> list[str]:
    """The names of a CSV's columns; raises as `read_submission` does."""
    rows = csv.reader(io.StringIO(_text(path), newline=""))
    try:
        return next((cells for cells in rows if cells), [])
    except csv.Error as error:
        hint = "does a quote above not end?"
        raise ValueError(f"{path}, line {rows.line_num}: {error}; {hint}") from error


def _text(path: Path) -> str:
    if path.exists() and not path.is_file() and not path.is_dir():
        raise ValueError(f"{path}: a pipe or device, no table")
    data = path.read_bytes()
    if (at := data.find(b"\0")) >= 0 and not data.startswith((b"\xff\xfe", b"\xfe\xff")):
        line = data.count(b"\n", 0, at) + 1
        raise ValueError(f"{path}, line {line}: a NUL byte: no UTF-8 text, or damaged")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{path}, line {line}: not UTF-8 text, save it as UTF-8") from error


def _read_header(path: Path, header: list[str]) -> tuple[tuple[str, ...], int]:
    if not header:
        raise ValueError(f"{path}: empty")
    if "row_id" not in header:
        raise ValueError(f"{path}, line 1: no column row_id among {', '.join(header)[:80]}")
    twice = sorted(name for name, times in Counter(header).items() if times > 1)
    if twice:
        raise ValueError(f"{path}, line 1: columns given twice: {', '.join(twice)[:400]}")
    if len(header) == 1:
        raise ValueError(f"{path}, line 1: no class columns beside row_id")
    id_column = header.index("row_id")
    return (*header[:id_column], *header[id_column + 1 :]), id_column


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return float("nan")
