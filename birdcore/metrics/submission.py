"""Submissions as files: a row for each window, a column for each class."""

import csv
import io
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Submission:
    """A table of `row_id` and one score per class: `scores` is (rows, labels)."""

    row_ids: tuple[str, ...]
    labels: tuple[str, ...]
    scores: NDArray[np.float64]


def read_submission(path: Path, *, may_be_empty: bool = False) -> Submission:
    """Read a CSV of `row_id` and one column per class; `may_be_empty`: a header alone will do.

    Raises OSError where the file cannot be opened, and ValueError with file, line and column
    for anything that is not a table of finite numbers with unique row ids and labels.
    """
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


def read_header(path: Path) -> list[str]:
    """The names of a CSV's columns; raises as `read_submission` does."""
    rows = csv.reader(io.StringIO(_text(path), newline=""))
    return next((cells for cells in rows if cells), [])


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
