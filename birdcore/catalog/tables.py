"""The CSV tables of a BirdCLEF+ folder, read and checked.

The columns are those of the 2025 and 2026 competitions: only those that birdflow needs must be
there, and columns that it does not know are left alone. A table that can't be used is refused
with file, line and column; a label, file or number that does not fit is a matter for the
catalogue.
"""

import ast
import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pandas as pd

TABLES = ("train.csv", "taxonomy.csv", "sample_submission.csv")
TRAIN_NEEDS = ("primary_label", "filename")
TRAIN_TEXT = ("author", "license", "url", "collection", "scientific_name", "common_name", "type")
TRAIN_NUMBERS = ("rating", "latitude", "longitude")
TAXONOMY_TEXT = ("scientific_name", "common_name", "class_name", "inat_taxon_id")


class TableError(ValueError):
    """A table or folder that can't be used; the message names file, line and column."""


class Problem(NamedTuple):
    """Something that does not fit: reported, and the run goes on without it."""

    problem: str
    where: str
    detail: str


@dataclass(frozen=True)
class Tables:
    """`train` has a row for each labelled recording, `taxonomy` for each species.

    Both are indexed by the line of the file. `labels` are the classes in the order of the
    submission's columns, `row_ids` its rows (empty where there is no sample_submission.csv).
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
    taxonomy = _taxonomy(taxonomy_path) if taxonomy_path.is_file() else _taxonomy_of(train)
    if not sample_path.is_file():
        return Tables(train, taxonomy, tuple(taxonomy["primary_label"]), (), problems)
    sample = read_table(sample_path, ("row_id",))
    labels = tuple(c for c in sample.columns if c != "row_id")
    if not labels:
        raise TableError(f"{sample_path}: no class columns beside row_id")
    _refuse_repeats(sample_path, sample, "row_id")
    return Tables(train, taxonomy, labels, tuple(sample["row_id"]), problems)


def _train(path: Path) -> tuple[pd.DataFrame, tuple[Problem, ...]]:
    raw = read_table(path, TRAIN_NEEDS)
    train = raw[list(TRAIN_NEEDS)].copy()
    for column in TRAIN_NEEDS:
        _refuse_empty(path, train, column)
    blank = pd.Series("", raw.index)
    secondary = raw.get("secondary_labels", blank)
    train["secondary_labels"] = [
        _label_list(path, line, text) for line, text in zip(raw.index, secondary, strict=True)
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
    _refuse_empty(path, raw, "primary_label")
    _refuse_repeats(path, raw, "primary_label")
    taxonomy = raw[["primary_label"]].copy()
    for column in TAXONOMY_TEXT:
        taxonomy[column] = raw.get(column, "")
    return taxonomy


def _taxonomy_of(train: pd.DataFrame) -> pd.DataFrame:
    """The species that train.csv itself names, where there is no taxonomy.csv."""
    species = train.drop_duplicates("primary_label").sort_values("primary_label")
    taxonomy = species[["primary_label", "scientific_name", "common_name"]].reset_index(drop=True)
    return taxonomy.assign(class_name="", inat_taxon_id="")


def read_table(path: Path, needs: tuple[str, ...], *, may_be_empty: bool = False) -> pd.DataFrame:
    """All of a table as stripped text, indexed by line; raises TableError."""
    try:
        raw = path.read_bytes()
        text = raw.decode("utf-8-sig")
    except FileNotFoundError:
        raise TableError(f"{path}: there is no such table") from None
    except OSError as error:
        raise TableError(f"{path}: can't be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise TableError(f"{path}:{line}: not UTF-8 text: save the table as UTF-8") from None
    rows = _rows(path, text)
    _, header = next(rows, (1, []))
    missing = [c for c in needs if c not in header]
    if missing:
        there_are = f"there are {', '.join(header[:12])}" if header else "it is empty"
        raise TableError(f"{path}:1: no column {', '.join(missing)}; {there_are}")
    if repeated := [c for c in header if c and header.count(c) > 1]:
        raise TableError(f"{path}:1: column {repeated[0]!r} is there twice")
    lines: list[int] = []
    cells: list[list[str]] = []
    for line, row in rows:
        if len(row) < len(header) or any(row[len(header) :]):
            hint = ": put text that holds commas in quotes" if len(row) > len(header) else ""
            raise TableError(
                f"{path}:{line}: {len(row)} fields where the header has {len(header)}{hint}"
            )
        lines.append(line)
        cells.append(row[: len(header)])
    if not lines and not may_be_empty:
        raise TableError(f"{path}:1: no rows below the header")
    table = pd.DataFrame(cells, index=lines, columns=header, dtype=str)
    return table[[c for c in header if c]]  # a column without a name is a saved row number


def _rows(path: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    """Each row that is not blank, with the line on which it begins."""
    reader = csv.reader(io.StringIO(text, newline=""))
    begins = 1
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if any(cells):
                yield begins, cells
            begins = reader.line_num + 1
    except csv.Error as error:
        raise TableError(f"{path}:{begins}: not a CSV table: {error}") from None


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


def _refuse_empty(path: Path, table: pd.DataFrame, column: str) -> None:
    empty = table.index[table[column] == ""]
    if len(empty):
        raise TableError(f"{path}:{empty[0]}: {column} is empty")


def _refuse_repeats(path: Path, table: pd.DataFrame, column: str) -> None:
    repeated = table.index[table[column].duplicated()]
    if len(repeated):
        value = table[column][repeated[0]]
        raise TableError(f"{path}:{repeated[0]}: {column} {value!r} is there twice")
