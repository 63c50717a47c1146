"""A folder for each class: the layout of people who sort their clips by hand.

`DIR/CLASS/...`: the first folder names the class, however deep a recording lies in it. Folders that
are named as negatives (noise, background, ...) are no classes: nothing is heard in their recordings
(`data.annotations.absent_labels`). Names that differ in case alone are one class.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from birdcore.config import Recipe
from birdcore.config.data import Data
from birdcore.csv_table import Problem, TableError
from birdcore.sources.annotated import AnnotatedRecordings, annotated_recordings
from birdcore.sources.catalog import Catalog, CatalogInput
from birdcore.sources.class_names import species_table
from birdcore.sources.plain_folder import (
    folder_source,
    read_listing,
    recording_rows,
    split_test,
)
from birdcore.sources.source import FOLDERS, Source, Use
from birdcore.store.artifact import Metrics
from birdcore.store.digests import Digester


def read(folder: Path, store: Digester, recipe: Recipe, main: Source | None) -> Source:
    """The recordings of a folder for each class.

    Raises:
        TableError: There are no two classes, nor one and negatives.
    """
    paths, problems = read_listing(folder)
    names, test = split_test(sorted(paths), recipe.data, folder)
    labels, silent = folder_labels(names, recipe.data)
    classes = set(labels.values())
    if not classes or len(classes) + bool(silent) < 2:
        found = f"only one class, {min(classes)!r}" if classes else "no folder of a class"
        raise TableError(
            f"{folder}: {found}: recordings lie in a folder for each class, those without any in "
            f"one called {' or '.join(recipe.data.annotations.absent_labels[:3])}"
        )
    loose = [name for name in names if name not in labels and name not in silent]
    problems += [Problem("recording in no folder of a class", name, "") for name in loose]
    by_use: dict[Use, list[str]] = {
        "labelled": list(labels),
        "annotated": sorted(silent),
        "unlabelled": loose,
        "test": test,
    }
    source = folder_source(folder, store, FOLDERS, by_use, paths, (), recipe.data, problems)
    named = species_table(sorted(classes), folder)
    group_of = dict(zip(named["label"], named["class_name"], strict=True))
    return replace(source, groups={n: g for n, label in labels.items() if (g := group_of[label])})


def folder_labels(names: Iterable[str], data: Data) -> tuple[dict[str, str], set[str]]:
    """The class of each recording, and the recordings of negatives; those in no folder have none.

    Where all lie in one folder, the folders in that one are meant.

    Example:
        >>> folder_labels(["Wren/1.wav", "wren/a/2.wav", "Noise/3.wav", "4.wav"], Data())
        ({'Wren/1.wav': 'Wren', 'wren/a/2.wav': 'Wren'}, {'Noise/3.wav'})
    """
    parts = {name: name.split("/") for name in names}
    shared = 0
    while len({tuple(each[: shared + 1]) for each in parts.values()}) == 1 and all(
        len(each) > shared + 2 for each in parts.values()
    ):
        shared += 1
    folders = {name: each[shared] for name, each in parts.items() if len(each) > shared + 1}
    absent = {label.casefold() for label in data.annotations.absent_labels}
    silent = {name for name, folder in folders.items() if folder.casefold() in absent}
    spelling: dict[str, str] = {}
    for folder in sorted(set(folders.values())):
        spelling.setdefault(folder.casefold(), folder)
    labels = {
        name: spelling[folder.casefold()] for name, folder in folders.items() if name not in silent
    }
    return labels, silent


def catalog(given: CatalogInput) -> Catalog:
    """The catalogue: clips with their folders' names, and negatives in which nothing is heard."""
    labels, silent = folder_labels(sorted(given.audio), Data.model_validate(given.settings))
    by_content: dict[str, list[str]] = defaultdict(list)
    for name in labels:
        by_content[given.audio[name]].append(name)
    of_clip: dict[str, tuple[str, ...]] = {}
    problems = []
    heard = {given.audio[name] for name in silent}
    for sha, copies in by_content.items():
        both = tuple(dict.fromkeys(labels[name] for name in copies))
        problems += [
            Problem("content there twice", name, f"the same as {copies[0]}") for name in copies[1:]
        ]
        if sha in heard:
            detail = "the same content is in a folder of negatives: not used"
            problems.append(Problem("clip that is a negative as well", copies[0], detail))
        else:  # under two classes it is one clip of both
            of_clip[copies[0]] = both
    recordings = recording_rows(given.audio, of_clip)
    classes = sorted({label for both in of_clip.values() for label in both})
    metrics: Metrics = {
        "recordings": len(recordings),
        "usable": len(of_clip),
        "species": len(classes),
        "species_with_recordings": len(classes),
        "problems": len(problems),
    }
    if silent:
        metrics = {**metrics, "annotated": len(silent), "annotations": 0}
    negatives = _negatives(given.audio, silent) if silent else None
    species = species_table(classes, given.root)
    return Catalog(recordings, species, tuple(problems), metrics, negatives)


def _negatives(audio: Mapping[str, str], silent: Iterable[str]) -> AnnotatedRecordings:
    names = sorted(silent)
    everywhere = [(name, 0.0, float("inf")) for name in names]
    return annotated_recordings([], everywhere, [(name, audio[name]) for name in names])
