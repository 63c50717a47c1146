"""What probes predict, as predictions of the teacher whose embeddings they read.

A probe's windows are the teacher's, so whatever reads a teacher's predictions (labels of students,
rows of soundscapes, the ensemble) reads those of probes in their place.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from birdcore.inference.teacher_predictions import TeacherPredictions, read_teacher_predictions
from birdcore.models.probe import Probe, load_probe, prior_logits

CHUNK = 4096
"""Windows at a time: float32 embeddings of all of them would be twice what is stored."""


def class_prior(predictions: TeacherPredictions) -> Tensor:
    """The teacher's logits (S, K) of all windows; 0 for a class that it does not know."""
    return prior_logits(predictions.by_class) * torch.from_numpy(predictions.columns >= 0)


def probe_predictions(
    probes: Sequence[Probe], predictions: TeacherPredictions
) -> TeacherPredictions:
    """The mean of probes' probabilities for all windows, of all classes, in place of the teacher's.

    Args:
        probes: One or more, with the same classes, the columns of the predictions.
        predictions: Of the teacher whose embeddings they read.
    """
    outputs, prior = predictions.outputs, class_prior(predictions)
    parts = [
        torch.stack([probe.probabilities(*part) for probe in probes]).mean(dim=0)
        for part in zip(outputs.embeddings.split(CHUNK), prior.split(CHUNK), strict=True)
    ]
    classes = probes[0].spec.classes
    probabilities = torch.cat([torch.zeros(0, len(classes)), *parts])
    info = replace(outputs.info, species=classes)
    known = np.arange(len(classes))
    return TeacherPredictions(replace(outputs, info=info, probabilities=probabilities), known)


def read_probe_predictions(
    folders: Sequence[Path], outputs: Sequence[Path], species: Path, recordings: Sequence[str]
) -> TeacherPredictions:
    """Predictions for these recordings, in their order, by probes, or by the teacher itself.

    Args:
        folders: Those of the probes; may be none.
        outputs: Files that the stage `external_teacher` wrote.
        species: The catalogue's `species.parquet`, a row for each class.
        recordings: Names of recordings in these files.
    """
    predictions = read_teacher_predictions(outputs, species, recordings)
    if not folders:
        return predictions
    return probe_predictions([load_probe(folder) for folder in folders], predictions)
