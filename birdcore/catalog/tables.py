"""The CSV tables of a BirdCLEF+ folder, read and checked.

The columns are those of the 2025 and 2026 competitions: only those that birdflow needs must be
there, and columns that it does not know are left alone. A table that can't be used is refused
with file, line and column; a label or file that does not fit is a matter for the catalogue.
"""

import ast
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

TABLES = ("train.csv", "taxonomy.csv", "sample_submission.csv")
TRAIN_NEEDS = ("primary_label", "filename")
TRAIN_TEXT = ("author", "license", "url", "collection", "scientific_name", "common_name", "type")
TRAIN_NUMBERS = ("rating", "latitude", "longitude")
TAXONOMY_TEXT = ("scientific_name", "common_name", "class_name", "inat_taxon_id")


class TableError(ValueError):
    """A table or folder that can't be used; the message names file, line and column."""


@dataclass(frozen=True)
class Tables:
    """`train` has a row for each labelled recording, `taxonomy` for each species.

    `labels` are the classes in the order of the submission's columns, `row_ids` its rows
    (empty where there is no sample_submission.csv).
    """

    train: pd.DataFrame
    taxonomy: pd.DataFrame
    labels: tuple[str, ...]
    row_ids: tuple[str, ...]


def read_tables(root: Path) -> Tables:
    """The tables of a data folder; raises TableError."""
    train = _train(root / "train.csv")
    taxonomy_path, sample_path = root / "taxonomy.csv", root / "sample_submission.csv"
    taxonomy = _taxonomy(taxonomy_path) if taxonomy_path.is_file() else _taxonomy_of(train)
    if not sample_path.is_file():
        return Tables(train, taxonomy, tuple(taxonomy["primary_label"]), ())
    sample = _read(sample_path, ("row_id",))
    labels = tuple(c for c in sample.columns if c != "row_id")
    if not labels:
        raise TableError(f"{sample_path}: no class columns beside row_id")
    _refuse_repeats(sample_path, sample, "row_id")
    return Tables(train, taxonomy, labels, tuple(sample["row_id"]))


def _train(path: Path) -> pd.DataFrame:
    raw = _read(path, TRAIN_NEEDS)
    train = pd.DataFrame({c: raw[c].str.strip() for c in TRAIN_NEEDS})
    for column in TRAIN_NEEDS:
        if (empty := train[column] == "").any():
            raise TableError(f"{path}:{_line(empty)}: {column} is empty")
    secondary = raw["secondary_labels"] if "secondary_labels" in raw else pd.Series("[]", raw.index)
    train["secondary_labels"] = [
        _label_list(path, line, text) for line, text in enumerate(secondary, start=2)
    ]
    for column in TRAIN_TEXT:
        train[column] = raw[column].str.strip() if column in raw else ""
    for column in TRAIN_NUMBERS:
        train[column] = _numbers(path, raw, column)
    return train


def _numbers(path: Path, raw: pd.DataFrame, column: str) -> pd.Series:
    if column not in raw:
        return pd.Series(float("nan"), raw.index)
    numbers = pd.to_numeric(raw[column], errors="coerce")
    wrong = numbers.isna() & ~raw[column].str.strip().str.lower().isin(["", "nan", "none"])
    if wrong.any():
        text = raw[column][wrong].iloc[0]
        raise TableError(f"{path}:{_line(wrong)}: {column} {text!r} is not a number")
    return numbers.astype("float64")


def _taxonomy(path: Path) -> pd.DataFrame:
    raw = _read(path, ("primary_label",))
    _refuse_repeats(path, raw, "primary_label")
    taxonomy = pd.DataFrame({"primary_label": raw["primary_label"].str.strip()})
    for column in TAXONOMY_TEXT:
        taxonomy[column] = raw.get(column, "")
    return taxonomy


def _taxonomy_of(train: pd.DataFrame) -> pd.DataFrame:
    """The species that train.csv itself names, where there is no taxonomy.csv."""
    species = train.drop_duplicates("primary_label").sort_values("primary_label")
    taxonomy = species[["primary_label", "scientific_name", "common_name"]].reset_index(drop=True)
    return taxonomy.assign(class_name="", inat_taxon_id="")


def _read(path: Path, needs: tuple[str, ...]) -> pd.DataFrame:
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except FileNotFoundError:
        raise TableError(f"{path}: there is no such table") from None
    except UnicodeDecodeError as error:
        raise TableError(
            f"{path}: byte {error.start} is not UTF-8 text: save the table as UTF-8"
        ) from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise TableError(f"{path}: not a CSV table: {error}") from None
    missing = [c for c in needs if c not in table.columns]
    if missing:
        raise TableError(
            f"{path}:1: no column {', '.join(missing)}; there are {', '.join(table.columns[:12])}"
        )
    return table


def _label_list(path: Path, line: int, text: str) -> list[str]:
    """`"['bawwar', 'amered']"` as a list; some tables hold plain words with spaces."""
    text = text.strip()
    if not text:
        return []
    if not text.startswith("["):
        return text.replace(";", " ").split()
    try:
        labels = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        raise TableError(
            f"{path}:{line}: secondary_labels {text!r} is no list such as ['bawwar']"
        ) from None
    return [str(label).strip() for label in labels if str(label).strip()]


def _refuse_repeats(path: Path, table: pd.DataFrame, column: str) -> None:
    repeated = table[column].duplicated()
    if repeated.any():
        value = table[column][repeated].iloc[0]
        raise TableError(f"{path}:{_line(repeated)}: {column} {value!r} is there twice")


def _line(rows: pd.Series) -> int:
    """The file's line of the first true row (the header is line 1)."""
    return int(rows.to_numpy().argmax()) + 2
