"""The names of a teacher's classes, from the file that comes with its model.

Such files have a name in each line, `Scientific name_Common name` in each line as BirdNET's, or
columns. A file that is read by a row too few or too many would call every bird by its neighbour's
name, so nothing is guessed and nothing left out.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from birdcore.config.validation_errors import nearest
from birdcore.csv_table import csv_rows, read_text
from birdcore.text import first_of, plain_text
from birdcore.unicode_names import nfc

NAMED = {",": "a comma", ";": "a semicolon", "\t": "a tab"}
"""What may stand between cells."""


class Labels(NamedTuple):
    """Scientific and common names (K,). A class without a common name has its scientific one there;
    where no class has one, there are none."""

    names: tuple[str, ...]
    common_names: tuple[str, ...]


def read_labels(path: Path, column: str | None, common_column: str | None) -> Labels:
    """The names in the order of the file.

    Args:
        path: A table where it ends in .csv or a column is named, else a name in each line.
        column: Of scientific names; None: the only one.
        common_column: Of common names; None: there are none.

    Raises:
        ValueError: It can't be read, lacks a column, or has a row that is longer than its header,
            or an empty or repeated name.
    """
    text = read_text(path)
    if column is None and common_column is None and path.suffix.lower() != ".csv":
        rows = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
        pairs = [(number, *_pair(line)) for number, line in rows]
        if not all("_" in line for _, line in rows):  # then it is part of names
            pairs = [(number, line.strip(), "") for number, line in rows]
    else:
        pairs = _table(path, text, column, common_column)
    _refuse_repeated(path, [(number, name) for number, name, _ in pairs])
    names = tuple(nfc(name) for _, name, _ in pairs)
    common = tuple(nfc(common) for *_, common in pairs)
    if not any(common):
        return Labels(names, ())
    return Labels(names, tuple(own or name for own, name in zip(common, names, strict=True)))


def _pair(line: str) -> tuple[str, str]:
    scientific, _, common = line.partition("_")
    return scientific.strip(), common.strip()


def _table(
    path: Path, text: str, column: str | None, common_column: str | None
) -> list[tuple[int, str, str]]:
    first = text.partition("\n")[0]
    delimiter = max(NAMED, key=first.count)
    rows = csv_rows(path, text, delimiter)
    _, header = next(rows, (1, []))
    if column is None and len(header) > 1:
        raise ValueError(
            f"{path}:1: which column has the scientific names? Set labels_column, to one of "
            f"{first_of(header, 12)}"
        )
    at = 0 if column is None else _column(path, header, column)
    common = None if common_column is None else _column(path, header, common_column)
    found = []
    for number, row in rows:
        if any(row[len(header) :]):
            raise ValueError(
                f"{path}:{number}: {len(row)} cells where the header has {len(header)}: put a name "
                f"that holds {NAMED[delimiter]} in quotes"
            )
        found.append((number, _cell(row, at), "" if common is None else _cell(row, common)))
    return found


def _column(path: Path, header: Sequence[str], name: str) -> int:
    if name not in header:
        near = nearest(name, header) or "."
        raise ValueError(
            f"{path}:1: no column {name!r}{near} There are {first_of(header, 12) or 'none'}"
        )
    return header.index(name)


def _cell(row: Sequence[str], at: int) -> str:
    return row[at] if at < len(row) else ""


def _refuse_repeated(path: Path, rows: Sequence[tuple[int, str]]) -> None:
    if not rows:
        raise ValueError(f"{path}: names no class")
    lines: dict[str, int] = {}
    for number, name in rows:
        if not name:
            raise ValueError(f"{path}:{number}: a class without a name")
        if (first := lines.setdefault(name.casefold(), number)) != number:
            raise ValueError(
                f"{path}:{number}: {plain_text(name)!r} is there twice, first in line {first}"
            )
