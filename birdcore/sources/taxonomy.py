"""Which classes are related: by taxon (class_name), by genus, by taxon id.

Settings that speak of taxa are checked against the taxonomy before any work, and turned into
columns once the catalogue has all classes. An empty name is no name that classes share.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from birdcore.config import AfterPrediction, Recipe
from birdcore.config.validation_errors import nearest
from birdcore.csv_table import TableError, is_there
from birdcore.sources.birdclef_layout import TAXONOMY
from birdcore.sources.class_names import CLASSES, read_class_names
from birdcore.sources.source import FOLDERS, Source
from birdcore.taxa import group_of

COLUMNS = ("class_name", "scientific_name", "inat_taxon_id")
SHOWN = 5
NONE: Mapping[str, object] = {}


@dataclass(frozen=True)
class Taxonomy:
    """What is known of K classes; "" where it is not.

    Attributes:
        labels: What they are called (K,).
        taxa: Taxonomic classes, or groups that a person gave (K,), as `birdcore.taxa` names them.
        genera: The first words of scientific names that have a second one (K,).
        taxon_ids: `inat_taxon_id` (K,).
    """

    labels: tuple[str, ...]
    taxa: tuple[str, ...]
    genera: tuple[str, ...]
    taxon_ids: tuple[str, ...]

    @classmethod
    def of(cls, species: pd.DataFrame) -> "Taxonomy":
        """Of a table with the columns of a catalogue's species."""
        texts = {name: species[name].fillna("").str.strip() for name in COLUMNS}
        return cls(
            tuple(species["label"]),
            tuple(group_of(name) if name else "" for name in texts["class_name"]),
            tuple(map(genus_of, texts["scientific_name"])),
            tuple(texts["inat_taxon_id"]),
        )


def genus_of(scientific_name: str) -> str:
    """The genus; "" of a name of one word, which is that of a larger taxon or a person's own.

    Example:
        >>> genus_of("Setophaga ruticilla"), genus_of("Insecta")
        ('Setophaga', '')
    """
    genus, _, rest = scientific_name.strip().partition(" ")
    return genus if rest.strip() else ""


def columns_of(names: Sequence[str]) -> dict[str, NDArray[np.intp]]:
    """The columns of each name that is not empty."""
    array = np.asarray(names, object)
    return {name: np.flatnonzero(array == name) for name in dict.fromkeys(names) if name}


def columns_of_labels(
    groups: Iterable[Sequence[str]], labels: Sequence[str]
) -> list[NDArray[np.intp]]:
    """The columns of groups of labels.

    Raises:
        ValueError: There is no such class.
    """
    column = {label: number for number, label in enumerate(labels)}
    missing = [label for group in groups for label in group if label not in column]
    if missing:
        raise ValueError(
            f"after_prediction.pooled: no class is called {missing[0]!r}"
            f"{nearest(missing[0], list(labels)) or ''}"
        )
    return [np.array([column[label] for label in group], np.intp) for group in groups]


def check_taxonomy(recipe: Recipe, source: Source) -> None:
    """Check what a recipe says of taxa against the table of a data folder's classes.

    Raises:
        TableError: The table does not say what a setting needs; both are named.
    """
    after, weighed = recipe.after_prediction, recipe.ensemble.taxon_weights
    needs = {
        "class_name": ["after_prediction.smooth"] * bool(after.smooth)
        + ["ensemble.taxon_weights"] * bool(weighed)
        + ["after_prediction.class_share"] * bool(after.class_share),
        "scientific_name": ["after_prediction.genus_share"] * bool(after.genus_share),
        "inat_taxon_id": ["after_prediction.pool_same_taxon"] * after.pool_same_taxon,
    }
    if not any(needs.values()) and not after.pooled:
        return
    file, table = _table_of(source)
    for column, settings in needs.items():
        for setting in settings:
            _refuse_lacking(file, table, column, setting)
    for setting in needs["class_name"] if source.layout == FOLDERS else ():
        _refuse_unnamed(file, source, setting)
    # Those of further sources are known to the catalogue alone: stages check what is said of them.
    if all(one.classes == "main" for one in recipe.source):
        try:
            check_classes(Taxonomy.of(table), after, weighed)
        except ValueError as error:
            raise TableError(f"{file}: {error}") from None


def check_classes(
    taxonomy: Taxonomy, after: AfterPrediction, weighed: Mapping[str, object] = NONE
) -> None:
    """Check what settings say of taxa and labels against all classes that there are.

    Args:
        taxonomy: Of the classes.
        after: The recipe's [after_prediction].
        weighed: Its ensemble.taxon_weights.

    Raises:
        ValueError: A taxon or label has no class, or a setting has no effect on these classes.
    """
    there = sorted(set(taxonomy.taxa) - {""})
    for setting, said in (
        ("after_prediction.smooth", after.smooth), ("ensemble.taxon_weights", weighed),
    ):  # fmt: skip
        for taxon in said:
            if taxon not in there:
                raise ValueError(
                    f"{setting} names {taxon}, of which there is no class"
                    f"{nearest(taxon, there) or '.'} There are {', '.join(there)}"
                )
    for setting, on, what, names in (
        ("genus_share", after.genus_share, "genus", taxonomy.genera),
        ("pool_same_taxon", after.pool_same_taxon, "inat_taxon_id", taxonomy.taxon_ids),
    ):
        if on and not any(len(columns) > 1 for columns in columns_of(names).values()):
            raise ValueError(
                f"after_prediction.{setting} has no effect: no two classes share a {what}"
            )
    columns_of_labels(after.pooled, taxonomy.labels)


def _table_of(source: Source) -> tuple[Path, pd.DataFrame]:
    """The file that names a data folder's classes, and what it says, as in a catalogue."""
    if source.metadata is None:
        names = read_class_names(source.root)
        if names is None:
            raise TableError(
                f"{source.root / CLASSES}: there is no such table, and after_prediction or "
                "ensemble.taxon_weights needs the groups and names of classes: write one with "
                "columns label, group and scientific_name"
            )
        return source.root / CLASSES, names
    path = source.root / TAXONOMY
    file = path if is_there(path) else source.root / source.metadata.layout.train
    table = source.metadata.taxonomy.set_index("primary_label").reindex(source.metadata.labels)
    return file, table.rename_axis("label").reset_index()


def _refuse_lacking(file: Path, table: pd.DataFrame, column: str, setting: str) -> None:
    lacking = list(table["label"][table[column].fillna("").str.strip() == ""])
    # Species share no taxon id with others, so that many tables leave it out for them.
    if lacking and (column != "inat_taxon_id" or len(lacking) == len(table)):
        more = f" and {len(lacking) - SHOWN} more" if len(lacking) > SHOWN else ""
        raise TableError(
            f"{file}: {setting} needs {column}, which is empty or missing for "
            f"{', '.join(lacking[:SHOWN])}{more}"
        )


def _refuse_unnamed(file: Path, source: Source, setting: str) -> None:
    """Refuse classes that the table of a folder for each class does not have at all."""
    for recording in source.subset("labelled").files:
        if recording.path not in source.groups:
            raise TableError(
                f"{file}: {setting} needs the group of each class, and there is none for that of "
                f"{recording.path}"
            )
