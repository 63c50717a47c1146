"""Which species a model knows, what they are called, and which of them a list of names means.

A list names species as people's lists do: by scientific name, common name, class code, or
BirdNET's `Scientific name_Common name`, one in a line.
"""

import csv
import difflib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from birdcore.detection.table import Species
from birdcore.text import plain_text

CLASSES_FILE = "classes.csv"
"""Beside a model: class, scientific_name, common_name."""


def read_classes(folder: Path, classes: Sequence[str]) -> tuple[Species, ...]:
    """What the classes of a model are called; a class that the folder does not name is its own.

    Args:
        folder: The model's, which may have `classes.csv`.
        classes: The model's classes (K,).

    Raises:
        ValueError: `classes.csv` has no column `class`, or is no CSV table.
    """
    named: dict[str, Species] = {}
    path = folder / CLASSES_FILE
    if path.is_file():
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            try:
                rows = list(reader)
            except csv.Error as error:
                line = reader.reader.line_num
                raise ValueError(f"{path}, line {line}: {error}") from error
            if "class" not in (reader.fieldnames or ()):
                raise ValueError(f"{path} has no column 'class': write one, or remove the file")
            for row in rows:
                code = row["class"]
                scientific = row.get("scientific_name") or code
                named[code] = Species(code, scientific, row.get("common_name") or scientific)
    return tuple(named.get(code, Species(code, code, code)) for code in classes)


def asked_classes(
    species: Sequence[Species], masks: Sequence[NDArray[np.bool_]]
) -> tuple[str, ...] | None:
    """Codes of the classes that all masks (K,) name; None, for all, where there is no mask."""
    if not masks:
        return None
    return tuple(one.code for one, *asked in zip(species, *masks, strict=True) if all(asked))


def read_species_list(
    path: Path, species: Sequence[Species]
) -> tuple[NDArray[np.bool_], list[str]]:
    """The classes (K,) that a list names, and its names that are of no class.

    Lines that are empty or begin with `#` are passed over.

    Raises:
        ValueError: None of its names is a class of the model, or it has none.
        OSError: It can't be read.
    """
    lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    names = [name for line in lines if (name := line.strip()) and not name.startswith("#")]
    if not names:
        raise ValueError(f"{path} names no species")
    return match_species(names, species, str(path))


def match_species(
    names: Sequence[str], species: Sequence[Species], where: str
) -> tuple[NDArray[np.bool_], list[str]]:
    """The classes (K,) that names stand for, and the names that stand for none.

    Raises:
        ValueError: None stands for a class; the message has the nearest that there are.

    Example:
        >>> merula = Species("eurbla", "Turdus merula", "Eurasian Blackbird")
        >>> match_species(["turdus merula_Amsel", "Nobody"], [merula], "a list")
        (array([ True]), ['Nobody'])
    """
    known: dict[str, list[int]] = {}
    for index, one in enumerate(species):
        for name in {one.code, one.scientific_name, one.common_name}:
            known.setdefault(name.casefold(), []).append(index)
    mask, unknown = np.zeros(len(species), bool), []
    for name in names:
        found = known.get(name.casefold()) or known.get(name.partition("_")[0].casefold())
        if found is None:
            unknown.append(plain_text(name))
        else:
            mask[found] = True
    if not mask.any():
        first = names[0].partition("_")[0].casefold()
        near = difflib.get_close_matches(first, list(known), n=3, cutoff=0.5)
        shown = [species[known[name][0]].scientific_name for name in near]
        hint = f"; nearest are {', '.join(dict.fromkeys(shown))}" if shown else ""
        raise ValueError(
            f"no name of {where} is a species of the model, such as {plain_text(names[0])!r}{hint}"
        )
    return mask, unknown
