"""Recordings with tables of labels beside them: Raven's, Audacity's and those of a dozen others.

What the tables say is read by `birdcore.annotations`; the recipe's [data.annotations] says what
they leave open. Recordings that no table covers are unlabelled soundscapes.
"""

from math import inf
from pathlib import Path
from typing import TypeAlias

from birdcore.annotations.annotation import EVERY_CLASS, Annotated
from birdcore.annotations.readers import read_annotations
from birdcore.annotations.table import find_tables
from birdcore.config import Recipe
from birdcore.config.data import Data
from birdcore.csv_table import TableError
from birdcore.sources.annotated import annotated_recordings
from birdcore.sources.catalog import Catalog, CatalogInput
from birdcore.sources.class_names import CLASSES, species_table
from birdcore.sources.plain_folder import (
    folder_source,
    read_listing,
    recording_rows,
    split_test,
)
from birdcore.sources.source import TABLES, Source, Use
from birdcore.store.artifact import Metrics
from birdcore.store.digests import Digester

Stretch: TypeAlias = tuple[str, float, float, str]
"""A recording, seconds from and to, and who annotated it."""


def read(folder: Path, store: Digester, recipe: Recipe, main: Source | None) -> Source:
    """The recordings of a folder with tables of labels.

    Raises:
        TableError: A table can't be read, or none names anything that is heard.
    """
    paths, problems = read_listing(folder)
    found = read_annotations(folder, sorted(paths), recipe.data.annotations)
    if not any(each.kind == "present" and each.label for each in found.annotations):
        raise TableError(
            f"{folder}: none of its tables names anything that is heard in a recording of it"
        )
    names, test = split_test(sorted(paths), recipe.data, folder)
    by_use: dict[Use, list[str]] = {
        "labelled": [],
        "annotated": [name for name in names if name in found.recordings],
        "unlabelled": [name for name in names if name not in found.recordings],
        "test": test,
    }
    tables = [table.name for table in find_tables(folder)[0] if table.name != CLASSES]
    return folder_source(
        folder, store, TABLES, by_use, paths, tables, recipe.data, [*problems, *found.problems]
    )


def catalog(given: CatalogInput) -> Catalog:
    """The catalogue: annotated recordings, and classes that are heard in them."""
    data = Data.model_validate(given.settings)
    # Among all recordings of the folder, those of the test too: a table must not be taken for that
    # of a recording with a similar name.
    names = sorted({*given.audio, *read_listing(given.root)[0]})
    found = read_annotations(given.root, names, data.annotations)
    events = [each for each in found.annotations if each.recording in given.audio]
    classes = sorted({each.label for each in events if each.kind == "present"} - {EVERY_CLASS})
    recordings = recording_rows(given.audio, {})
    complete = _complete(given, found, data)
    groups = sorted(given.audio.items())  # copies of one recording stay together
    metrics: Metrics = {
        "recordings": len(recordings),
        "usable": 0,
        "species": len(classes),
        "species_with_recordings": len(classes),
        "problems": len(found.problems),
        "annotated": len(recordings),
        "annotations": len(events),
    }
    annotated = annotated_recordings(events, complete, groups)
    species = species_table(classes, given.root)
    return Catalog(recordings, species, found.problems, metrics, annotated)


def _complete(given: CatalogInput, found: Annotated, data: Data) -> list[Stretch]:
    """Where what is not named is absent: all of a recording, or stretches that are said to be."""
    whole = found.recordings if data.annotations.complete else found.silent
    people: dict[str, set[str]] = {}
    for recording, annotator in found.annotators:
        people.setdefault(recording, set()).add(annotator)
    complete: list[Stretch] = [
        (name, 0.0, inf, annotator)
        for name in sorted(whole & given.audio.keys())
        for annotator in sorted(people.get(name, {""}))
    ]
    # Rows of noise are in the annotations as well, so that one thing is said twice. Neither can go:
    # stretches are what validation takes its windows from and add up where windows touch, which
    # labels do not; and without the rows, the table of every such folder, and so all that is made
    # of it, would be another.
    ends: dict[tuple[str, str], float] = {}
    for each in found.annotations:
        if each.kind != "absent" or each.label != EVERY_CLASS:
            continue
        if each.recording in whole or each.recording not in given.audio:
            continue
        person = each.recording, each.annotator
        start_s = max(each.start_s, ends.get(person, 0.0))
        if start_s < each.end_s:
            complete.append((each.recording, start_s, each.end_s, each.annotator))
            ends[person] = each.end_s
    return complete
