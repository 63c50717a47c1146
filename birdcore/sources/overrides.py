"""What a person decides about cutting: `overrides.csv` in the data folder.

A row (recording, keep or cut, from, to; seconds of the original recording) wins over what speech
detection found, and a later row over an earlier one. An empty `from` is the start, an empty `to`
the end.
"""

import math
from collections import defaultdict
from collections.abc import Hashable, Mapping, Set
from pathlib import Path

from birdcore.audio.trim import Override
from birdcore.csv_table import TableError, is_there, read_table
from birdcore.text import from_spreadsheet_cell
from birdcore.unicode_names import by_casefold, nfc

OVERRIDES = "overrides.csv"
COLUMNS = ("recording", "action", "from", "to")


def read_overrides(path: Path, known: Set[str]) -> dict[str, tuple[Override, ...]]:
    """Overrides by recording, in the file's order.

    `known` are the recordings there are; their folder may be left out before a name. Raises
    TableError with file, line and column.
    """
    if not is_there(path):
        return {}
    overrides: dict[str, list[Override]] = defaultdict(list)
    table = read_table(path, COLUMNS, may_be_empty=True)
    for line, row in zip(table.index, table.to_dict("records"), strict=True):
        where = f"{path}:{line}"
        name = from_spreadsheet_cell(row["recording"])  # a row of cuts.csv may be copied
        overrides[_recording(where, name, known)].append(_override(where, row))
    return {recording: tuple(rows) for recording, rows in overrides.items()}


def _recording(where: str, name: str, known: Set[str]) -> str:
    folder = next(iter(known), "").partition("/")[0]  # all of them are in one
    below = f"{folder}/{nfc(name)}"
    for full in (nfc(name), below):
        if full in known:
            return full
    others = by_casefold(known)
    near = others.get(nfc(name).casefold()) or others.get(below.casefold())
    hint = f"; there is {near}" if near else ""
    raise TableError(f"{where}: there is no training recording {name!r}{hint}")


def _override(where: str, row: Mapping[Hashable, str]) -> Override:
    action = row["action"].lower()
    if action not in ("keep", "cut"):
        raise TableError(f"{where}: action {action!r} is neither keep nor cut")
    start = _seconds(where, "from", row["from"], 0.0)
    end = _seconds(where, "to", row["to"], math.inf)
    if not 0 <= start < end:
        raise TableError(f"{where}: from {start:g} and to {end:g} are no interval")
    return Override("keep" if action == "keep" else "cut", start, end)


def _seconds(where: str, column: str, text: str, empty: float) -> float:
    if not text:
        return empty
    try:
        return float(text)
    except ValueError:
        raise TableError(f"{where}: {column} {text!r} is not a number of seconds") from None
