"""Stage `joined`: one catalogue of the data folder and all further sources of a recipe.

Publishes the same tables as stage `catalog`; `recordings.parquet` says of each which source it is
of, and how often it is drawn. Without further sources there is no such step.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from birdcore.config.data import FurtherSource
from birdcore.config.section import Section
from birdcore.store.artifact import Artifact, Metrics, Ref, Step
from birdcore.store.store import Job

if TYPE_CHECKING:
    from birdcore.sources.catalog import Catalog

VERSION = 1


class JoinedSource(Section):
    """How one of the further sources is joined; `name` is its folder's."""

    name: str
    weight: float = 1.0
    classes: str = "main"
    synonyms: Mapping[str, str] = {}


class Settings(Section):
    """The further sources, in the order of the step's input `further`."""

    sources: tuple[JoinedSource, ...]


def step(
    catalog: Ref,
    further: Sequence[Ref],
    names: Sequence[str],
    tables: Sequence[FurtherSource],
    synonyms: Sequence[Mapping[str, str]],
) -> Step:
    """The catalogue of all sources.

    Args:
        catalog: That of the data folder.
        further: Those of the other sources, by the stage `collection`.
        names: Of their folders.
        tables: Their [[source]].
        synonyms: What their tables of synonyms say.
    """
    sources = [
        JoinedSource(name=name, weight=table.weight, classes=table.classes, synonyms=said)
        for name, table, said in zip(names, tables, synonyms, strict=True)
    ]
    config = Settings(sources=tuple(sources)).model_dump()
    inputs = {"catalog": (catalog,), "further": tuple(further)}
    return Step("joined", VERSION, "joined", config, inputs)


def run(job: Job) -> Metrics:
    from birdcore.sources.joined import JOINED, Further, join

    settings = Settings.model_validate(job.config)
    further = [
        Further(one.name, _read(artifact), one.weight, one.classes == "all", one.synonyms)
        for one, artifact in zip(settings.sources, job.inputs("further"), strict=True)
    ]
    made = join(_read(job.input("catalog")), further)
    made.write(job.folder, JOINED)
    made.write_problems(job.folder)
    return made.metrics


def _read(artifact: Artifact) -> "Catalog":
    import pandas as pd

    from birdcore.csv_table import Problem
    from birdcore.sources.annotated import read_annotated
    from birdcore.sources.catalog import Catalog, read_recordings

    problems = pd.read_parquet(artifact / "problems.parquet").itertuples(index=False, name=None)
    return Catalog(
        read_recordings(artifact).reset_index(drop=True),
        pd.read_parquet(artifact / "species.parquet"),
        tuple(Problem(*row) for row in problems),
        {},
        read_annotated(artifact),
    )
