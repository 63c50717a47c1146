"""Teachers: the models of a round, external teachers, or both, which label recordings."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from birdcore.audio.channels import file_of
from birdcore.config.round import LabelConfig
from birdcore.features.recordings import Soundscapes
from birdcore.inference.predict import Predictor, predict_cells
from birdcore.inference.teacher_predictions import TeacherPredictions, crop_probabilities
from birdcore.inference.window_batches import Recording
from birdcore.inference.windows import segment_mean
from birdcore.sources.folds import EVERYWHERE, soundscape_fold


@dataclass(frozen=True)
class Teacher:
    """What labels recordings.

    Attributes:
        classes: K labels, in the order of the probabilities.
        predictors: the models that label each recording, by its name; there may be none.
        external: the outputs of external teachers for all of the recordings; there may be none.
    """

    classes: tuple[str, ...]
    predictors: Mapping[str, Sequence[Predictor]]
    external: tuple[TeacherPredictions, ...] = ()


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
    clipwise values were too small). For species that external teachers know it is weighted with
    theirs. Recordings that the same models label are predicted together, so they come in any order.

    Args:
        teacher: what labels.
        recordings: mels.
        starts: for each recording those of its segments (S,), in seconds.
        config: segment length, window hop, output, and the weights of the external teachers.

    Yields:
        Row of the recording, probabilities (S, K), and which classes (K,) the teacher knows.
    """
    if not teacher.external:
        everything = np.ones(len(teacher.classes), bool)
        for row, probabilities in _by_models(teacher, recordings, starts, config):
            yield row, probabilities, everything
        return
    shares = external_shares(teacher.external, config.external_weights)
    own_share = max(0.0, 1 - sum(config.external_weights))
    of_external = np.asarray(shares.any(axis=0), bool)
    for row, probabilities in _by_models(teacher, recordings, starts, config):
        probabilities[:, of_external] *= own_share
        for one, share in zip(teacher.external, shares, strict=True):
            said = crop_probabilities(one, row, starts[row], config.segment_s)
            probabilities += share * said
        known = of_external | bool(teacher.predictors[recordings.names[row]])
        # Shares may sum to a little more than 1 in float32.
        yield row, np.minimum(probabilities, 1), known


def external_shares(
    teachers: Sequence[TeacherPredictions], weights: Sequence[float]
) -> NDArray[np.float32]:
    """The weight (E, K) of each of E external teachers in the labels of each class.

    Those that know a class have the sum of all weights between them, in the proportions of their
    own; where none knows it, all have 0.

    Args:
        teachers: one or more, each of which knows some classes.
        weights: of each, above 0.
    """
    own = np.array(weights)[:, None] * np.stack([one.columns >= 0 for one in teachers])
    of_class = own.sum(axis=0)
    scale = sum(weights) / np.where(of_class > 0, of_class, 1)
    return np.asarray(own * scale, np.float32)


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
