"""Teachers: the models of a round, an external teacher, or both, which label recordings."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from birdcore.audio.channels import file_of
from birdcore.config.round import LabelConfig
from birdcore.features.recordings import Soundscapes
from birdcore.inference.predict import Predictor, predict_cells
from birdcore.inference.teacher_predictions import TeacherPredictions
from birdcore.inference.teacher_predictions import segment_probabilities as teacher_probabilities
from birdcore.inference.window_batches import Recording
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
    files = {name: file_of(name) for name in names}
    return {
        name: int(folds.get(file, soundscape_fold(file, count))) for name, file in files.items()
    }


def teacher_segments(
    teacher: Teacher,
    recordings: Soundscapes,
    starts: Sequence[NDArray[np.float64]],
    config: LabelConfig,
) -> Iterator[tuple[int, NDArray[np.float32], NDArray[np.bool_]]]:
    """A teacher's probabilities for segments of recordings.

    A segment's probability is the mean over its frames and over all models (6th place 2025:
    clipwise values were too small), weighted with the external teacher's. Recordings that the same
    models label are predicted together, so they come in any order.

    Args:
        teacher: what labels.
        recordings: mels.
        starts: for each recording those of its segments (S,), in seconds.
        config: segment length, window hop, output, and the external teacher's weight.

    Yields:
        Row of the recording, probabilities (S, K), and which classes (K,) the teacher knows.
    """
    for row, probabilities in _by_models(teacher, recordings, starts, config):
        known = np.ones(len(teacher.classes), bool)
        if teacher.external is not None:
            own = teacher.external.columns >= 0
            weight = config.external_weight
            external = teacher_probabilities(teacher.external, row, starts[row], config.segment_s)
            probabilities[:, own] *= 1 - weight
            probabilities[:, own] += weight * external[:, own]
            known = own | bool(teacher.predictors[recordings.names[row]])
        yield row, probabilities, known


def _by_models(
    teacher: Teacher,
    recordings: Soundscapes,
    starts: Sequence[NDArray[np.float64]],
    config: LabelConfig,
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Row and probabilities (S, K) by the models alone; zeros where no model labels a recording."""
    rows_of: dict[tuple[int, ...], list[int]] = {}
    for row, name in enumerate(recordings.names):
        rows_of.setdefault(tuple(map(id, teacher.predictors[name])), []).append(row)
    step_s = config.step_s or config.segment_s * (1 - config.overlap)
    for rows in rows_of.values():
        predictors = teacher.predictors[recordings.names[rows[0]]]
        if not predictors:
            yield from ((row, _no_probabilities(teacher, starts[row])) for row in rows)
            continue
        labelled = (Recording(recordings, row) for row in rows)
        predicted = predict_cells([predictors], labelled, step_s, config.output)
        for row, (cells, blocks) in zip(rows, predicted, strict=True):
            ends, one = starts[row] + config.segment_s, (block[0] for block in blocks)
            mean = segment_mean(one, cells.count, cells.rate, starts[row], ends)
            yield row, mean.astype(np.float32)


def _no_probabilities(teacher: Teacher, starts: NDArray[np.float64]) -> NDArray[np.float32]:
    return np.zeros((len(starts), len(teacher.classes)), np.float32)
