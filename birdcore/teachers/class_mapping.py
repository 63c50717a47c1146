"""Species of the competition among a teacher's classes: by name, by a table, by genus.

A teacher knows other species than a competition has, and calls some otherwise. What it does not
know is absent, or gets the maximum over the species of its genus that it does know (2nd place
2026): a cricket that was never heard sounds more like its sisters than like nothing.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from birdcore.config.validation_errors import nearest
from birdcore.csv_table import Problem, TableError, read_table
from birdcore.teachers.external_teacher import Floats, species_columns
from birdcore.text import plain_text
from birdcore.unicode_names import nfc

CLASS, TEACHER_NAME = "class", "teacher_name"
NO_CLASS = "synonym of no class"


class Mapped(NamedTuple):
    """How a species is found among a teacher's classes that does not go by its own name.

    Attributes:
        by: By a row of the table of synonyms, or by genus.
        names: The teacher's classes, of which the maximum counts.
    """

    by: Literal["synonym", "genus"]
    names: tuple[str, ...]


Mappings: TypeAlias = Mapping[str, Mapped]
"""By species."""
BY_NAME: Mappings = {}
"""All species go by their own names."""


class Synonyms(NamedTuple):
    """The teacher's names of species, and rows of species that the data does not have."""

    names: Mapping[str, tuple[str, ...]]
    problems: tuple[Problem, ...] = ()


def read_synonyms(path: Path, species: Sequence[str], classes: Sequence[str]) -> Synonyms:
    """The table of [external_teacher] synonyms.

    Args:
        path: CSV with columns class and teacher_name.
        species: Scientific names of the data's classes.
        classes: The teacher's.

    Raises:
        TableError: It can't be read, a cell is empty, or the teacher has no such class.
    """
    rows = read_table(path, (CLASS, TEACHER_NAME))
    own = {name.casefold(): name for name in species}
    theirs = {name.casefold(): name for name in classes}
    found: dict[str, tuple[str, ...]] = {}
    problems = []
    for line in rows.index:
        name, teacher_name = (nfc(rows.loc[line, key]) for key in (CLASS, TEACHER_NAME))
        if not name or not teacher_name:
            raise TableError(f"{path}:{line}: {CLASS} or {TEACHER_NAME} is empty")
        if teacher_name.casefold() not in theirs:
            near = nearest(teacher_name, list(classes))
            raise TableError(
                f"{path}:{line}: the teacher has no class {plain_text(teacher_name)!r}{near}"
            )
        if (known := own.get(name.casefold())) is None:
            near = nearest(name, list(species))
            problems.append(Problem(NO_CLASS, f"{path}:{line}", f"{plain_text(name)}{near}"))
        else:
            found[known] = (*found.get(known, ()), theirs[teacher_name.casefold()])
    return Synonyms(found, tuple(problems))


def map_species(
    species: Sequence[str],
    classes: Sequence[str],
    synonyms: Mapping[str, tuple[str, ...]],
    unknown: Literal["absent", "genus"],
) -> dict[str, Mapped]:
    """The species that are found otherwise than by their own name; synonyms go before names.

    Example:
        >>> map_species(["Gryllus assimilis"], ["Gryllus bimaculatus", "Gryllus"], {}, "genus")
        {'Gryllus assimilis': Mapped(by='genus', names=('Gryllus bimaculatus',))}
    """
    mapped = {name: Mapped("synonym", synonyms[name]) for name in species if name in synonyms}
    if unknown == "absent":
        return mapped
    by_genus: dict[str, list[str]] = {}
    for name in classes:
        if len(words := name.split()) > 1:
            by_genus.setdefault(words[0].casefold(), []).append(name)
    for name, column in zip(species, species_columns(classes, species), strict=True):
        genus, _, epithet = name.casefold().partition(" ")
        if column < 0 and name not in mapped and epithet and genus in by_genus:
            mapped[name] = Mapped("genus", tuple(by_genus[genus]))
    return mapped


class SpeciesColumns:
    """Where the known ones of some species are among a teacher's classes.

    Attributes:
        known: These species.
        columns: Of each the columns that count for it, of which the maximum does.

    Args:
        classes: The teacher's.
        species: Scientific names.
        mapped: How some of them are found.
    """

    def __init__(self, classes: Sequence[str], species: Sequence[str], mapped: Mappings) -> None:
        names = [mapped[name].names if name in mapped else (name,) for name in species]
        ends = np.cumsum([len(each) for each in names])
        found = species_columns(classes, [name for each in names for name in each])
        columns = np.split(found, ends)[: len(species)]
        pairs = [(n, c) for n, c in zip(species, columns, strict=True) if (c >= 0).all()]
        self.known = tuple(name for name, _ in pairs)
        self.columns = tuple(tuple(column.tolist()) for _, column in pairs)
        self._first = np.array([column[0] for _, column in pairs], np.int64)
        self._several = {k: c for k, (_, c) in enumerate(pairs) if len(c) > 1}

    def of(self, probabilities: Floats) -> Floats:
        """Probabilities (N, known) of windows from those of all classes (N, K)."""
        found: Floats = probabilities[:, self._first]
        for known, columns in self._several.items():
            found[:, known] = probabilities[:, columns].max(axis=1)
        return found


def described(mapped: Mappings) -> dict[str, str]:
    """For each species that is mapped the teacher's classes that count for it, and why."""
    return {name: f"{one.by}: {', '.join(one.names)}" for name, one in sorted(mapped.items())}
