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

from birdcore.audio.blocks import Reader
from birdcore.config import Output, Predict
from birdcore.features.recordings import Recordings, StoredRecordings
from birdcore.features.shard_reader import MelShard
from birdcore.inference.engine import AUTO, Engine, EngineOutput, Floats, open_engine
from birdcore.inference.windows import (
    average_overlaps,
    cell_centres,
    segment_ends,
    segment_max,
    window_starts,
)
from birdcore.models.input import InputSpec, load_input, model_input, pick_device
from birdcore.models.sed import ModelSpec, load_spec

BATCH = 64
CELL_FRAMES = 8
"""Probabilities are kept for every eighth frame: a backbone answers more coarsely than that."""

CELLS_AT_ONCE = 1024

Soundscapes: TypeAlias = Recordings | StoredRecordings


@dataclass(frozen=True)
class Predictor:
    """A trained model in an engine, its description, and what its inputs are made of."""

    engine: Engine
    model_spec: ModelSpec
    input_spec: InputSpec


def load_predictors(folders: Sequence[Path], engine: str = AUTO) -> list[Predictor]:
    """The models of folders that hold `model.json`, weights and `input.json`.

    Raises:
        ValueError: A folder holds no model, or there is no such engine.
    """
    return [
        Predictor(open_engine(folder, engine), load_spec(folder), load_input(folder))
        for folder in folders
    ]


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


def predict_segments(
    predictors: Sequence[Predictor], soundscapes: Soundscapes, row: int, settings: Predict
) -> Floats:
    """Probabilities (S, K) of the segments of one recording, which `segment_ends` names.

    A segment has the maximum over its moments of the mean over the predictors.
    """
    cells = predict_recording(predictors, soundscapes, row, settings.step_s, settings.output)
    count, seconds = cell_count(soundscapes, row), duration_s(soundscapes, row)
    return segment_max(cells, count, cell_rate(soundscapes), seconds, settings.segment_s)


def recording_segments(soundscapes: Soundscapes, row: int, segment_s: float) -> NDArray[np.int64]:
    """End seconds (S,) of the segments of one recording."""
    return segment_ends(duration_s(soundscapes, row), segment_s)


def predict_recording(
    predictors: Sequence[Predictor],
    soundscapes: Soundscapes,
    row: int,
    step_s: float,
    output: Output = "framewise",
) -> Iterator[Floats]:
    """Probabilities of one recording, (cells, K) in blocks: the mean over the predictors.

    Of each predictor it is the mean over the windows that cover a cell (`CELL_FRAMES` frames).

    Args:
        predictors: Models that were trained on the front end of the recordings.
        soundscapes: Recordings as features.
        row: Which of them.
        step_s: Seconds from window to window; windows are as long as the model's input.
        output: What a window gives a moment: "framewise", its output there; "clipwise", the
            output for the window as a whole; "both", the mean of the two.

    Raises:
        ValueError: A model was trained on another front end.
    """
    cells = [Reader(_cells(one, soundscapes, row, step_s, output)) for one in predictors]
    while len((parts := [reader.take(CELLS_AT_ONCE) for reader in cells])[0]):
        yield np.mean(parts, axis=0)


def _cells(
    predictor: Predictor, soundscapes: Soundscapes, row: int, step_s: float, output: Output
) -> Iterator[Floats]:
    """Probabilities (cells, K) by one predictor, in blocks."""
    if predictor.input_spec.mel != soundscapes.spec:
        raise ValueError("the model was trained on another mel than that of the soundscapes")
    frames, window = int(soundscapes.lengths[row]), predictor.input_spec.frames
    step = min(window, max(1, round(step_s * soundscapes.spec.frame_rate)))
    starts = window_starts(frames, window, step)
    centres = cell_centres(frames, CELL_FRAMES)
    cell, windows = 0, None
    for first in range(0, len(starts), BATCH):
        batch = _window_outputs(predictor, soundscapes, row, starts[first : first + BATCH], output)
        windows = batch if windows is None else np.concatenate([windows, batch])
        covering = starts[: first + BATCH][-len(windows) :]
        # Cells before the next window are covered by these alone.
        more = first + BATCH < len(starts)
        end = int(np.searchsorted(centres, starts[first + BATCH])) if more else len(centres)
        yield average_overlaps(windows, covering, window, frames, CELL_FRAMES, (cell, end))
        if more:
            cell, windows = end, windows[covering + window > centres[end]]


def _window_outputs(
    predictor: Predictor,
    soundscapes: Soundscapes,
    row: int,
    starts: NDArray[np.int64],
    output: Output,
) -> Floats:
    """Probabilities (W, T', K) of the moments of windows that begin at these frames."""
    window, over_floor = predictor.input_spec.frames, predictor.input_spec.over_floor
    first, stop = int(starts[0]), min(int(starts[-1]) + window, int(soundscapes.lengths[row]))
    span = soundscapes.span(row, first, stop, with_floor=over_floor)
    offsets = torch.from_numpy(starts - first).to(span.device)
    with torch.inference_mode():
        power = span.power(torch.zeros_like(offsets), offsets, window, with_floor=over_floor)
        batch = model_input(power, predictor.input_spec).to(predictor.engine.device)
    return _chosen_output(predictor.engine(batch), output)


def _chosen_output(outputs: EngineOutput, output: Output) -> Floats:
    """(W, T', K); T' is 1 where it is of a window as a whole."""
    clipwise, framewise = outputs.clipwise[:, None, :], outputs.framewise
    if output == "both":
        return np.asarray((clipwise + framewise) / 2, np.float32)
    return clipwise if output == "clipwise" else framewise
