"""A CSV table as text, each row with its line: what is wrong in a table is said by line.

A table that can't be read as it stands is refused, never half read: another encoding, a quote
that does not end, rows of different lengths.
"""

import csv
import io
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import pandas as pd

from birdcore.unicode_names import nfc


class TableError(ValueError):
    """A table or folder that can't be used; the message names file, line and column."""


class Problem(NamedTuple):
    """Something that does not fit: reported, and the run goes on without it."""

    problem: str
    where: str
    detail: str


def is_there(path: Path) -> bool:
    """Whether there is such a table; raises TableError for anything else of that name.

    A pipe of that name would never end, and a link without a target is a mistake.
    """
    if path.is_file():
        return True
    if path.is_symlink() and not path.exists():
        raise TableError(f"{path}: a link to {os.readlink(path)}, which is not there")
    if path.exists() and not path.is_dir():
        raise TableError(f"{path}: a pipe or device, no table")
    return path.is_dir()  # reading it says so


def read_table(path: Path, needs: tuple[str, ...], *, may_be_empty: bool = False) -> pd.DataFrame:
    """All of a table as stripped text, indexed by line; raises TableError."""
    rows = csv_rows(path, read_text(path))
    _, header = next(rows, (1, []))
    header = [nfc(name) for name in header]
    missing = [c for c in needs if c not in header]
    if missing:
        there_are = f"there are {', '.join(header[:12])[:400]}" if header else "it is empty"
        raise TableError(f"{path}:1: no column {', '.join(missing)}; {there_are}")
    if repeated := [c for c, times in Counter(header).items() if c and times > 1]:
        raise TableError(f"{path}:1: column {repeated[0]!r} is there twice")
    lines: list[int] = []
    cells: list[list[str]] = []
    for line, row in rows:
        if len(row) < len(header) or any(row[len(header) :]):
            hint = ": put text that holds commas in quotes" if len(row) > len(header) else ""
            raise TableError(
                f"{path}:{line}: {len(row)} fields where the header has {len(header)}{hint}"
            )
        lines.append(line)
        cells.append(row[: len(header)])
    if not lines and not may_be_empty:
        raise TableError(f"{path}:1: no rows below the header")
    table = pd.DataFrame(cells, index=lines, columns=header, dtype=str)
    return table[[c for c in header if c]]  # a column without a name is a saved row number


def read_text(path: Path) -> str:
    """The text of a table, without a byte order mark; raises TableError where it is not UTF-8."""
    try:
        if not is_there(path):
            raise TableError(f"{path}: there is no such table")
        raw = path.read_bytes()
        text = raw.decode("utf-8-sig")
    except OSError as error:
        raise TableError(f"{path}: can't be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise TableError(f"{path}:{line}: not UTF-8 text: save the table as UTF-8") from None
    if (at := text.find("\0")) >= 0:
        line = text.count("\n", 0, at) + 1
        raise TableError(f"{path}:{line}: a NUL byte: no UTF-8 text, or damaged")
    return text


def csv_rows(
    path: Path, text: str, delimiter: str = ",", *, quotes: bool = True
) -> Iterator[tuple[int, list[str]]]:
    """Each row that is not blank, its cells stripped, with the line on which it begins.

    Args:
        path: Named in messages.
        text: All of the table.
        delimiter: What stands between cells.
        quotes: Whether a cell may stand in quotes; otherwise they are part of the text.

    Raises:
        TableError: A quote does not end, or a cell is far too long.
    """
    quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE
    file = io.StringIO(text, newline="")
    reader = csv.reader(file, delimiter=delimiter, quoting=quoting, strict=True)
    begins = 1
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if any(cells):
                yield begins, cells
            begins = reader.line_num + 1
    except csv.Error as error:
        why = str(error)
        if "unexpected end" in why or "field limit" in why:
            why = "a quote that begins on this line does not end, or a field is far too long"
        raise TableError(f"{path}:{begins}: not a CSV table: {why}") from None
