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

from birdcore.inference.spans import span_name
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
    probabilities = held_out_probabilities(model, data, input_spec)
    known = None if data.known is None else data.known[data.held_out].numpy()
    return known_auc(targets, probabilities, known)


def known_auc(
    truth: npt.NDArray[np.bool_],
    probabilities: npt.NDArray[np.floating],
    known: npt.NDArray[np.bool_] | None = None,
) -> float | None:
    """Macro ROC-AUC over the classes that can be scored, each on the rows (N, K) where it is known;
    None where there are none."""
    if known is None:
        by_class = class_auc(truth, probabilities)
    else:
        columns = zip(truth.T, probabilities.T, known.T, strict=True)
        by_class = np.array([class_auc(t[k, None], p[k, None])[0] for t, p, k in columns])
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
    """Probabilities (H, K) of the held-out items, each the maximum over its windows."""
    classes = data.labels.shape[1]
    if not len(data.held_out):
        return np.zeros((0, classes), np.float32)
    best = torch.zeros(len(data.labels), classes)
    for items, _, outputs in _window_outputs(model, data, input_spec):
        index = items[:, None].expand(-1, classes)
        best.scatter_reduce_(0, index, outputs.clipwise.float().cpu(), "amax")
    return best[data.held_out].numpy()


def held_out_table(model: SedModel, data: TrainingSet, input_spec: InputSpec) -> pd.DataFrame:
    """A row for each held-out item: recording, targets (K,) and probabilities (K,).

    A window of an annotated recording is named by its seconds, as `a.ogg#t=5,10` (W3C Media
    Fragments); targets that are unknown are NaN.
    """
    targets = data.labels[data.held_out]
    if data.known is not None:
        targets = targets.where(data.known[data.held_out], torch.nan)
    names = [data.clips.names[row] for row in data.rows_of(data.held_out).tolist()]
    if data.annotated is not None:
        rate, (is_segment, segments) = data.clips.spec.frame_rate, data.segments_of(data.held_out)
        for at in is_segment.nonzero()[:, 0].tolist():
            edges = (
                each[segments[at]] / rate for each in (data.annotated.start, data.annotated.end)
            )
            names[at] = span_name(names[at], *map(float, edges))
    return pd.DataFrame(
        {
            "recording": names,
            "targets": list(targets.numpy()),
            "probabilities": list(held_out_probabilities(model, data, input_spec)),
        }
    )


def _window_outputs(
    model: SedModel, data: TrainingSet, input_spec: InputSpec
) -> Iterator[tuple[Tensor, Tensor, SedOutput]]:
    """Items, first frames and the model's outputs for windows of held-out items, in batches."""
    model.eval()
    frames, device = input_spec.frames, data.clips.device
    parts = zip(*(each.split(BATCH) for each in _windows(data, frames)), strict=True)
    with torch.inference_mode():
        for items, rows, offsets in parts:
            power = data.clips.power(
                rows.to(device), offsets.to(device), frames, with_floor=input_spec.over_floor
            )
            yield items, offsets, model(model_input(power, input_spec))


def _windows(data: TrainingSet, frames: int) -> tuple[Tensor, Tensor, Tensor]:
    """Items, recordings and first frames of all windows.

    Those of a clip are spread over it, the last one ending with it; those of an annotated segment
    cover it.
    """
    items, offsets = [], []
    is_segment, segments = data.segments_of(data.held_out)
    for item in data.held_out[~is_segment].tolist():
        last = max(0, int(data.clips.lengths[item]) - frames)
        count = min(WINDOWS, -(-last // frames) + 1)
        items.append(torch.full((count,), item))
        offsets.append(torch.linspace(0, last, count).round().long())
    if data.annotated is not None:
        for segment in segments[is_segment].tolist():
            offsets.append(data.annotated.windows(segment, frames))
            items.append(torch.full_like(offsets[-1], len(data.clips.names) + segment))
    all_items = torch.cat(items)
    return all_items, data.rows_of(all_items), torch.cat(offsets)
