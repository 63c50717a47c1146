"""The table of each class's scores: written after scoring, its thresholds read for other rows.

A threshold that was chosen on the rows it is scored on looks better than it is. So thresholds can
be chosen on one set of recordings, by this table, and scored on another.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from birdcore.csv_table import TableError, read_table
from birdcore.store.files import write_text
from birdcore.text import from_spreadsheet_cell, to_csv
from birdcore.unicode_names import nfc

CLASS, THRESHOLD = "class", "threshold"


def write_classes(
    path: Path, labels: Sequence[str], columns: Mapping[str, NDArray[np.float64]]
) -> None:
    """Write a CSV of a row for each class; what can't be reckoned is an empty cell.

    Args:
        path: The file; it is replaced.
        labels: (C,).
        columns: (C,) each, by name.
    """
    write_text(path, to_csv(pd.DataFrame({CLASS: list(labels), **columns})))


def read_thresholds(path: Path, labels: Sequence[str]) -> NDArray[np.float64]:
    """The threshold of each class (C,); NaN where the table leaves it empty.

    Args:
        path: A CSV with the columns class and threshold.
        labels: (C,), the classes to find in it.

    Raises:
        TableError: It is no such table, or has not all of the classes.
    """
    table = read_table(path, (CLASS, THRESHOLD))
    found: dict[str, float] = {}
    for line, label, cell in zip(table.index, table[CLASS], table[THRESHOLD], strict=True):
        name = nfc(from_spreadsheet_cell(label))
        if name in found:
            raise TableError(f"{path}:{line}: class {label!r} is there twice")
        found[name] = _number(cell, f"{path}:{line}")
    if missing := [label for label in labels if nfc(label) not in found]:
        raise TableError(f"{path}: no threshold of {missing[0]!r}: each scored class needs a row")
    return np.array([found[nfc(label)] for label in labels])


def _number(cell: str, where: str) -> float:
    if not cell:
        return float("nan")
    try:
        number = float(cell)
    except ValueError:
        number = float("inf")
    if not np.isfinite(number):
        raise TableError(f"{where}: threshold {cell!r} is no number")
    return number
