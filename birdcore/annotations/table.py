"""The files below a folder that may hold labels, and the cells of those that have columns.

People's tables differ in what stands between cells, in the case of column names and in how a time
is written. Here that is levelled, so that a reader of a format names columns and nothing else.
"""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from birdcore.config import Annotations
from birdcore.csv_table import Problem, TableError, csv_rows, read_text
from birdcore.unicode_names import is_utf8, nfc, printable

SUFFIXES = (".txt", ".csv", ".tsv", ".textgrid", ".not.mat")
LABELS = (
    "scientific name", "primary label", "species code", "ebird code", "species", "label species",
    "label", "annotation", "annotations", "class", "class name", "common name", "name", "birds",
    "tags", "tag", "id", "comments",
)  # fmt: skip
"""Columns that may hold labels, in order of trust, as `column_key` spells them."""
TABLE_ENDS = re.compile(r"(\.table\.\d+)?(\.selections?(\.table)?)?\.\w+$", re.IGNORECASE)
"""What Raven and others add to a recording's name to name its table."""
HEAD_BYTES = 1 << 16
"""So much of a file is enough to tell whose it is."""
CLOCK = re.compile(r"(?:(\d+):)?(\d{1,2}):(\d{1,2}(?:[.,]\d*)?)", re.ASCII)
NUMBER = re.compile(r"[+-]?(\d+[.,]?\d*|[.,]\d+)([eE][+-]?\d+)?", re.ASCII)


@dataclass(frozen=True)
class Table:
    """A file that may hold labels: `name` is its path below the root, with slashes and in NFC."""

    path: Path
    name: str

    @cached_property
    def head(self) -> str:
        """How it begins; what is not UTF-8 is replaced, since it may be anything."""
        try:
            with self.path.open("rb") as file:
                return file.read(HEAD_BYTES).decode("utf-8-sig", errors="replace")
        except OSError as error:
            raise TableError(f"{self.path}: can't be read: {error.strerror}") from None

    @cached_property
    def text(self) -> str:
        """All of it; raises TableError where it is not UTF-8."""
        return read_text(self.path)

    @cached_property
    def header(self) -> tuple[str, ...]:
        """The cells of its first line that is not blank, as `column_key` spells them."""
        return tuple(map(column_key, self.columns))

    @property
    def columns(self) -> tuple[str, ...]:
        """The cells of that line as they are written."""
        return tuple(_split(self._first_line))

    @property
    def _first_line(self) -> str:
        return next((line for line in self.head.splitlines() if line.strip()), "")

    def name_beside(self, recording: str) -> str:
        """What its name says beyond that of its recording, such as `amered` of `rec1_amered.txt`
        beside `rec1.wav`; all of its name for no recording ("")."""
        stem, name = PurePosixPath(recording).stem, TABLE_ENDS.sub("", self.name.rpartition("/")[2])
        own = name[len(stem) :] if name.casefold().startswith(stem.casefold()) else name
        return own.strip(" ._-")

    @property
    def folder(self) -> str:
        """The folder below the root that it lies in; "" for the root itself."""
        return self.name.rpartition("/")[0]


class Record(NamedTuple):
    """A row of a table: the line on which it begins, and its cells by `column_key`."""

    line: int
    cells: dict[str, str]


def column_key(name: str) -> str:
    """A column's name without what tools and people change in it: case, spaces and signs.

    Example:
        >>> column_key("Begin Time (s)"), column_key("BEGIN_TIME_S"), column_key("begin.time.s")
        ('begin time s', 'begin time s', 'begin time s')
    """
    return " ".join(re.split(r"[\W_]+", nfc(name).casefold())).strip()


def find_tables(root: Path) -> tuple[list[Table], list[Problem]]:
    """Files below a folder that may hold labels, by name; links are followed, hidden names not."""
    tables: list[Table] = []
    problems: list[Problem] = []
    todo: list[tuple[Path, str, frozenset[tuple[int, int]]]] = [(root, "", frozenset())]
    while todo:
        folder, below, around = todo.pop()
        try:
            here, listed = folder.stat(), sorted(os.listdir(folder))
        except OSError as error:
            why = error.strerror or str(error)
            problems.append(Problem("folder that can't be read", printable(below), why))
            continue
        inside = around | {(here.st_dev, here.st_ino)}
        if inside == around:
            continue  # a link that leads back to a folder around it
        for name in listed:
            path = folder / name
            if name.startswith(".") or not is_utf8(name):
                continue
            if path.is_dir():
                todo.append((path, f"{below}{name}/", inside))
            elif name.casefold().endswith(SUFFIXES):
                if path.is_file():
                    tables.append(Table(path, nfc(below + name)))
                else:
                    where = printable(below + name)
                    problems.append(Problem("no table", where, "a link to nothing, or no file"))
    return sorted(tables, key=lambda table: table.name), problems


def records(table: Table) -> Iterator[Record]:
    """The rows below the header of a table with columns.

    A row may be shorter than the header (Raven ends it at the last cell that holds anything), but
    not longer.

    Raises:
        TableError: It is no such table, or a column of a name is there twice.
    """
    first = table._first_line
    rows = csv_rows(
        table.path,
        table.text,
        _delimiter(first),
        quotes=_delimiter(first) != "\t" or first.startswith('"'),
    )
    start, header = next(rows, (1, []))
    keys = [column_key(name) for name in header]
    for line, row in rows:
        if any(row[len(keys) :]):
            raise TableError(
                f"{table.path}:{line}: {len(row)} fields where the header has {len(keys)}: "
                "put text that holds the separator in quotes"
            )
        cells = dict.fromkeys(keys, "")
        for key, cell in zip(keys, row, strict=False):
            if key and cells[key] and cell and cells[key] != cell:
                raise TableError(f"{table.path}:{start}: column {key!r} is there twice")
            cells[key] = cells[key] or cell
        yield Record(line, cells)


def first_cell(row: Record, names: Sequence[str]) -> str:
    """The first cell of these columns that holds anything; "" where none does."""
    return next((row.cells[name] for name in names if row.cells.get(name)), "")


def label_column(
    table: Table, rows: Sequence[Record], known: Sequence[str], settings: Annotations
) -> str | None:
    """The column of labels: the one that is set, or the first known one that holds anything.

    Raises:
        TableError: It has no column of the name that is set.
    """
    if settings.label_column is None:
        there = [name for name in known if name in table.header]
        return next((name for name in there if any(row.cells[name] for row in rows)), None)
    return named_column(table, settings.label_column, "label_column")


def named_column(table: Table, name: str, setting: str) -> str:
    """The column that a setting of [data.annotations] names, as `column_key` spells it.

    Raises:
        TableError: It has no column of this name.
    """
    if (key := column_key(name)) in table.header:
        return key
    raise TableError(
        f"{table.path}:1: no column {name!r}; there are {', '.join(table.header)[:400]}: set "
        f"data.annotations.{setting} to one of them"
    )


def seconds(table: Table, row: Record, column: str) -> float:
    """A cell's time in seconds, from a number or from [hours:]minutes:seconds.

    Raises:
        TableError: It is empty or no time.
    """
    text = row.cells.get(column, "")
    if clock := CLOCK.fullmatch(text):
        hours, minutes, rest = clock.groups()
        return int(hours or 0) * 3600 + int(minutes) * 60 + float(rest.replace(",", "."))
    if NUMBER.fullmatch(text) and abs(value := float(text.replace(",", "."))) < 1e12:
        return value
    raise TableError(
        f"{table.path}:{row.line}: {column} {text[:40]!r} is no time: give seconds or HH:MM:SS"
    )


def hertz(row: Record, column: str, unit: float = 1.0) -> float | None:
    """A cell's frequency in Hz; None where it is missing or no number.

    Args:
        row: The row.
        column: Its column, which need not be there.
        unit: How many Hz a unit of the column is.
    """
    text = row.cells.get(column, "")
    value = float(text.replace(",", ".")) * unit if NUMBER.fullmatch(text) else -1.0
    return value if 0 <= value < 1e9 else None


def _delimiter(line: str) -> str:
    return max("\t,;", key=line.count)


def _split(line: str) -> list[str]:
    return [cell.strip().strip('"') for cell in line.split(_delimiter(line))]
