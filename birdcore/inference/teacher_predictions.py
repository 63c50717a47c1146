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
from birdcore.teachers.external_teacher import columns_of
from birdcore.teachers.outputs import Heard, read_heard


@dataclass(frozen=True)
class Told:
    """What was heard of some recordings; columns (K,): each class among its species, or -1."""

    heard: Heard
    columns: NDArray[np.int64]


def read_told(heard: Sequence[Artifact], catalog: Artifact, recordings: Sequence[str]) -> Told:
    """What is told of these recordings, in their order."""
    read = read_heard([artifact / "heard.parquet" for artifact in heard], recordings)
    species = pd.read_parquet(catalog / "species.parquet")["scientific_name"]
    return Told(read, columns_of(read.about.species, list(species)))


def of_segments(
    told: Told, row: int, ends: NDArray[np.integer], segment_s: float
) -> NDArray[np.float32]:
    """Probabilities (S, K) of the segments of one recording that end at `ends` seconds."""
    rows = torch.full((len(ends),), row)
    begin = torch.from_numpy(np.asarray(ends, np.float64) - segment_s)
    return _of_classes(told, told.heard.probability(rows, begin, segment_s).numpy())


def of_recordings(told: Told) -> NDArray[np.float32]:
    """Probabilities (R, K) of whole recordings: the maximum over windows, as of a model's own."""
    windows = told.heard.probabilities.float().numpy()
    best = np.maximum.reduceat(windows, told.heard.first.numpy(), axis=0)
    return _of_classes(told, best)


def _of_classes(told: Told, said: NDArray[np.float32]) -> NDArray[np.float32]:
    known = told.columns >= 0
    of_all = np.zeros((len(said), len(told.columns)), np.float32)
    of_all[:, known] = said[:, told.columns[known]]
    return of_all
