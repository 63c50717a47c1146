"""What an outside teacher says of the competition's classes, as one more member of the ensemble.

A class that it does not know gets 0 everywhere, which orders nothing: the other members decide it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from birdcore.store.artifact import Artifact
from birdcore.teachers.external_teacher import species_columns
from birdcore.teachers.outputs import TeacherOutputs, read_outputs


@dataclass(frozen=True)
class TeacherPredictions:
    """What was heard of some recordings; columns (K,): each class among its species, or -1."""

    heard: TeacherOutputs
    columns: NDArray[np.int64]


def read_teacher_predictions(
    heard: Sequence[Artifact], catalog: Artifact, recordings: Sequence[str]
) -> TeacherPredictions:
    """What is told of these recordings, in their order."""
    read = read_outputs([artifact / "heard.parquet" for artifact in heard], recordings)
    species = pd.read_parquet(catalog / "species.parquet")["scientific_name"]
    return TeacherPredictions(read, species_columns(read.info.species, list(species)))


def segment_probabilities(
    told: TeacherPredictions, row: int, ends: NDArray[np.integer], segment_s: float
) -> NDArray[np.float32]:
    """Probabilities (S, K) of the segments of one recording that end at `ends` seconds."""
    rows = torch.full((len(ends),), row)
    begin = torch.from_numpy(np.asarray(ends, np.float64) - segment_s)
    return _of_classes(told, told.heard.probability(rows, begin, segment_s).numpy())


def recording_probabilities(told: TeacherPredictions) -> NDArray[np.float32]:
    """Probabilities (R, K) of whole recordings: the maximum over windows, as of a model's own."""
    windows = told.heard.probabilities.float().numpy()
    best = np.maximum.reduceat(windows, told.heard.first.numpy(), axis=0)
    return _of_classes(told, best)


def _of_classes(told: TeacherPredictions, said: NDArray[np.float32]) -> NDArray[np.float32]:
    known = told.columns >= 0
    of_all = np.zeros((len(said), len(told.columns)), np.float32)
    of_all[:, known] = said[:, told.columns[known]]
    return of_all
