"""Probabilities over recordings of any length, from windows that overlap.

They come in blocks, from a recording's beginning to its end, so that a day takes no more memory
than a minute. Models that read the same input share it, and batches hold windows of several
recordings: see `birdcore.inference.window_batches`.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, tee
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from birdcore.audio.blocks import Reader
from birdcore.config import Output, Predict
from birdcore.features.recordings import Soundscapes, StoredRecordings
from birdcore.features.shard_reader import MelShard
from birdcore.inference.engine import AUTO, Engine, EngineOutput, Floats, open_engine
from birdcore.inference.window_batches import (
    CELL_FRAMES,
    Piece,
    average_windows,
    batch_input,
    pack,
    run_ahead,
)
from birdcore.inference.windows import segment_ends, segment_max
from birdcore.models.input import InputSpec, load_input, pick_device
from birdcore.models.sed import ModelSpec, load_spec

WINDOWS_AT_ONCE = 64
"""Windows that are computed at once, by all streams of an engine together."""
CELLS_AT_ONCE = 1024


@dataclass(frozen=True)
class Predictor:
    """A trained model in an engine, its description, and what its inputs are made of."""

    engine: Engine
    model_spec: ModelSpec
    input_spec: InputSpec


def load_predictors(
    folders: Sequence[Path], engine: str = AUTO, exports: Sequence[Path] = ()
) -> list[Predictor]:
    """The models of folders that hold `model.json`, weights and `input.json`.

    Args:
        folders: The models'.
        engine: What runs them, see `birdcore.inference.engine`.
        exports: Folders of the models' exports, where they are not in the models' folders.

    Raises:
        ValueError: A folder holds no model, or there is no such engine.
    """
    return [
        Predictor(open_engine(folder, engine, export), load_spec(folder), load_input(folder))
        for folder, export in zip(folders, exports or folders, strict=True)
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


class Segments(NamedTuple):
    """A recording's segments.

    Attributes:
        ends: End seconds (S,), as `segment_ends` names them.
        probabilities: (M, S, K), of M members.
    """

    ends: NDArray[np.int64]
    probabilities: Floats


def predict_segments(
    members: Sequence[Sequence[Predictor]],
    recordings: Iterable[tuple[Soundscapes, int]],
    settings: Predict,
) -> Iterator[Segments]:
    """The segments of each recording, in order.

    A segment has the maximum over its moments of a member's mean. For arguments and errors see
    `predict_cells`.
    """
    read: deque[tuple[Soundscapes, int]] = deque()

    def noted() -> Iterator[tuple[Soundscapes, int]]:
        for recording in recordings:
            read.append(recording)
            yield recording

    cells = predict_cells(members, noted(), settings.step_s, settings.output)
    for _, tagged in groupby(cells, itemgetter(0)):
        soundscapes, row = read.popleft()
        # Members side by side, as if they were further classes: (cells, M * K).
        blocks = (np.concatenate(list(block), axis=1) for _, block in tagged)
        count, seconds = cell_count(soundscapes, row), duration_s(soundscapes, row)
        flat = segment_max(blocks, count, cell_rate(soundscapes), seconds, settings.segment_s)
        by_member = np.stack(np.split(flat, len(members), axis=1))
        yield Segments(segment_ends(seconds, settings.segment_s), by_member)


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
    """Probabilities (cells, K) of one recording, in blocks: the mean over the predictors.

    For arguments and errors see `predict_cells`.
    """
    for _, block in predict_cells([predictors], [(soundscapes, row)], step_s, output):
        yield block[0]


def predict_cells(
    members: Sequence[Sequence[Predictor]],
    recordings: Iterable[tuple[Soundscapes, int]],
    step_s: float,
    output: Output = "framewise",
) -> Iterator[tuple[int, Floats]]:
    """Probabilities of recordings, one after the other, each in blocks from its first cell on.

    Of each predictor it is the mean over the windows that cover a cell (`CELL_FRAMES` frames), of
    a member the mean over its predictors.

    Args:
        members: M members, each of models that were trained on the front end of the recordings.
        recordings: Features, and which recording of them. They are read a few batches ahead.
        step_s: Seconds from window to window; windows are as long as the model's input.
        output: What a window gives a moment: "framewise", its output there; "clipwise", the
            output for the window as a whole; "both", the mean of the two.

    Yields:
        The recording's place in `recordings`, and a block (M, cells, K).

    Raises:
        ValueError: A model was trained on another front end.
    """
    # In the order of the members, so that predictors of one input lie where their outputs do.
    by_input: dict[InputSpec, list[tuple[int, Predictor]]] = {}
    for member, predictors in enumerate(members):
        for predictor in predictors:
            by_input.setdefault(predictor.input_spec, []).append((member, predictor))
    owners = np.array([member for some in by_input.values() for member, _ in some])
    streams = [
        groupby(_cells([one for _, one in some], source, step_s, output), itemgetter(0))
        for some, source in zip(by_input.values(), tee(recordings, len(by_input)), strict=True)
    ]
    for of_inputs in zip(*streams, strict=True):
        number = of_inputs[0][0]
        readers = [Reader(block for _, block in blocks) for _, blocks in of_inputs]
        while len((parts := [reader.take(CELLS_AT_ONCE) for reader in readers])[0]):
            block = np.concatenate(parts, axis=1)
            yield (
                number,
                np.stack(
                    [block[:, owners == member].mean(axis=1) for member in range(len(members))]
                ),
            )


def _cells(
    predictors: Sequence[Predictor],
    recordings: Iterable[tuple[Soundscapes, int]],
    step_s: float,
    output: Output,
) -> Iterator[tuple[int, Floats]]:
    """Blocks (cells, P, K) by P predictors of one input, with the number of the recording."""
    spec = predictors[0].input_spec
    threads = max(predictor.engine.streams for predictor in predictors)

    def compute(batch: Sequence[Piece]) -> list[Floats]:
        with torch.inference_mode():
            inputs = batch_input(batch, spec)
            return [
                _chosen_output(one.engine(inputs.to(one.engine.device)), output)
                for one in predictors
            ]

    batches = pack(recordings, spec, step_s, max(WINDOWS_AT_ONCE // threads, 1))
    pieces = _by_piece(run_ahead(compute, batches, threads))
    for number, own in groupby(pieces, lambda both: both[0].windows.number):
        for block in average_windows(own, spec.frames):
            yield number, np.stack(block, axis=1)


def _by_piece(
    batches: Iterable[tuple[Sequence[Piece], Sequence[Floats]]],
) -> Iterator[tuple[Piece, list[Floats]]]:
    """Each piece of batches with its part of the outputs."""
    for batch, outputs in batches:
        first = 0
        for piece in batch:
            stop = first + piece.stop - piece.first
            yield piece, [of_model[first:stop] for of_model in outputs]
            first = stop


def _chosen_output(outputs: EngineOutput, output: Output) -> Floats:
    """(W, T', K); T' is 1 where it is of a window as a whole."""
    clipwise, framewise = outputs.clipwise[:, None, :], outputs.framewise
    if output == "both":
        return np.asarray((clipwise + framewise) / 2, np.float32)
    return clipwise if output == "clipwise" else framewise
