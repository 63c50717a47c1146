"""Stage `submission`: predictions smoothed, weighed and written in the rows of a submission.

What the recipe's [after_prediction] asks for is done with the members' blend. Publishes
`submission.csv` of the ensemble and `rounds/<name>.csv` of each round by itself. Columns
and rows are those of sample_submission.csv. Where there is none, or its rows are of no soundscape
that is there, a row stands for every 5 s of every soundscape (birdcore/sources/row_names.py names
them). `unheard.parquet` names the rows for which there is no prediction. The recipe's `formats` add
`predictions.*`, which leave these out.

Where the folder asks for yes and no, as in 2021 and 2022, `submission.csv` has that form, and
`probabilities.csv` has what it was decided from; rounds are written as probabilities.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from birdcore.config import AfterPrediction, Predict, defaults_of
from birdcore.sources.asked_rows import AskedRows, RowForm
from birdcore.sources.catalog import read_labels, read_species
from birdcore.sources.soundscapes import rows_of, sample_decides, table_of_rows
from birdcore.sources.source import Source
from birdcore.sources.tables import read_tables
from birdcore.store.artifact import Metrics, Ref, Step
from birdcore.store.store import Job

if TYPE_CHECKING:
    from birdcore.inference.predictions import Predictions
    from birdcore.inference.weights import EnsembleWeights

VERSION = 2
ROUND, MODELS = "round ", "models "
"""Inputs that are the predictions of a round, or its models, begin so."""


class Settings(Predict):
    """What the stage reads: how to smooth, names of rows that are no stem, the rows' form, and what
    is done after prediction."""

    names: dict[str, str] = Field(default_factory=dict)
    form: RowForm = "classes"
    after_prediction: AfterPrediction = AfterPrediction()


def step(
    settings: Predict,
    source: Source,
    catalog: Ref,
    weights: Ref,
    predictions: Mapping[str, tuple[Ref, ...]],
    models: Mapping[str, tuple[Ref, ...]] | None = None,
    after: AfterPrediction | None = None,
) -> Step:
    """The submission of all rounds.

    Args:
        settings: The recipe's [predict].
        source: The data, which says what rows there are.
        catalog: The catalogue, which knows the classes.
        weights: Of the ensemble.
        predictions: Of each round, over all shards.
        models: Of each round in the ensemble; what they hold out decides between yes and no.
        after: The recipe's [after_prediction].

    Raises:
        TableError: A row of the sample could be that of two soundscapes.
        ValueError: A threshold would be chosen on probabilities before [after_prediction].
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
    if after is not None and after != AfterPrediction():
        config["after_prediction"] = after.model_dump(mode="json")
    asked = source.asked or AskedRows()
    if asked.form != "classes":
        config |= {"form": asked.form, "threshold": settings.threshold}
        if settings.threshold == "held-out":
            if "after_prediction" in config:
                raise ValueError(
                    'predict.threshold = "held-out" is that of probabilities before '
                    "[after_prediction]: give it a number, or leave the table out"
                )
            inputs |= {f"{MODELS}{name}": refs for name, refs in (models or {}).items()}
    table = table_of_rows(source)
    files = {table: source.tables[table]} if sample_decides(source) else {}
    root, defaults = str(source.root), defaults_of(settings)
    defaults["after_prediction"] = defaults_of(AfterPrediction())
    return Step("submission", VERSION, "submission", config, inputs, files, root, defaults)


def run(job: Job) -> Metrics:
    import pandas as pd

    from birdcore.inference.after_prediction import operations_for
    from birdcore.inference.predictions import WRITERS, write_submission
    from birdcore.inference.submission import (
        PROBABILITIES,
        after_blending,
        blended,
        smoothed_members,
        submission_rows,
    )
    from birdcore.inference.weights import EnsembleWeights

    settings = Settings.model_validate(job.config)
    classes = read_labels(job.input("catalog"))
    operations = operations_for(settings.after_prediction, read_species(job.input("catalog")))
    weights = EnsembleWeights.read(job.input("weights").folder)
    rounds = {}
    for name in job.step.inputs:
        if name.startswith(ROUND):
            files = [artifact / "predictions.parquet" for artifact in job.inputs(name)]
            members = smoothed_members(files, classes, settings, settings.names)
            rounds[name.removeprefix(ROUND)] = members
    tables = {
        f"{name}/{key}": table for name, members in rounds.items() for key, table in members.items()
    }
    ensemble = after_blending(blended(tables, weights, classes), operations)
    asked = read_tables(Path(job.step.root)).asked if job.step.files else AskedRows()
    row_ids = list(asked.segments if job.step.files else ensemble.index)
    rows, missing = submission_rows(ensemble, row_ids, classes)
    decided: Metrics = {}
    if settings.form == "classes":
        write_submission(job.folder / "submission.csv", rows)
    else:
        write_submission(job.folder / PROBABILITIES, rows)
        # A threshold of ranks would hold for no other rows than those that are ranked.
        probable = blended(tables, weights.as_probabilities(), classes)
        probable = after_blending(probable, operations)
        # Of what was not heard, nothing is said to be there.
        segments, _ = submission_rows(probable.reindex(row_ids, fill_value=0.0), row_ids, classes)
        decided = _decide(job, settings, weights.as_probabilities(), segments, asked.rows)
    if settings.formats:
        unheard = set(missing)
        predicted = [row_id for row_id in row_ids if row_id not in unheard]
        segments, _ = submission_rows(ensemble, predicted, classes, settings.segment_s)
        for writer in map(WRITERS.__getitem__, settings.formats):
            writer.write(job.folder / f"predictions{writer.suffix}", segments)
    (job.folder / "rounds").mkdir(exist_ok=True)
    for name, members in rounds.items():
        equal = weights.model_copy(update={"weights": dict.fromkeys(members, 1.0)})
        table = after_blending(blended(members, equal, classes), operations)
        rows, _ = submission_rows(table, row_ids, classes)
        write_submission(job.folder / "rounds" / f"{name}.csv", rows)
    unheard_rows = pd.DataFrame({"row_id": pd.Series(missing, dtype="str")})
    unheard_rows.to_parquet(job.folder / "unheard.parquet", index=False)
    return {"rows": len(row_ids), "classes": len(classes), "unheard": len(missing), **decided}


def _decide(
    job: Job,
    settings: Settings,
    weights: "EnsembleWeights",
    segments: "Predictions",
    rows: Sequence[str],
) -> Metrics:
    """Write a submission of yes and no, and say by which threshold."""
    from birdcore.inference.yes_no import YES_NO, threshold_of

    models = {
        name.removeprefix(MODELS): [model.folder for model in job.inputs(name)]
        for name in job.step.inputs
        if name.startswith(MODELS)
    }
    chosen = threshold_of(settings.threshold, settings.form, models, weights)
    write = YES_NO[settings.form].write
    yes = write(job.folder / "submission.csv", segments, chosen.value, rows)
    return {"threshold": chosen.value, "threshold_from": chosen.source, "yes": yes}
