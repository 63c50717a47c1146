"""Stage `catalog`: typed tables of training recordings and species, and what does not fit.

Publishes `recordings.parquet`, `species.parquet` (in the order of the submission's columns) and
`problems.parquet`. Rows without a file, files without a row, unknown labels, file names and
contents that are there twice are reported there, never fatal; `usable` says which recordings
train. Soundscapes are no part of it: a new one must not change the key of every model.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from birdcore.sources.source import LABELLED, ROW_TABLES, SOURCES, Source
from birdcore.store.artifact import Metrics, Step
from birdcore.store.store import Job

if TYPE_CHECKING:
    from birdcore.sources.catalog import Catalog

VERSION = 2


def step(source: Source) -> Step:
    return Step("catalog", VERSION, "catalog", settings_of(source), **files_of(source))


def settings_of(source: Source) -> dict[str, Any]:
    """The config of a catalogue's step, as `CatalogSettings` reads it."""
    settings: dict[str, Any] = {
        "layout": source.layout or source.name,
        "tables": [name for name in source.tables if name not in ROW_TABLES],
    }
    # The sample submission gives the classes and their order; its rows are no matter of training.
    given = {
        "labels": list(source.labels),
        "passed_over": dict(source.passed_over),
        "folder": source.folder,
        "settings": dict(source.settings),
    }
    return settings | {name: value for name, value in given.items() if value}


def files_of(source: Source) -> dict[str, Any]:
    """The files that a catalogue's step reads: tables and labelled recordings."""
    files = {name: sha for name, sha in source.tables.items() if name not in ROW_TABLES}
    for use in LABELLED:
        files |= {file.path: file.sha256 for file in source.subset(use).files}
    return {"files": files, "root": str(source.root)}


def run(job: Job) -> Metrics:
    made = make_catalog(job)
    made.write(job.folder)
    made.write_problems(job.folder)
    return made.metrics


def make_catalog(job: Job, leaked: frozenset[str] = frozenset()) -> "Catalog":
    """The catalogue of a step's files; `leaked` are contents that may not be trained on."""
    from birdcore.sources.catalog import CatalogInput, CatalogSettings

    settings = CatalogSettings.model_validate(job.config)
    audio = {path: sha for path, sha in job.step.files.items() if path not in settings.tables}
    below = f"{settings.folder}/" if settings.folder else ""
    given = CatalogInput(
        root=Path(job.step.root) / settings.folder,
        audio={path.removeprefix(below): sha for path, sha in audio.items()},
        tables=tuple(path.removeprefix(below) for path in settings.tables),
        labels=settings.labels,
        passed_over=settings.passed_over,
        settings=settings.settings,
        leaked=leaked,
    )
    made = SOURCES[settings.layout].catalog(given)
    return made.below(settings.folder) if settings.folder else made
