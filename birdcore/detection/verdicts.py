"""The table of segments for listening: a row for each sound file, and a verdict to fill in.

People fill it in with a spreadsheet over weeks, and cut more in between. So a row that is there
stays as it is, with whatever was written into it and whatever columns were added to it, in the
delimiter that the spreadsheet has saved.
"""

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from birdcore.store.files import write_text
from birdcore.text import from_spreadsheet_cell, spreadsheet_cell

SEGMENTS = "segments.csv"
COLUMNS = (
    "segment", "file", "scientific_name", "common_name", "class", "confidence", "start_s", "end_s",
    "cut_start_s", "cut_end_s", "recorded_at", "model", "verdict", "comment",
)  # fmt: skip
"""`segment` is the sound file, relative to the table; `start_s` to `end_s` is the detection in the
recording `file`, `cut_start_s` to `cut_end_s` what was cut. `verdict` and `comment` are empty."""
DIGITS = 4
NEEDED = ("segment", "file", "class", "start_s", "end_s")

Key: TypeAlias = tuple[str, str, float, float]
"""A detection: recording, class, start and end in seconds."""


@dataclass
class SegmentTable:
    """Rows in order, and what the file looks like."""

    rows: list[dict[str, str]] = field(default_factory=list)
    columns: tuple[str, ...] = COLUMNS
    delimiter: str = ","

    def known(self) -> dict[Key, dict[str, str]]:
        """The rows by detection."""
        return {
            detection_key(row["file"], row["class"], row["start_s"], row["end_s"]): row
            for row in self.rows
        }

    def add(self, cells: Mapping[str, object]) -> None:
        """Add a row; columns that it does not name are empty."""
        self.rows.append({name: _text(cells.get(name, "")) for name in self.columns})

    def write(self, path: Path) -> None:
        """Write the table so that it is there in full or not at all."""
        text = io.StringIO()
        writer = csv.writer(text, delimiter=self.delimiter, lineterminator="\n")
        writer.writerow(self.columns)
        for row in self.rows:
            writer.writerow(spreadsheet_cell(row[name]) for name in self.columns)
        write_text(path, text.getvalue())


def read_segments(path: Path) -> SegmentTable:
    """The table of segments, an empty one where there is none yet.

    Raises:
        ValueError: It is another table, or none.
        OSError: It can't be read.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return SegmentTable()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8: save it as CSV in UTF-8") from error
    head = text.partition("\n")[0]
    delimiter = max(",;\t", key=head.count)
    reader = csv.DictReader(io.StringIO(text), delimiter=delimiter, restval="")
    try:
        columns = list(reader.fieldnames or ())
        read = list(reader)
    except csv.Error as error:
        line = reader.reader.line_num
        raise ValueError(f"{path}, line {line}: {error}; does a quote above not end?") from error
    if missing := [name for name in NEEDED if name not in columns]:
        raise ValueError(
            f"{path} has no column {missing[0]!r}, so it is no table of segments: give another "
            "--out, or move it away"
        )
    rows = [
        {name: from_spreadsheet_cell(row[name]) for name in columns}
        | dict.fromkeys(_new(columns), "")
        for row in read
    ]
    table = SegmentTable(rows, (*columns, *_new(columns)), delimiter)
    try:
        table.known()
    except ValueError as error:
        raise ValueError(f"{path} has a start_s or end_s that is no number: {error}") from error
    return table


def detection_key(file: str, code: str, start_s: str | float, end_s: str | float) -> Key:
    """What tells a detection from others, also after a spreadsheet has written its numbers anew."""
    return file, code, _hundredths(start_s), _hundredths(end_s)


def _hundredths(value: str | float) -> float:
    """Rounded by way of the digits that the table has, as a number that was read from it is."""
    # A float of NumPy would be rounded in another way.
    number = float(value.replace(",", ".") if isinstance(value, str) else value)
    return round(round(number, DIGITS), 2)


def _new(columns: Iterable[str]) -> tuple[str, ...]:
    """Our columns that a table lacks."""
    there = set(columns)
    return tuple(name for name in COLUMNS if name not in there)


def _text(cell: object) -> str:
    return f"{cell:.{DIGITS}f}".rstrip("0").rstrip(".") if isinstance(cell, float) else str(cell)
