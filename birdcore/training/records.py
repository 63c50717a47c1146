"""Records of a training, kept beside a model's weights for people to read.

`ATTRIBUTION.csv` lists whose recordings a model was trained on; `history.jsonl` has a JSON line for
each epoch. Reading them needs no torch.

Licences require recordist, licence and source to be named, also in derived works. So a model that
starts from another one's weights takes over its list. (A teacher's own list lies beside it.)
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from birdcore.sources.label_lists import GAPS
from birdcore.store.files import write_text
from birdcore.teachers.external_teacher import Credit
from birdcore.text import from_spreadsheet_cell, to_csv

FILE = "ATTRIBUTION.csv"
HISTORY = "history.jsonl"
EXTERNAL = "external teacher: "
"""How the row of an external teacher begins, among those of recordings."""
COLUMNS = ("recording", "author", "license", "url", "scientific_name", "common_name")


def attribution(
    recordings: pd.DataFrame,
    names: Sequence[str],
    initial: Iterable[Path] = (),
    teachers: Iterable[Credit] = (),
) -> pd.DataFrame:
    """The list of one model: each recording once, in the order of names.

    Args:
        recordings: a catalogue, indexed by name.
        names: of those that trained.
        initial: lists of the models whose weights it started from.
        teachers: external teachers, listed like recordings.
    """
    trained = recordings.loc[list(names), list(COLUMNS)]
    credits = [
        {
            **dict.fromkeys(COLUMNS, ""),
            "recording": EXTERNAL + credit.name,
            "author": credit.author,
            "license": credit.license,
            "url": credit.url,
        }
        for credit in teachers
    ]
    taught = pd.DataFrame(credits, columns=list(COLUMNS), dtype="str")
    return merged([trained, taught, *map(read_attribution, initial)])


def merged(tables: Iterable[pd.DataFrame]) -> pd.DataFrame:
    rows = pd.concat([table.reset_index(drop=True) for table in tables], ignore_index=True)
    # Two external teachers may have one name, and terms of their own.
    is_teacher = rows["recording"].str.startswith(EXTERNAL)
    same = rows["recording"].where(~is_teacher, rows["recording"] + "\n" + rows["license"])
    rows = rows[~same.duplicated()].sort_values("recording", kind="stable", ignore_index=True)
    return rows[list(COLUMNS)]


def write_attribution(path: Path, rows: pd.DataFrame) -> None:
    """Write the list so that no cell is a formula to a spreadsheet."""
    write_text(path, to_csv(rows))


def read_attribution(path: Path) -> pd.DataFrame:
    rows = pd.read_csv(path, dtype=str, keep_default_na=False)
    for name in rows.columns:
        rows[name] = rows[name].map(from_spreadsheet_cell)
    return rows


def terms(licences: Iterable[str]) -> dict[str, int]:
    """How many recordings forbid commercial use (nc) or derivatives (nd), or have no licence text.

    A licence may be short (cc-by-nc 4.0, by-nc-sa), a URL, or in words, as in competitions before
    2025; pandas writes `nan` for none.

    Example:
        >>> terms(["cc-by-nc 4.0", ""])
        {'nc': 1, 'nd': 0, 'unknown': 1}
    """
    parts = [set(re.findall(r"[a-z]+", text.lower())) - GAPS for text in licences]
    return {
        "nc": sum(bool(p & {"nc", "noncommercial"}) for p in parts),
        "nd": sum(bool(p & {"nd", "noderivs", "noderivatives"}) for p in parts),
        "unknown": sum(not p for p in parts),
    }


def write_history(folder: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    write_text(folder / HISTORY, "".join(json.dumps(row) + "\n" for row in rows))


def read_history(folder: Path) -> list[dict[str, Any]]:
    """The rows of a published model's history: epoch, loss, auc, learning_rate, crops, seconds."""
    text = (folder / HISTORY).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]
