"""An external teacher's outputs as predictions of the competition's classes.

So a teacher can be one more member of the ensemble. A class that it does not know gets 0
everywhere, which orders nothing: the other members decide it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from birdcore.teachers.external_teacher import species_columns
from birdcore.teachers.outputs import TeacherOutputs, read_outputs


@dataclass(frozen=True)
class TeacherPredictions:
    """A teacher's outputs for some recordings, and where the competition's classes are in them.

    Attributes:
        outputs: The outputs.
        columns: (K,), the column of each class among the teacher's species, or -1.
    """

    outputs: TeacherOutputs
    columns: NDArray[np.int64]

    @cached_property
    def by_class(self) -> Tensor:
        """Probabilities (S, K), float32, of all windows; 0 for a class that it does not know."""
        return torch.from_numpy(_by_class(self, self.outputs.probabilities.float().numpy()))


def read_teacher_predictions(
    outputs: Sequence[Path], species: Path, recordings: Sequence[str]
) -> TeacherPredictions:
    """Predictions for these recordings, in their order.

    Args:
        outputs: Files that the stage `external_teacher` wrote.
        species: The catalogue's `species.parquet`, a row for each class.
        recordings: Names of recordings in these files.
    """
    read = read_outputs(outputs, recordings)
    names = pd.read_parquet(species, columns=["scientific_name"])["scientific_name"]
    return TeacherPredictions(read, species_columns(read.info.species, list(names)))


def segment_probabilities(
    predictions: TeacherPredictions, row: int, starts: NDArray[np.floating], segment_s: float
) -> NDArray[np.float32]:
    """Probabilities (S, K) of the segments of one recording that begin at `starts` seconds."""
    rows = torch.full((len(starts),), row)
    outputs = predictions.outputs.probability(rows, torch.from_numpy(starts), segment_s)
    return _by_class(predictions, outputs.numpy())


def crop_probabilities(
    predictions: TeacherPredictions, row: int, starts: NDArray[np.floating], crop_s: float
) -> NDArray[np.float32]:
    """Probabilities (S, K) of a student's crops of one recording: of their own seconds alone, as
    far as windows tell, where a segment has the mean over all windows that reach into it."""
    rows = torch.full((len(starts),), row)
    outputs = predictions.outputs.crop_probability(rows, torch.from_numpy(starts), crop_s)
    return _by_class(predictions, outputs.numpy())


def recording_probabilities(predictions: TeacherPredictions) -> NDArray[np.float32]:
    """Probabilities (R, K) of whole recordings: the maximum over windows, as of our own models."""
    windows = predictions.outputs.probabilities.float().numpy()
    if not len(windows):  # which reduceat refuses
        return _by_class(predictions, windows)
    best = np.maximum.reduceat(windows, predictions.outputs.first.numpy(), axis=0)
    return _by_class(predictions, best)


def _by_class(predictions: TeacherPredictions, outputs: NDArray[np.float32]) -> NDArray[np.float32]:
    known = predictions.columns >= 0
    probabilities = np.zeros((len(outputs), len(predictions.columns)), np.float32)
    probabilities[:, known] = outputs[:, predictions.columns[known]]
    return probabilities
