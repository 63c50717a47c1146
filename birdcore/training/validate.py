"""How good a model is on the recordings it never trained on.

A recording's label says that the bird sings somewhere in it, so a recording's probability is the
maximum over its windows, and the score is macro ROC-AUC over recordings.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from birdcore.metrics import class_auc
from birdcore.models.head import SedOutput
from birdcore.models.input import InputSpec, model_input
from birdcore.models.sed import SedModel
from birdcore.training.training_set import TrainingSet

WINDOWS = 12
"""Windows of a recording that are listened to: spread evenly, where it is longer."""
BATCH = 64


def held_out_auc(model: SedModel, data: TrainingSet, reads: InputSpec) -> float | None:
    """Macro ROC-AUC over the classes that can be scored; None where there are none."""
    targets = data.labels[data.held_out].numpy() >= 1
    by_class = class_auc(targets, held_out_probabilities(model, data, reads))
    return float(np.nanmean(by_class)) if not np.isnan(by_class).all() else None


def held_out_cosine(model: SedModel, data: TrainingSet, reads: InputSpec) -> float | None:
    """Mean cosine between embeddings of held-out windows and what the outside teacher made of them;
    None where nothing is held out."""
    if data.heard is None or not len(data.held_out):
        return None
    rate, cosines = reads.mel.frame_rate, []
    for rows, offsets, said in _heard_windows(model, data, reads):
        assert said.embedding is not None
        told = data.heard.embedding(rows, offsets / rate, reads.frames / rate)
        cosines.append(cosine_similarity(said.embedding.float().cpu(), told))
    return float(torch.cat(cosines).mean())


def held_out_probabilities(
    model: SedModel, data: TrainingSet, reads: InputSpec
) -> npt.NDArray[np.float32]:
    """Probabilities (H, K) of the held-out recordings, each the maximum over its windows."""
    classes = data.labels.shape[1]
    if not len(data.held_out):
        return np.zeros((0, classes), np.float32)
    best = torch.zeros(len(data.clips.names), classes)
    for rows, _, said in _heard_windows(model, data, reads):
        at = rows.cpu()[:, None].expand(-1, classes)
        best.scatter_reduce_(0, at, said.clipwise.float().cpu(), "amax")
    return best[data.held_out].numpy()


def _heard_windows(
    model: SedModel, data: TrainingSet, reads: InputSpec
) -> Iterator[tuple[Tensor, Tensor, SedOutput]]:
    """Rows, first frames and what the model says of windows of held-out recordings, by batches."""
    model.eval()
    rows, offsets = _windows(data, reads.frames)
    with torch.inference_mode():
        for some, first in zip(rows.split(BATCH), offsets.split(BATCH), strict=True):
            power = data.clips.power(some, first, reads.frames, with_floor=reads.over_floor)
            yield some, first, model(model_input(power, reads))


def _windows(data: TrainingSet, frames: int) -> tuple[Tensor, Tensor]:
    """Recordings and first frames of all windows to listen to; the last one ends the recording."""
    rows, offsets = [], []
    for r in data.held_out.tolist():
        last = max(0, int(data.clips.lengths[r]) - frames)
        count = min(WINDOWS, -(-last // frames) + 1)
        rows.append(torch.full((count,), r))
        offsets.append(torch.linspace(0, last, count).round().long())
    device = data.clips.device
    return torch.cat(rows).to(device), torch.cat(offsets).to(device)
