"""Whose recordings a model learnt from: `ATTRIBUTION.csv` beside its weights.

Licences ask for recordist, licence and source to be named, wherever the recordings go on to; so a
model that starts from another takes over that one's list. (A teacher's own list lies beside it.)
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from birdcore.store.artifact import Artifact
from birdcore.store.files import write_text
from birdcore.teachers.external_teacher import Credit
from birdcore.text import from_spreadsheet_cell, to_csv

FILE = "ATTRIBUTION.csv"
OUTSIDE = "outside teacher: "
COLUMNS = ("recording", "author", "license", "url", "scientific_name", "common_name")


def attribution(
    recordings: pd.DataFrame,
    names: Sequence[str],
    earlier: Iterable[Artifact] = (),
    teachers: Iterable[Credit] = (),
) -> pd.DataFrame:
    """Rows of a catalogue's recordings (indexed by name) that trained, and those of models before.

    Each recording once, in the order of their names; outside teachers as recordings of a kind.
    """
    own = recordings.loc[list(names), list(COLUMNS)]
    credits = [
        {
            **dict.fromkeys(COLUMNS, ""),
            "recording": OUTSIDE + credit.name,
            "author": credit.author,
            "license": credit.license,
            "url": credit.url,
        }
        for credit in teachers
    ]
    outside = pd.DataFrame(credits, columns=list(COLUMNS), dtype="str")
    return merged([own, outside, *(read_attribution(model / FILE) for model in earlier)])


def merged(tables: Iterable[pd.DataFrame]) -> pd.DataFrame:
    rows = pd.concat([table.reset_index(drop=True) for table in tables], ignore_index=True)
    rows = rows.drop_duplicates("recording").sort_values("recording", ignore_index=True)
    return rows[list(COLUMNS)]


def write_attribution(path: Path, rows: pd.DataFrame) -> None:
    """Write the list for people as well: no cell is a formula for their spreadsheet."""
    write_text(path, to_csv(rows))


def read_attribution(path: Path) -> pd.DataFrame:
    rows = pd.read_csv(path, dtype=str, keep_default_na=False)
    for name in rows.columns:
        rows[name] = rows[name].map(from_spreadsheet_cell)
    return rows


def terms(licences: Iterable[str]) -> dict[str, int]:
    """How many recordings forbid commercial use (nc) or derivatives (nd), or say nothing.

    A licence may be short (cc-by-nc 4.0), an address, or in words, as competitions before 2025 say.
    """
    parts = [set(re.findall(r"[a-z]+", text.lower())) for text in licences]
    return {
        "nc": sum(bool(p & {"nc", "noncommercial"}) for p in parts),
        "nd": sum(bool(p & {"nd", "noderivs", "noderivatives"}) for p in parts),
        "unknown": sum(not p for p in parts),
    }
