"""The CSV tables of a BirdCLEF+ folder, read and checked.

The columns are those of the 2025 and 2026 competitions: only those that birdflow needs must be
there, and columns that it does not know are left alone. A table that can't be used is refused
with file, line and column; a label, file or number that does not fit is a matter for the
catalogue.
"""

from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from birdcore.csv_table import Problem, TableError, is_there, read_table
from birdcore.sources.label_lists import label_list
from birdcore.unicode_names import nfc

TABLES = ("train.csv", "taxonomy.csv", "sample_submission.csv")
TRAIN_AUDIO = "train_audio"
"""The folder that file names of train.csv are below."""
TRAIN_NEEDS = ("primary_label", "filename")
TRAIN_TEXT = ("author", "license", "url", "collection", "scientific_name", "common_name", "type")
TRAIN_NUMBERS = ("rating", "latitude", "longitude")
TAXONOMY_TEXT = ("scientific_name", "common_name", "class_name", "inat_taxon_id")


@dataclass(frozen=True)
class Tables:
    """`train` has a row for each labelled recording, whose name is in the column `recording`, and
    `taxonomy` one for each species.

    Both are indexed by the line of the file. `labels` are the classes in the order of the
    submission's columns, `row_ids` its rows (empty where there is no sample_submission.csv), as it
    has them. All other names are in NFC.
    """

    train: pd.DataFrame
    taxonomy: pd.DataFrame
    labels: tuple[str, ...]
    row_ids: tuple[str, ...]
    problems: tuple[Problem, ...] = ()


def read_tables(root: Path) -> Tables:
    """The tables of a data folder; raises TableError."""
    train, problems = _train(root / "train.csv")
    taxonomy_path, sample_path = root / "taxonomy.csv", root / "sample_submission.csv"
    taxonomy = _taxonomy(taxonomy_path) if is_there(taxonomy_path) else _taxonomy_of(train)
    if not is_there(sample_path):
        return Tables(train, taxonomy, tuple(taxonomy["primary_label"]), (), problems)
    sample = read_table(sample_path, ("row_id",))
    labels = tuple(c for c in sample.columns if c != "row_id")
    if not labels:
        raise TableError(f"{sample_path}: no class columns beside row_id")
    _refuse_repeats(sample_path, sample, "row_id")
    return Tables(train, taxonomy, labels, tuple(sample["row_id"]), problems)


def _train(path: Path) -> tuple[pd.DataFrame, tuple[Problem, ...]]:
    raw = read_table(path, TRAIN_NEEDS)
    train = pd.DataFrame({column: raw[column].map(nfc) for column in TRAIN_NEEDS})
    for column in TRAIN_NEEDS:
        _refuse_empty(path, train, column)
    train["recording"] = f"{TRAIN_AUDIO}/" + train["filename"]
    blank = pd.Series("", raw.index)
    secondary = raw.get("secondary_labels", blank)
    known = set(train["primary_label"])
    train["secondary_labels"] = [
        _label_list(path, line, text, known)
        for line, text in zip(raw.index, secondary, strict=True)
    ]
    problems: list[Problem] = []
    for column in TRAIN_TEXT:
        train[column] = raw.get(column, blank)
    for column in TRAIN_NUMBERS:
        text = raw.get(column, blank)
        train[column] = pd.to_numeric(text, errors="coerce").astype("float64")
        wrong = train[column].isna() & ~text.str.lower().isin(["", "nan", "none"])
        problems += [
            Problem("not a number", f"{path.name}:{line}", f"{column} {text[line]!r}")
            for line in raw.index[wrong]
        ]
    return train, tuple(problems)


def _taxonomy(path: Path) -> pd.DataFrame:
    raw = read_table(path, ("primary_label",))
    taxonomy = raw[["primary_label"]].map(nfc)
    _refuse_empty(path, taxonomy, "primary_label")
    _refuse_repeats(path, taxonomy, "primary_label")
    for column in TAXONOMY_TEXT:
        taxonomy[column] = raw.get(column, "")
    return taxonomy


def _taxonomy_of(train: pd.DataFrame) -> pd.DataFrame:
    """The species that train.csv itself names, where there is no taxonomy.csv."""
    species = train.drop_duplicates("primary_label").sort_values("primary_label")
    taxonomy = species[["primary_label", "scientific_name", "common_name"]].reset_index(drop=True)
    return taxonomy.assign(class_name="", inat_taxon_id="")


def _label_list(path: Path, line: int, text: str, known: Set[str]) -> list[str]:
    try:
        return label_list(nfc(text), known)
    except ValueError as error:
        shown = text if len(text) <= 80 else f"{text[:80]}…"
        raise TableError(
            f"{path}:{line}: secondary_labels {shown!r} is no list such as ['bawwar']: {error}"
        ) from None


def _refuse_empty(path: Path, table: pd.DataFrame, column: str) -> None:
    empty = table.index[table[column] == ""]
    if len(empty):
        raise TableError(f"{path}:{empty[0]}: {column} is empty")


def _refuse_repeats(path: Path, table: pd.DataFrame, column: str) -> None:
    repeated = table.index[table[column].duplicated()]
    if len(repeated):
        value = table[column][repeated[0]]
        raise TableError(f"{path}:{repeated[0]}: {column} {value!r} is there twice")
