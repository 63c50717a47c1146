"""Probabilities over a recording of any length, from windows that overlap.

They come in blocks, from the recording's beginning to its end, so that a day takes no more memory
than a minute.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from birdcore.audio.blocks import Reader
from birdcore.config import Output
from birdcore.features.recordings import Recordings, StoredRecordings
from birdcore.features.shard_reader import MelShard
from birdcore.inference.windows import average_overlaps, cell_centres, window_starts
from birdcore.models.head import SedOutput
from birdcore.models.input import InputSpec, load_input, model_input, pick_device
from birdcore.models.sed import ModelSpec, SedModel, load_model, place_model
from birdcore.store.artifact import Artifact

BATCH = 64
CELL_FRAMES = 8
"""Probabilities are kept for every eighth frame: a backbone answers more coarsely than that."""

CELLS_AT_ONCE = 1024

Probabilities: TypeAlias = NDArray[np.float32]
Soundscapes: TypeAlias = Recordings | StoredRecordings


@dataclass(frozen=True)
class Predictor:
    """A trained model, with what it reads."""

    model: SedModel
    model_spec: ModelSpec
    input_spec: InputSpec


def load_predictors(models: Sequence[Artifact]) -> list[Predictor]:
    device = pick_device()
    predictors = []
    for artifact in models:
        model, shape = load_model(artifact.folder)
        predictors.append(
            Predictor(place_model(model, device).eval(), shape, load_input(artifact.folder))
        )
    return predictors


def read_soundscapes(shard: Path) -> StoredRecordings:
    return StoredRecordings(MelShard.open(shard), pick_device())


def duration_s(soundscapes: Soundscapes, row: int) -> float:
    """Seconds of a recording, to a frame; one of a single frame lasts that frame."""
    frames = int(soundscapes.lengths[row])
    return max(frames - 1, 1) / soundscapes.spec.frame_rate


def cell_rate(soundscapes: Soundscapes) -> float:
    """Probabilities a second that `predict_recording` gives."""
    return soundscapes.spec.frame_rate / CELL_FRAMES


def cell_count(soundscapes: Soundscapes, row: int) -> int:
    """How many probabilities `predict_recording` gives of a recording."""
    return -(-int(soundscapes.lengths[row]) // CELL_FRAMES)


def predict_recording(
    predictors: Sequence[Predictor],
    soundscapes: Soundscapes,
    row: int,
    step_s: float,
    output: Output = "framewise",
) -> Iterator[Probabilities]:
    """Probabilities of one recording, (cells, K) in blocks: the mean over the predictors, of each
    the mean over the windows that cover a cell.

    A window says of a moment what its frames there say, or (clipwise) what its attention makes of
    all of it, or the mean of the two (both). Windows are as long as the model's round says.
    Raises ValueError where a model learnt another mel.
    """
    cells = [Reader(_cells(one, soundscapes, row, step_s, output)) for one in predictors]
    while len((parts := [reader.take(CELLS_AT_ONCE) for reader in cells])[0]):
        yield np.mean(parts, axis=0)


def _cells(
    predictor: Predictor, soundscapes: Soundscapes, row: int, step_s: float, output: Output
) -> Iterator[Probabilities]:
    """What one predictor says of a recording, in blocks."""
    if predictor.input_spec.mel != soundscapes.spec:
        raise ValueError("the model learnt another mel than the soundscapes are cached in")
    frames, window = int(soundscapes.lengths[row]), predictor.input_spec.frames
    step = min(window, max(1, round(step_s * soundscapes.spec.frame_rate)))
    starts = window_starts(frames, window, step)
    centres = cell_centres(frames, CELL_FRAMES)
    cell, windows = 0, None
    for at in range(0, len(starts), BATCH):
        heard = _heard(predictor, soundscapes, row, starts[at : at + BATCH], output)
        windows = heard if windows is None else np.concatenate([windows, heard])
        covering = starts[: at + BATCH][-len(windows) :]
        # Cells before the next window are covered by these alone.
        more = at + BATCH < len(starts)
        end = int(np.searchsorted(centres, starts[at + BATCH])) if more else len(centres)
        yield average_overlaps(windows, covering, window, frames, CELL_FRAMES, (cell, end))
        if more:
            cell, windows = end, windows[covering + window > centres[end]]


def _heard(
    predictor: Predictor,
    soundscapes: Soundscapes,
    row: int,
    starts: NDArray[np.int64],
    output: Output,
) -> Probabilities:
    """What the windows that begin at these frames say of their moments, (W, T, K)."""
    window, over_floor = predictor.input_spec.frames, predictor.input_spec.over_floor
    first, stop = int(starts[0]), min(int(starts[-1]) + window, int(soundscapes.lengths[row]))
    span = soundscapes.span(row, first, stop, with_floor=over_floor)
    offsets = torch.from_numpy(starts - first).to(span.device)
    with torch.inference_mode():
        power = span.power(torch.zeros_like(offsets), offsets, window, with_floor=over_floor)
        said = _outputs(predictor.model(model_input(power, predictor.input_spec)), output)
    return said.cpu().transpose(1, 2).numpy()


def _outputs(said: SedOutput, output: Output) -> Tensor:
    """What windows say of their moments, (W, K, T); T is 1 where it is of all of a window."""
    clip, frames = said.clipwise.float()[:, :, None], said.framewise_logit.float().sigmoid()
    return {"framewise": frames, "clipwise": clip, "both": (clip + frames) / 2}[output]
