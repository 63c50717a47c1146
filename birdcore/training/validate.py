"""Validation: how good a model is on the recordings that did not train it.

A recording's label says that a class sounds somewhere in it, so a recording's probability is the
maximum over its windows, and the score is macro ROC-AUC over recordings.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from birdcore.metrics import class_auc
from birdcore.models.head import SedOutput
from birdcore.models.input import InputSpec, model_input
from birdcore.models.sed import SedModel
from birdcore.training.training_set import TrainingSet

WINDOWS = 12
"""Most windows of a recording that are evaluated, spread evenly."""
BATCH = 64


def held_out_auc(model: SedModel, data: TrainingSet, input_spec: InputSpec) -> float | None:
    """Macro ROC-AUC over the classes that can be scored; None where there are none."""
    targets = data.labels[data.held_out].numpy() >= 1
    by_class = class_auc(targets, held_out_probabilities(model, data, input_spec))
    return float(np.nanmean(by_class)) if not np.isnan(by_class).all() else None


def held_out_cosine(model: SedModel, data: TrainingSet, input_spec: InputSpec) -> float | None:
    """Mean cosine similarity between the model's embeddings of held-out windows and the external
    teacher's; None where nothing is held out."""
    if data.teacher_outputs is None or not len(data.held_out):
        return None
    rate, cosines = input_spec.mel.frame_rate, []
    for rows, offsets, outputs in _window_outputs(model, data, input_spec):
        assert outputs.embedding is not None
        targets = data.teacher_outputs.embedding(rows, offsets / rate, input_spec.frames / rate)
        cosines.append(cosine_similarity(outputs.embedding.float().cpu(), targets))
    return float(torch.cat(cosines).mean())


def held_out_probabilities(
    model: SedModel, data: TrainingSet, input_spec: InputSpec
) -> npt.NDArray[np.float32]:
    """Probabilities (H, K) of the held-out recordings, each the maximum over its windows."""
    classes = data.labels.shape[1]
    if not len(data.held_out):
        return np.zeros((0, classes), np.float32)
    best = torch.zeros(len(data.clips.names), classes)
    for rows, _, outputs in _window_outputs(model, data, input_spec):
        index = rows.cpu()[:, None].expand(-1, classes)
        best.scatter_reduce_(0, index, outputs.clipwise.float().cpu(), "amax")
    return best[data.held_out].numpy()


def held_out_table(model: SedModel, data: TrainingSet, input_spec: InputSpec) -> pd.DataFrame:
    """A row for each held-out recording: recording, targets (K,) and probabilities (K,)."""
    return pd.DataFrame(
        {
            "recording": [data.clips.names[row] for row in data.held_out.tolist()],
            "targets": list(data.labels[data.held_out].numpy()),
            "probabilities": list(held_out_probabilities(model, data, input_spec)),
        }
    )


def _window_outputs(
    model: SedModel, data: TrainingSet, input_spec: InputSpec
) -> Iterator[tuple[Tensor, Tensor, SedOutput]]:
    """Rows, first frames and the model's outputs for windows of held-out recordings, in batches."""
    model.eval()
    rows, offsets = _windows(data, input_spec.frames)
    with torch.inference_mode():
        for batch, first in zip(rows.split(BATCH), offsets.split(BATCH), strict=True):
            power = data.clips.power(
                batch, first, input_spec.frames, with_floor=input_spec.over_floor
            )
            yield batch, first, model(model_input(power, input_spec))


def _windows(data: TrainingSet, frames: int) -> tuple[Tensor, Tensor]:
    """Rows and first frames of all windows; the last one of a recording ends with it."""
    rows, offsets = [], []
    for r in data.held_out.tolist():
        last = max(0, int(data.clips.lengths[r]) - frames)
        count = min(WINDOWS, -(-last // frames) + 1)
        rows.append(torch.full((count,), r))
        offsets.append(torch.linspace(0, last, count).round().long())
    device = data.clips.device
    return torch.cat(rows).to(device), torch.cat(offsets).to(device)
