"""The external teacher of a recipe, and the species that it is asked for."""

from dataclasses import dataclass
from pathlib import Path

from birdcore.config import Recipe
from birdcore.csv_table import Problem
from birdcore.sources.source import Source
from birdcore.teachers import ExternalTeacher, teacher_named
from birdcore.teachers.class_mapping import Mappings, Synonyms, map_species, read_synonyms


@dataclass(frozen=True)
class AskedTeacher:
    """A teacher whose files are there and fit.

    Attributes:
        teacher: The teacher.
        hop_s: Seconds from window to window.
        species: The data folder's, by scientific name.
        mapped: How those are found that do not go by their name.
        problems: Rows of the table of synonyms that are of no species.
    """

    teacher: ExternalTeacher
    hop_s: float
    species: tuple[str, ...]
    mapped: Mappings
    problems: tuple[Problem, ...] = ()


def asked_teacher(recipe: Recipe, source: Source) -> AskedTeacher | None:
    """The teacher that a recipe names in [external_teacher], None where it has no such table.

    Raises:
        ValueError: Its files are not there or do not fit, or the table of synonyms does not.
    """
    settings = recipe.external_teacher
    if settings is None:
        return None
    said = {"file": settings.file, "labels": settings.labels}
    places = {role: place for role, place in said.items() if place is not None}
    teacher = teacher_named(settings.teacher, places)
    synonyms = Synonyms({})
    if settings.synonyms is not None:
        synonyms = read_synonyms(Path(settings.synonyms), source.species, teacher.classes)
    mapped = map_species(source.species, teacher.classes, synonyms.names, settings.unknown)
    return AskedTeacher(teacher, settings.hop_s, source.species, mapped, synonyms.problems)
