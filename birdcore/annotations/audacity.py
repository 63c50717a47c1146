"""Label tracks of Audacity: start, end and label between tabs, without a header.

A line of a backslash and two frequencies may follow a label: its band.
"""

import re
from dataclasses import replace

from birdcore.annotations.row import Row
from birdcore.annotations.table import Record, Table, hertz, seconds
from birdcore.config import Annotations
from birdcore.csv_table import TableError
from birdcore.unicode_names import nfc

FIRST = re.compile(r"\s*[-+]?\d[\d.,eE+-]*\t[-+]?\d[\d.,eE+-]*(\t|\s*$)", re.ASCII)


def fits(table: Table) -> bool:
    """Whether the first line is a label, or there is none at all: a track without labels."""
    lines = table.head.splitlines()
    first = next((line for line in lines if line.strip()), "")
    return table.path.suffix.casefold() == ".txt" and bool(not first or FIRST.match(first))


def read(table: Table, settings: Annotations) -> list[Row]:
    """Its labels; raises TableError where a line is no label and no band."""
    rows: list[Row] = []
    for line, text in enumerate(re.split(r"\r\n|\r|\n", table.text), start=1):
        if not text.strip():
            continue
        first, second, third, *_ = [*(cell.strip() for cell in text.split("\t")), "", "", ""]
        cells = Record(line, {"start": first, "end": second, "low": second, "high": third})
        if first != "\\":
            start, end = seconds(table, cells, "start"), seconds(table, cells, "end")
            rows.append(Row(line, start, end, nfc(third)))
        elif rows:
            rows[-1] = replace(rows[-1], low_hz=hertz(cells, "low"), high_hz=hertz(cells, "high"))
        else:
            raise TableError(f"{table.path}:{line}: a band before the first label")
    return rows
