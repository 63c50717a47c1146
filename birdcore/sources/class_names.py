"""`classes.csv`: scientific and common names, and groups, of classes that people named themselves.

A folder or label such as `Grylluscampestris` says little to a species list or to another tool. The
table is optional: classes that it does not have are called by their label alone.
"""

from pathlib import Path

import pandas as pd

from birdcore.csv_table import TableError, is_there, read_table
from birdcore.unicode_names import nfc

CLASSES = "classes.csv"
LABEL = ("label", "folder", "class", "primary_label")
"""What the column of labels may be called."""
GROUP = ("class_name", "group")
NAMES = ("scientific_name", "common_name", "class_name", "inat_taxon_id")


def read_class_names(root: Path) -> pd.DataFrame | None:
    """The table, with columns label and `NAMES`; None where there is none.

    Raises:
        TableError: It can't be read, has no column of labels, or names a label twice.
    """
    path = root / CLASSES
    if not is_there(path):
        return None
    raw = read_table(path, ())
    label = next((name for name in LABEL if name in raw), None)
    if label is None:
        raise TableError(
            f"{path}:1: no column of labels, called {' or '.join(LABEL)}; there are "
            f"{', '.join(raw.columns)}"
        )
    table = pd.DataFrame({"label": raw[label].map(nfc)})
    for name in NAMES:
        table[name] = raw.get(name, "")
    if "class_name" not in raw and "group" in raw:
        table["class_name"] = raw["group"]
    if (repeated := table.index[table["label"].duplicated()]).size:
        raise TableError(f"{path}:{repeated[0]}: {table['label'][repeated[0]]!r} is there twice")
    return table


def species_table(labels: list[str], root: Path) -> pd.DataFrame:
    """A row for each class, as a catalogue has it, in the order of the labels."""
    names = read_class_names(root)
    species = pd.DataFrame({"label": labels}, dtype="str")
    if names is None:
        names = pd.DataFrame(columns=["label", *NAMES], dtype="str")
    species = species.merge(names, on="label", how="left")
    for name in NAMES:
        species[name] = species[name].fillna("")
    # A label is the best name of a species that there is.
    species["scientific_name"] = species["scientific_name"].where(
        species["scientific_name"] != "", species["label"]
    )
    return species[["label", *NAMES]]
