"""What a person decides about cutting: `overrides.csv` in the data folder.

A row (recording, keep or cut, from, to; seconds of the original recording) wins over what speech
detection found, and a later row over an earlier one. An empty `from` is the start, an empty `to`
the end.
"""

import csv
import math
from collections import defaultdict
from collections.abc import Set
from pathlib import Path

from birdcore.audio.cut import Override
from birdcore.catalog.tables import TableError

OVERRIDES = "overrides.csv"
COLUMNS = ("recording", "action", "from", "to")


def read_overrides(path: Path, known: Set[str]) -> dict[str, tuple[Override, ...]]:
    """Overrides by recording, in the file's order.

    `known` are the recordings there are; `train_audio/` may be left out before a name. Raises
    TableError with file, line and column.
    """
    if not path.is_file():
        return {}
    overrides: dict[str, list[Override]] = defaultdict(list)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            missing = [c for c in COLUMNS if c not in (rows.fieldnames or ())]
            if missing:
                raise TableError(f"{path}:1: no column {', '.join(missing)}; needs {COLUMNS}")
            for row in rows:
                where = f"{path}:{rows.line_num}"
                overrides[_recording(where, row, known)].append(_override(where, row))
    except UnicodeDecodeError as error:
        raise TableError(f"{path}: byte {error.start} is not UTF-8 text") from None
    return {recording: tuple(rows) for recording, rows in overrides.items()}


def _recording(where: str, row: dict[str, str], known: Set[str]) -> str:
    name = (row["recording"] or "").strip()
    if name not in known and f"train_audio/{name}" in known:
        return f"train_audio/{name}"
    if name not in known:
        raise TableError(f"{where}: there is no training recording {name!r}")
    return name


def _override(where: str, row: dict[str, str]) -> Override:
    action = (row["action"] or "").strip().lower()
    if action not in ("keep", "cut"):
        raise TableError(f"{where}: action {action!r} is neither keep nor cut")
    start = _seconds(where, "from", row["from"], 0.0)
    end = _seconds(where, "to", row["to"], math.inf)
    if not 0 <= start < end:
        raise TableError(f"{where}: from {start:g} and to {end:g} are no interval")
    return Override("keep" if action == "keep" else "cut", start, end)


def _seconds(where: str, column: str, text: str | None, empty: float) -> float:
    if not (text or "").strip():
        return empty
    try:
        return float(text or "")
    except ValueError:
        raise TableError(f"{where}: {column} {text!r} is not a number of seconds") from None
