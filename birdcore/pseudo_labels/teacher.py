"""Teachers: the models of a round, an external teacher, or both, which label recordings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from birdcore.config.round import LabelConfig
from birdcore.inference.predict import (
    Predictor,
    Soundscapes,
    cell_count,
    cell_rate,
    predict_recording,
)
from birdcore.inference.teacher_predictions import TeacherPredictions
from birdcore.inference.teacher_predictions import segment_probabilities as teacher_probabilities
from birdcore.inference.windows import segment_mean
from birdcore.sources.folds import EVERYWHERE, soundscape_fold


@dataclass(frozen=True)
class Teacher:
    """What labels recordings.

    Attributes:
        classes: K labels, in the order of the probabilities.
        predictors: the models that label each recording, by its name; there may be none.
        external: an external teacher's outputs for all of the recordings, if there is one.
    """

    classes: tuple[str, ...]
    predictors: Mapping[str, Sequence[Predictor]]
    external: TeacherPredictions | None = None


def out_of_fold(
    predictors: Sequence[Predictor], folds: Sequence[int], recording_folds: Mapping[str, int]
) -> dict[str, Sequence[Predictor]]:
    """For each recording the models that were not trained on it.

    Args:
        predictors: models.
        folds: the validation fold of each.
        recording_folds: the fold of each recording, by name; one that trains everywhere gets all
            models.
    """
    return {
        name: predictors
        if fold == EVERYWHERE
        else [p for p, held_out in zip(predictors, folds, strict=True) if held_out == fold]
        for name, fold in recording_folds.items()
    }


def recording_folds(folds: pd.Series, count: int, names: Sequence[str]) -> dict[str, int]:
    """The fold of each recording: a labelled one's from the table, a soundscape's from its name."""
    return {name: int(folds.get(name, soundscape_fold(name, count))) for name in names}


def segment_probabilities(
    teacher: Teacher,
    recordings: Soundscapes,
    row: int,
    starts: NDArray[np.float64],
    config: LabelConfig,
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """A teacher's probabilities for segments of one recording.

    A segment's probability is the mean over its frames and over all models (6th place 2025:
    clipwise values were too small), weighted with the external teacher's.

    Args:
        teacher: what labels.
        recordings: mels.
        row: of the recording.
        starts: of the segments (S,), in seconds.
        config: segment length, window hop, output, and the external teacher's weight.

    Returns:
        Probabilities (S, K), and which classes (K,) the teacher knows.
    """
    probabilities = np.zeros((len(starts), len(teacher.classes)), np.float32)
    predictors = teacher.predictors[recordings.names[row]]
    if predictors:
        step_s = config.step_s or config.segment_s * (1 - config.overlap)
        cells = predict_recording(predictors, recordings, row, step_s, config.output)
        count, rate = cell_count(recordings, row), cell_rate(recordings)
        ends = starts + config.segment_s
        probabilities = segment_mean(cells, count, rate, starts, ends).astype(np.float32)
    if teacher.external is None:
        return probabilities, np.ones(len(teacher.classes), bool)
    external = teacher_probabilities(teacher.external, row, starts, config.segment_s)
    known, weight = teacher.external.columns >= 0, config.external_weight
    probabilities[:, known] *= 1 - weight
    probabilities[:, known] += weight * external[:, known]
    return probabilities, known | bool(predictors)
