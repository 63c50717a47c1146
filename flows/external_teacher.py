"""The external teachers of a recipe: the species that each is asked for, and what each hears."""

from dataclasses import dataclass
from pathlib import Path

from birdcore.config import Recipe, Round
from birdcore.config.external_teacher import ExternalTeacher as ExternalTeacherTable
from birdcore.config.teaching import embedder, label_weights, teacher_names
from birdcore.csv_table import Problem
from birdcore.sources.source import MAIN, Source, Use
from birdcore.teachers import ExternalTeacher, teacher_named
from birdcore.teachers.class_mapping import Mappings, Synonyms, map_species, read_synonyms
from flows.rounds import labels_annotated, uses_soundscapes


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


def asked_teachers(recipe: Recipe, source: Source) -> dict[str, AskedTeacher]:
    """The external teachers of a recipe of which it wants anything, by their names in it.

    Raises:
        ValueError: A file of one is not there or does not fit, or a table of synonyms does not.
    """
    wanted = subsets_heard(recipe)
    return {
        one.name: _asked(one, source) for one in recipe.external_teacher if wanted.get(one.name)
    }


def _asked(settings: ExternalTeacherTable, source: Source) -> AskedTeacher:
    said = {"file": settings.file, "labels": settings.labels}
    places = {role: place for role, place in said.items() if place is not None}
    teacher = teacher_named(settings.teacher, places)
    synonyms = Synonyms({})
    if settings.synonyms is not None:
        synonyms = read_synonyms(Path(settings.synonyms), source.species, teacher.classes)
    mapped = map_species(source.species, teacher.classes, synonyms.names, settings.unknown)
    return AskedTeacher(teacher, settings.hop_s, source.species, mapped, synonyms.problems)


def subsets_heard(recipe: Recipe) -> dict[str, set[tuple[str, Use]]]:
    """The recordings that each external teacher hears, by source and use."""
    found: dict[str, set[tuple[str, Use]]] = {name: set() for name in teacher_names(recipe)}
    for name in found.keys() & set(recipe.members):
        found[name] |= {(MAIN, "labelled"), (MAIN, "test")}
    for one in recipe.round:
        for name in label_weights(recipe, one):
            if one.label.source != "soundscapes":
                found[name].add((MAIN, "labelled"))
            if uses_soundscapes(one):
                found[name].add((MAIN, "unlabelled"))
            if labels_annotated(one):
                found[name].add((MAIN, "annotated"))
        if (read := embedder(recipe, one)) is None:
            continue
        if one.objective == "probe":
            found[read] |= {(MAIN, use) for use in ("labelled", "annotated", "test")}
            if one.probe.soundscapes or _teaches(recipe, one):
                found[read].add((MAIN, "unlabelled"))
        else:
            found[read].add((one.data, "labelled"))
            if uses_soundscapes(one):
                found[read] |= {(MAIN, use) for use in ("unlabelled", "annotated")}
    return found


def _teaches(recipe: Recipe, round_config: Round) -> bool:
    """Whether a later round has this one as its teacher."""
    return any(one.teacher in round_config.names for one in recipe.round)
