"""Probabilities over recordings of any length, from windows that overlap.

They come in blocks, from a recording's beginning to its end, so that a day takes no more memory
than a minute. Models that read the same input share it, and batches hold windows of several
recordings: see `birdcore.inference.window_batches`. Batches are computed in as many threads as an
engine has streams, and come in order whichever ends first, so threads change nothing.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, tee
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from birdcore.audio.blocks import Reader
from birdcore.compute_threads import run_ahead, torch_pool
from birdcore.config import Output, Predict
from birdcore.features.recordings import StoredRecordings
from birdcore.features.shard_reader import MelShard
from birdcore.inference.engine import AUTO, Engine, EngineOutput, Floats, open_engine
from birdcore.inference.window_batches import (
    Piece,
    Recording,
    RecordingCells,
    average_windows,
    batch_input,
    by_piece,
    pack,
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
    folders: Sequence[Path], engine: str = AUTO, exports: Sequence[Path] = (), threads: int = 0
) -> list[Predictor]:
    """The models of folders that hold `model.json`, weights and `input.json`.

    Args:
        folders: The models'.
        engine: What runs them, see `birdcore.inference.engine`.
        exports: Folders of the models' exports, where they are not in the models' folders.
        threads: How many cores each takes; 0 for all.

    Raises:
        ValueError: A folder holds no model, or there is no such engine.
    """
    return [
        Predictor(
            open_engine(folder, engine, export, threads), load_spec(folder), load_input(folder)
        )
        for folder, export in zip(folders, exports or folders, strict=True)
    ]


def read_soundscapes(shard: Path) -> StoredRecordings:
    return StoredRecordings(MelShard.open(shard), pick_device())


class Segments(NamedTuple):
    """A recording's segments.

    Attributes:
        recording: The recording's name.
        ends: End seconds (S,), as `segment_ends` names them.
        probabilities: (M, S, K), of M members.
    """

    recording: str
    ends: NDArray[np.int64]
    probabilities: Floats


def predict_segments(
    members: Sequence[Sequence[Predictor]],
    recordings: Iterable[Recording],
    settings: Predict,
) -> Iterator[Segments]:
    """The segments of each recording, in order.

    A segment has the maximum over its moments of a member's mean. For arguments and errors see
    `predict_cells`.
    """
    segment_s = settings.segment_s
    for cells, blocks in predict_cells(members, recordings, settings.step_s, settings.output):
        # Members side by side, as if they were further classes: (cells, M * K).
        flat = segment_max(
            (np.concatenate(list(block), axis=1) for block in blocks),
            cells.count, cells.rate, cells.duration_s, segment_s,
        )  # fmt: skip
        by_member = np.stack(np.split(flat, len(members), axis=1))
        yield Segments(cells.name, segment_ends(cells.duration_s, segment_s), by_member)


def predict_recording(
    predictors: Sequence[Predictor],
    recording: Recording,
    step_s: float,
    output: Output = "framewise",
) -> Iterator[Floats]:
    """Probabilities (cells, K) of one recording, in blocks: the mean over the predictors.

    For arguments and errors see `predict_cells`.
    """
    for _, blocks in predict_cells([predictors], [recording], step_s, output):
        yield from (block[0] for block in blocks)


def predict_cells(
    members: Sequence[Sequence[Predictor]],
    recordings: Iterable[Recording],
    step_s: float,
    output: Output = "framewise",
) -> Iterator[tuple[RecordingCells, Iterator[Floats]]]:
    """Probabilities of recordings, one after the other, each in blocks from its first cell on.

    Of each predictor it is the mean over the windows that cover a cell (`CELL_FRAMES` frames), of
    a member the mean over its predictors.

    Args:
        members: M members, each of models that were trained on the front end of the recordings.
        recordings: What is predicted. They are read a few batches ahead.
        step_s: Seconds from window to window; windows are as long as the model's input.
        output: What a window gives a moment: "framewise", its output there; "clipwise", the
            output for the window as a whole; "both", the mean of the two.

    Yields:
        The recording's cells, and their blocks (M, cells, K), to be read before the next
        recording's.

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
        _cells([one for _, one in some], source, step_s, output)
        for some, source in zip(by_input.values(), tee(recordings, len(by_input)), strict=True)
    ]

    def means(readers: Sequence[Reader[np.float32]]) -> Iterator[Floats]:
        while len((parts := [reader.take(CELLS_AT_ONCE) for reader in readers])[0]):
            block = np.concatenate(parts, axis=1)
            yield np.stack(
                [block[:, owners == member].mean(axis=1) for member in range(len(members))]
            )

    for of_inputs in zip(*streams, strict=True):
        yield of_inputs[0][0], means([Reader(blocks) for _, blocks in of_inputs])


def _cells(
    predictors: Sequence[Predictor],
    recordings: Iterable[Recording],
    step_s: float,
    output: Output,
) -> Iterator[tuple[RecordingCells, Iterator[Floats]]]:
    """The cells of recordings, and their blocks (cells, P, K) by P predictors of one input."""
    spec = predictors[0].input_spec
    threads = max(predictor.engine.streams for predictor in predictors)
    torch_threads = max(predictor.engine.torch_threads for predictor in predictors)

    def compute(batch: Sequence[Piece]) -> list[Floats]:
        with torch.inference_mode():
            inputs = batch_input(batch, spec)
            return [
                _chosen_output(one.engine(inputs.to(one.engine.device)), output)
                for one in predictors
            ]

    batches = pack(recordings, spec, step_s, max(WINDOWS_AT_ONCE // threads, 1))
    with torch_pool(threads, "predict", torch_threads) as pool:
        pieces = by_piece(run_ahead(pool, compute, batches, threads))
        for windows, own in groupby(pieces, lambda both: both[0].windows):
            blocks = average_windows(own, spec.frames)
            yield windows.cells, (np.stack(block, axis=1) for block in blocks)


def _chosen_output(outputs: EngineOutput, output: Output) -> Floats:
    """(W, T', K); T' is 1 where it is of a window as a whole."""
    clipwise, framewise = outputs.clipwise[:, None, :], outputs.framewise
    if output == "both":
        return np.asarray((clipwise + framewise) / 2, np.float32)
    return clipwise if output == "clipwise" else framewise
