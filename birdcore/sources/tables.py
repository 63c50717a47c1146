"""The CSV tables of a BirdCLEF+ folder of any year, read and checked.

Only columns that birdflow needs must be there, and columns that it does not know are left alone. A
table that can't be used is refused with file, line and column; a label, file or number that does
not fit is a matter for the catalogue.
"""

from collections.abc import Set
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from birdcore.csv_table import Problem, TableError, is_there, read_table
from birdcore.sources.asked_rows import AskedRows, RowForm, read_asked_rows
from birdcore.sources.birdclef_layout import LAYOUTS, TAXONOMY, BirdclefLayout, layout_of
from birdcore.sources.label_lists import NO_CLASS, label_list
from birdcore.unicode_names import nfc

TRAIN_NEEDS = ("primary_label", "filename")
TRAIN_TEXT = ("author", "license", "url", "collection", "scientific_name", "common_name", "type")
TRAIN_NUMBERS = ("rating", "latitude", "longitude")
NO_NUMBER = frozenset({"", "-", "nan", "none", "no score", "not specified"})
"""How tables say that a rating or coordinate is not known; in lower case."""
TAXONOMY_TEXT = ("scientific_name", "common_name", "class_name", "inat_taxon_id")


@dataclass(frozen=True)
class Tables:
    """`train` has a row for each labelled recording, whose name is in the column `recording`, and
    `taxonomy` one for each species.

    Both are indexed by the line of the file. `labels` are the classes in the order of the
    submission's columns, `row_ids` its segments (empty where no table says them), as it has them;
    `asked` is what is known of its rows. All other names are in NFC.
    """

    train: pd.DataFrame
    taxonomy: pd.DataFrame
    labels: tuple[str, ...]
    row_ids: tuple[str, ...]
    problems: tuple[Problem, ...] = ()
    layout: BirdclefLayout = LAYOUTS[0]
    asked: AskedRows = field(default_factory=AskedRows)

    @property
    def row_form(self) -> RowForm:
        """What a row of the submission is."""
        return self.asked.form


def read_tables(root: Path) -> Tables:
    """The tables of a data folder; raises TableError."""
    layout = layout_of(root)
    train, problems = _train(root, layout)
    taxonomy_path, asked = root / TAXONOMY, read_asked_rows(root)
    taxonomy = _taxonomy(taxonomy_path) if is_there(taxonomy_path) else _taxonomy_of(train)
    labels = asked.labels or tuple(taxonomy["primary_label"])
    return Tables(train, taxonomy, labels, asked.segments, problems, layout, asked)


def _train(root: Path, layout: BirdclefLayout) -> tuple[pd.DataFrame, tuple[Problem, ...]]:
    path = root / layout.train
    raw = read_table(path, TRAIN_NEEDS)
    train = pd.DataFrame({column: raw[column].map(nfc) for column in TRAIN_NEEDS})
    for column in TRAIN_NEEDS:
        _refuse_empty(path, train, column)
    train["recording"] = f"{layout.clips}/" + _below_clips(root / layout.clips, train)
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
        wrong = train[column].isna() & ~text.str.lower().isin(NO_NUMBER)
        problems += [
            Problem("not a number", f"{path.name}:{line}", f"{column} {text[line]!r}")
            for line in raw.index[wrong]
        ]
    return train, tuple(problems)


def _below_clips(folder: Path, train: pd.DataFrame) -> pd.Series:
    """File names below the folder of clips.

    In 2021's table they lack the folder of their species: it is added where no name has a folder
    and those of the species are there.
    """
    names, labels = train["filename"], train["primary_label"]
    lack = not names.str.contains("/", regex=False).any()
    if lack and any((folder / label).is_dir() for label in labels.unique()):
        return labels + "/" + names
    return names


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
    species = train[train["primary_label"] != NO_CLASS]
    species = species.drop_duplicates("primary_label").sort_values("primary_label")
    taxonomy = species[["primary_label", "scientific_name", "common_name"]].reset_index(drop=True)
    return taxonomy.assign(class_name="", inat_taxon_id="")


def _label_list(path: Path, line: int, text: str, known: Set[str]) -> list[str]:
    try:
        return [label for label in label_list(nfc(text), known) if label != NO_CLASS]
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
