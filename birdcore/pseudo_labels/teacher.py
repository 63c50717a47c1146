"""Who labels recordings: the models of a round, an outside teacher, or both."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from birdcore.inference.predict import (
    Predictor,
    Soundscapes,
    cell_count,
    cell_rate,
    load_predictors,
    predict_recording,
)
from birdcore.inference.teacher_predictions import read_teacher_predictions
from birdcore.inference.windows import segment_mean
from birdcore.sources.catalog import read_labels
from birdcore.stages.folds import EVERYWHERE, soundscape_fold
from birdcore.store.artifact import Artifact
from birdcore.store.store import Job
from birdcore.teachers.outputs import TeacherOutputs


@dataclass(frozen=True)
class Teacher:
    """predictors: those who are asked of each recording. heard: what an outside teacher said of all
    of them, and columns (K,) where each class is among its species, or -1."""

    classes: tuple[str, ...]
    predictors: Mapping[str, Sequence[Predictor]]
    heard: TeacherOutputs | None
    columns: NDArray[np.int64]


def read_teacher(job: Job, recordings: Soundscapes) -> Teacher:
    """The teacher of a label step, for the recordings of its shard."""
    models = job.inputs("teacher")
    predictors = load_predictors(models)
    asked = {name: predictors for name in recordings.names}
    if job.step.inputs.get("folds"):
        for name, fold in _folds(job.input("folds"), recordings.names).items():
            own = [model.manifest.config["fold"] == fold for model in models]
            asked[name] = [one for one, is_own in zip(predictors, own, strict=True) if is_own]
    if not job.step.inputs.get("heard"):
        classes = predictors[0].model_spec.classes
        return Teacher(classes, asked, None, np.full(len(classes), -1))
    catalog = job.input("catalog")
    told = read_teacher_predictions(job.inputs("heard"), catalog, recordings.names)
    return Teacher(read_labels(catalog), asked, told.heard, told.columns)


def probabilities(
    teacher: Teacher,
    recordings: Soundscapes,
    row: int,
    starts: NDArray[np.float64],
    settings: Mapping[str, Any],
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Probabilities (S, K) of segments of one recording, and of which classes (K,) they speak.

    A segment's is the mean of its frames, over all predictors (6th place 2025: clipwise values were
    too small), and of what the outside teacher heard in it, by `settings["external_weight"]`.
    """
    segment_s = settings["segment_s"]
    said = np.zeros((len(starts), len(teacher.classes)), np.float32)
    predictors = teacher.predictors[recordings.names[row]]
    if predictors:
        step_s = settings["step_s"] or segment_s * (1 - settings["overlap"])
        cells = predict_recording(predictors, recordings, row, step_s, settings["output"])
        count, rate = cell_count(recordings, row), cell_rate(recordings)
        said = segment_mean(cells, count, rate, starts, starts + segment_s).astype(np.float32)
    if teacher.heard is None:
        return said, np.ones(len(teacher.classes), bool)
    rows = torch.full((len(starts),), row)
    outside = teacher.heard.probability(rows, torch.from_numpy(starts), segment_s).numpy()
    known = teacher.columns >= 0
    share = settings["external_weight"]
    said[:, known] = (1 - share) * said[:, known] + share * outside[:, teacher.columns[known]]
    return said, known | bool(predictors)


def _folds(folded: Artifact, names: Sequence[str]) -> dict[str, int]:
    """The fold of each recording, but of those that train everywhere."""
    table = pd.read_parquet(folded / "folds.parquet").set_index("recording")["fold"]
    count = folded.manifest.config["count"]
    folds = {name: int(table.get(name, soundscape_fold(name, count))) for name in names}
    return {name: fold for name, fold in folds.items() if fold != EVERYWHERE}
