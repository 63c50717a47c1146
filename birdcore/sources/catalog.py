"""A catalogue: the tables of labelled recordings and species that folds and training read.

Every layout makes the same two tables (`Catalog`), so that whatever reads them works on any source.
"""

from collections.abc import Mapping, Set
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from birdcore.config.section import Section
from birdcore.csv_table import Problem
from birdcore.sources.annotated import AnnotatedRecordings
from birdcore.sources.tables import TRAIN_NUMBERS, TRAIN_TEXT
from birdcore.store.artifact import Artifact, Metrics

RECORDINGS = pa.schema(
    [
        ("recording", pa.string()),
        ("sha256", pa.string()),
        ("primary_label", pa.string()),
        ("secondary_labels", pa.list_(pa.string())),
        ("usable", pa.bool_()),
        *[(name, pa.string()) for name in TRAIN_TEXT],
        *[(name, pa.float64()) for name in TRAIN_NUMBERS],
    ]
)


class CatalogSettings(Section):
    """What the stages `catalog` and `collection` are told beside the files they read."""

    layout: str
    """A name in `birdcore.sources.source.SOURCES`."""
    tables: tuple[str, ...]
    """Those of the step's files that are tables; all others are recordings."""
    labels: tuple[str, ...] = ()
    passed_over: Mapping[str, str] = Field(default_factory=dict)
    folder: str = ""
    """Of a further source: files' names begin with it."""
    settings: Mapping[str, Any] = Field(default_factory=dict)


@dataclass(frozen=True)
class CatalogInput:
    """What a layout makes a catalogue of.

    Attributes:
        root: Folder of the source.
        audio: sha256 of each labelled recording.
        tables: Files below `root` that describe the recordings.
        labels: The classes where they are known, else they are those of the recordings.
        passed_over: Files that a table names and that are no recordings, with the reason.
        settings: What of the recipe says how labels are to be read.
        leaked: sha256 of recordings that the main source has as well: they are not usable.
    """

    root: Path
    audio: Mapping[str, str]
    tables: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    passed_over: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    leaked: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Catalog:
    """A catalogue before it is written.

    Attributes:
        recordings: A row per recording, with the columns of `RECORDINGS`.
        species: A row per class: label, scientific_name, common_name, class_name, inat_taxon_id.
        problems: What does not fit between tables and files.
        metrics: Counts for the manifest.
        annotated: What is heard when, where recordings are annotated. Their rows of `recordings`
            have no label and are not usable as clips.
    """

    recordings: pd.DataFrame
    species: pd.DataFrame
    problems: tuple[Problem, ...]
    metrics: Metrics
    annotated: AnnotatedRecordings | None = None

    def write(self, folder: Path, schema: pa.Schema = RECORDINGS) -> None:
        """Write `recordings.parquet`, `species.parquet` and the tables of annotated recordings."""
        table = pa.Table.from_pandas(self.recordings, schema, preserve_index=False)
        pq.write_table(table, folder / "recordings.parquet")
        self.species.to_parquet(folder / "species.parquet", index=False)
        if self.annotated is not None:
            self.annotated.write(folder)

    def write_problems(self, folder: Path) -> None:
        """Write `problems.parquet`."""
        schema = pa.schema([(name, pa.string()) for name in Problem._fields])
        table = pa.Table.from_pylist([problem._asdict() for problem in self.problems], schema)
        pq.write_table(table, folder / "problems.parquet")

    def below(self, folder: str) -> "Catalog":
        """The same recordings with names that begin with a folder's."""
        return replace(
            self,
            recordings=self.recordings.assign(
                recording=f"{folder}/" + self.recordings["recording"]
            ),
            problems=tuple(p._replace(where=f"{folder}/{p.where}") for p in self.problems),
            annotated=None if self.annotated is None else self.annotated.below(folder),
        )

    def without(self, leaked: Set[str]) -> "Catalog":
        """The catalogue in which no recording of these contents (sha256) is used."""
        found = self.recordings["sha256"].isin(leaked)
        usable, annotated = self.recordings["usable"] & ~found, self.annotated
        if annotated is not None:
            annotated = annotated.without(set(self.recordings["recording"][found]))
        metrics = {**self.metrics, "usable": int(usable.sum()), "leaks": int(found.sum())}
        recordings = self.recordings.assign(usable=usable)
        return replace(self, recordings=recordings, annotated=annotated, metrics=metrics)


def read_recordings(catalog: Artifact) -> pd.DataFrame:
    """The recordings' table of a catalogue, indexed by recording."""
    return pd.read_parquet(catalog / "recordings.parquet").set_index("recording", drop=False)


def read_labels(catalog: Artifact) -> tuple[str, ...]:
    """The classes of a catalogue, in the order of the submission's columns."""
    return tuple(read_species(catalog)["label"])


def read_species(catalog: Artifact) -> pd.DataFrame:
    """The species' table of a catalogue, a row for each class in the order of `read_labels`."""
    return pd.read_parquet(catalog / "species.parquet")
