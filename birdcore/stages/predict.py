"""Stage `predict`: what the models of one round hear in one shard of test soundscapes.

Publishes `predictions.parquet`: for each backbone (the mean over its folds), recording and segment
of 5 s the probabilities of all classes, before any smoothing. An outside teacher that is a member
of the ensemble predicts as a round of its own does, from what it has heard already.
"""

from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from birdcore.config import Predict, defaults_of
from birdcore.inference.predict import (
    Predictor,
    Probabilities,
    Soundscapes,
    cell_count,
    cell_rate,
    duration_s,
    load_predictors,
    predict_recording,
    read_soundscapes,
)
from birdcore.inference.teacher_predictions import read_teacher_predictions, segment_probabilities
from birdcore.inference.windows import segment_ends, segment_max
from birdcore.store.artifact import Metrics, Ref, Step
from birdcore.store.store import Job

VERSION = 1
Says: TypeAlias = Callable[[int, float], Probabilities]
"""Of a recording (its row and its seconds) the probabilities (S, K) of its segments."""
PREDICTIONS = pa.schema(
    [("recording", pa.string()), ("backbone", pa.string()), ("end", pa.int64()),
     ("probabilities", pa.list_(pa.float32()))]
)  # fmt: skip


def step(round_name: str, at: int, models: tuple[Ref, ...], mel: Ref, settings: Predict) -> Step:
    config = settings.model_dump(include={"output", "step_s", "segment_s"})
    return Step(
        "predict",
        VERSION,
        f"predict {round_name} {at:04d}",
        config,
        {"models": models, "mel": (mel,)},
        defaults=defaults_of(settings),
    )


def outside_step(
    teacher: str, at: int, heard: Ref, mel: Ref, catalog: Ref, settings: Predict
) -> Step:
    """What an outside teacher that heard a shard says of its segments."""
    config = {"segment_s": settings.segment_s, "teacher": teacher}
    inputs = {"heard": (heard,), "mel": (mel,), "catalog": (catalog,)}
    name = f"predict external_teacher {at:04d}"
    return Step("predict", VERSION, name, config, inputs, defaults=defaults_of(settings))


def run(job: Job) -> Metrics:
    soundscapes = read_soundscapes(job.input("mel") / "mel.parquet")
    members = _told(job, soundscapes) if job.step.inputs.get("heard") else _heard(job, soundscapes)
    segment_s = job.config["segment_s"]
    rows = []
    for row, name in enumerate(soundscapes.names):
        job.progress(row, len(soundscapes.names), name)
        seconds = duration_s(soundscapes, row)
        ends = segment_ends(seconds, segment_s)
        for member, said in members.items():
            rows += [
                {"recording": name, "backbone": member, "end": int(end), "probabilities": p}
                for end, p in zip(ends, said(row, seconds), strict=True)
            ]
    job.progress(len(soundscapes.names), len(soundscapes.names), "")
    table = pa.Table.from_pylist(rows, PREDICTIONS)
    pq.write_table(table, job.folder / "predictions.parquet")
    return {
        "recordings": len(soundscapes.names),
        "rows": len(rows),
        "models": len(job.step.inputs.get("models", ())),
    }


def _heard(job: Job, soundscapes: Soundscapes) -> dict[str, Says]:
    """What the models of each backbone hear."""
    predictors: dict[str, list[Predictor]] = defaultdict(list)
    for predictor in load_predictors(job.inputs("models")):
        predictors[predictor.model_spec.backbone].append(predictor)
    step_s, segment_s, output = (job.config[key] for key in ("step_s", "segment_s", "output"))

    def says(of_folds: list[Predictor], row: int, seconds: float) -> Probabilities:
        cells = predict_recording(of_folds, soundscapes, row, step_s, output)
        count = cell_count(soundscapes, row)
        return segment_max(cells, count, cell_rate(soundscapes), seconds, segment_s)

    return {backbone: partial(says, of_folds) for backbone, of_folds in predictors.items()}


def _told(job: Job, soundscapes: Soundscapes) -> dict[str, Says]:
    if not soundscapes.names:
        return {}
    told = read_teacher_predictions(job.inputs("heard"), job.input("catalog"), soundscapes.names)
    segment_s = job.config["segment_s"]

    def says(row: int, seconds: float) -> Probabilities:
        return segment_probabilities(told, row, segment_ends(seconds, segment_s), segment_s)

    return {job.config["teacher"]: says}
