"""Stage `submission`: predictions weighed, smoothed and written in the rows of a submission.

Publishes `submission.csv` of the ensemble and `rounds/<name>.csv` of each round by itself. Columns
and rows are those of sample_submission.csv. Where there is none, or its rows are of no soundscape
that is there, a row stands for every 5 s of every soundscape (birdcore/sources/row_names.py names
them). `unheard.parquet` names the rows for which there is no prediction. The recipe's `formats` add
`predictions.*`, which leave these out.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from birdcore.config import Predict, defaults_of
from birdcore.sources.catalog import read_labels
from birdcore.sources.soundscapes import rows_of, sample_decides
from birdcore.sources.source import SAMPLE, Source
from birdcore.sources.tables import read_tables
from birdcore.store.artifact import Metrics, Ref, Step
from birdcore.store.store import Job

VERSION = 2
ROUND = "round "
"""Inputs that are the predictions of a round begin so."""


class Settings(Predict):
    """What the stage reads: how to smooth, and the names of rows that are no file's stem."""

    names: dict[str, str] = Field(default_factory=dict)


def step(
    settings: Predict,
    source: Source,
    catalog: Ref,
    weights: Ref,
    predictions: Mapping[str, tuple[Ref, ...]],
) -> Step:
    """The submission of all rounds.

    Args:
        settings: The recipe's [predict].
        source: The data, which says what rows there are.
        catalog: The catalogue, which knows the classes.
        weights: Of the ensemble.
        predictions: Of each round, over all shards.

    Raises:
        TableError: A row of the sample could be that of two soundscapes.
    """
    config: dict[str, Any] = settings.model_dump(
        include={"gaussian", "neighbours", "delta_shift", "file_maximum"}
    )
    inputs: dict[str, tuple[Ref, ...]] = {"catalog": (catalog,), "weights": (weights,)}
    inputs |= {f"{ROUND}{name}": refs for name, refs in predictions.items()}
    named = {path: name for path, name in rows_of(source).items() if name != Path(path).stem}
    if named:
        config["names"] = named
    if settings.formats:
        config |= settings.model_dump(include={"formats", "segment_s"})
    files = {SAMPLE: source.tables[SAMPLE]} if sample_decides(source) else {}
    root, defaults = str(source.root), defaults_of(settings)
    return Step("submission", VERSION, "submission", config, inputs, files, root, defaults)


def run(job: Job) -> Metrics:
    import pandas as pd

    from birdcore.inference.predictions import WRITERS, write_submission
    from birdcore.inference.submission import (
        blended,
        smoothed_members,
        submission_rows,
    )
    from birdcore.inference.weights import EnsembleWeights

    settings = Settings.model_validate(job.config)
    classes = read_labels(job.input("catalog"))
    weights = EnsembleWeights.read(job.input("weights").folder)
    rounds = {}
    for name in job.step.inputs:
        if name.startswith(ROUND):
            files = [artifact / "predictions.parquet" for artifact in job.inputs(name)]
            members = smoothed_members(files, classes, settings, settings.names)
            rounds[name.removeprefix(ROUND)] = members
    ensemble = blended(
        {
            f"{name}/{key}": table
            for name, members in rounds.items()
            for key, table in members.items()
        },
        weights,
        classes,
    )
    row_ids = list(ensemble.index)
    if SAMPLE in job.step.files:
        row_ids = list(read_tables(Path(job.step.root)).row_ids)
    rows, missing = submission_rows(ensemble, row_ids, classes)
    write_submission(job.folder / "submission.csv", rows)
    if settings.formats:
        unheard = set(missing)
        predicted = [row_id for row_id in row_ids if row_id not in unheard]
        segments, _ = submission_rows(ensemble, predicted, classes, settings.segment_s)
        for writer in map(WRITERS.__getitem__, settings.formats):
            writer.write(job.folder / f"predictions{writer.suffix}", segments)
    (job.folder / "rounds").mkdir(exist_ok=True)
    for name, members in rounds.items():
        equal = weights.model_copy(update={"weights": dict.fromkeys(members, 1.0)})
        table = blended(members, equal, classes)
        rows, _ = submission_rows(table, row_ids, classes)
        write_submission(job.folder / "rounds" / f"{name}.csv", rows)
    table = pd.DataFrame({"row_id": pd.Series(missing, dtype="str")})
    table.to_parquet(job.folder / "unheard.parquet", index=False)
    return {"rows": len(row_ids), "classes": len(classes), "unheard": len(missing)}
