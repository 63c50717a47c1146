"""Models of a store on soundscapes made of recordings that they never trained on.

    python -m experiments.validation recipes/mini.toml --data DIR --store STORE --steps 2.5 0.625

Held-out clips are not what a model is for: a soundscape has several birds, each at its distance,
and a row for every 5 s. So each model's held-out recordings are laid at 0 to 20 dB over quiet
pieces of unlabelled soundscapes, 6 to 11 in a minute, and the rows are scored as a submission is:
settings of prediction and training can be chosen by it, and the labelled test set stays unread.
(Over steady noise alone nothing else sounds; over whole soundscapes their own birds count as none.)
Models of rounds on recordings of archives are left out: they know other classes.
Prints a table in Markdown: macro ROC-AUC over rows by round, fold, output and step of windows.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import numpy.typing as npt
import torch

from birdcore.config import Output, read_recipe
from birdcore.config.training import TrainConfig
from birdcore.features.recordings import Recordings, read_mels
from birdcore.features.scale import encode
from birdcore.inference.predict import (
    Predictor,
    load_predictors,
    predict_recording,
)
from birdcore.inference.window_batches import Recording
from birdcore.inference.windows import segment_max
from birdcore.metrics import class_auc
from birdcore.sources.birdclef import scan
from birdcore.sources.source import extra_sources
from birdcore.stages.train import training_files
from birdcore.store.artifact import Step
from birdcore.store.store import Store
from birdcore.training.background import quiet_segments
from birdcore.training.training_set import TrainingSet, read_training_set
from flows.dag import Dag, build_dag

SECONDS = 60.0
ROW_S = 5.0
HEARD_S = 0.5
"""An event counts in a row that has so much of it."""
EVENT_S = (2.0, 6.0)
EVENTS = (6, 12)
SNR_DB = (0.0, 20.0)
FADE_S = 0.1
PIECE_S = 2.5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument(
        "--collection", type=Path, default=Path("collection"),
        help="folder of recordings of public archives",
    )  # fmt: skip
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--steps", type=float, nargs="+", default=[2.5, 0.625])
    parser.add_argument("--count", type=int, default=40, help="soundscapes of a fold")
    parser.add_argument(
        "--bed", choices=["floors", "quiet", "soundscapes"], default="quiet",
        help="lay clips over steady noise, over quiet pieces of unlabelled soundscapes, or over "
        "whole ones",
    )  # fmt: skip
    options = parser.parse_args()
    store = Store(options.store)
    recipe = read_recipe(options.recipe, options.set)
    source = scan(options.data, store)
    found = extra_sources(recipe, source, options.collection, store)
    dag = build_dag(recipe, source, store, found, keep_shards=False)
    noise = read_mels(
        [
            store.get(step.ref) / "mel.parquet"
            for step in dag.steps
            if step.stage == "mel" and "train_soundscapes" in step.name
        ],
        torch.device("cpu"),
    )
    columns = [(output, step_s) for output in get_args(Output) for step_s in options.steps]
    print(
        "|", " | ".join(["model", *(f"{output}, {step_s:g} s" for output, step_s in columns)]), "|"
    )
    print("|---|" + "---|" * len(columns))
    for step in evaluated(dag):
        if store.find(step.ref) is not None:
            (predictor,) = load_predictors([store.get(step.ref).folder])
            data = held_out_data(step, store)
            scapes, truth = made_soundscapes(
                data, noise, options.count, options.bed, np.random.default_rng(11)
            )
            said = [heard_rows(predictor, scapes, *column) for column in columns]
            scores = [np.nanmean(class_auc(truth, rows)) for rows in said]
            print("|", " | ".join([step.name, *(f"{s:.4f}" for s in scores)]), "|", flush=True)


def held_out_data(step: Step, store: Store) -> TrainingSet:
    """What a training step read."""
    config = TrainConfig.model_validate(step.config)
    inputs = {name: [store.get(ref) for ref in refs] for name, refs in step.inputs.items()}
    return read_training_set(training_files(inputs, config), config, torch.device("cpu"))


def evaluated(dag: Dag) -> list[Step]:
    """Trainings on the competition's own recordings."""
    trainings = [step for step in dag.steps if step.stage == "train"]
    return [step for step in trainings if step.inputs["catalog"][0].stage == "catalog"]


def heard_rows(
    predictor: Predictor, scapes: Recordings, output: Output, step_s: float
) -> npt.NDArray[np.floating]:
    """What one model says of the rows of all soundscapes (rows, K)."""
    rows = [
        segment_max(
            predict_recording([predictor], recording, step_s, output),
            recording.cells.count,
            recording.cells.rate,
            SECONDS,
            ROW_S,
        )
        for at in range(len(scapes.names))
        for recording in [Recording(scapes, at)]
    ]
    return np.concatenate(rows)


def made_soundscapes(
    data: TrainingSet, noise: Recordings, count: int, bed: str, rng: np.random.Generator
) -> tuple[Recordings, npt.NDArray[np.bool_]]:
    """Soundscapes of held-out recordings, and the truth of their rows (rows, K)."""
    frames = data.clips.spec.fixed_length(SECONDS)
    pieces = (
        quiet_segments(noise, data.clips.spec.fixed_length(PIECE_S)) if bed == "quiet" else None
    )
    codes, truth = [], []
    for _ in range(count):
        at = int(rng.integers(len(noise.names)))
        floor = noise.floors[at].numpy()
        if bed == "floors":
            # A bin's power is the mean of about two exponential ones (learn/mix.py).
            power = floor * rng.gamma(2.0, 0.5, (frames, len(floor)))
        elif pieces is not None:
            power = _end_to_end(noise, at, pieces[1][pieces[0] == at], frames, rng)
        else:
            row = torch.tensor([at])
            power = noise.power(row, torch.zeros_like(row), frames)[0].T.double().numpy()
        level = floor.mean()
        heard = np.zeros((int(SECONDS / ROW_S), data.labels.shape[1]), bool)
        for _ in range(rng.integers(*EVENTS)):
            row = int(rng.choice(data.held_out.numpy()))
            event = _event(data.clips, row, rng)
            at = int(rng.integers(frames - len(event)))
            gain = level / event.mean() * 10 ** (rng.uniform(*SNR_DB) / 10)
            power[at : at + len(event)] += gain * event
            heard[_rows(at, len(event), data.clips.spec.frame_rate)] |= (
                data.labels[row].numpy() >= 1
            )
        codes.append(encode(power.astype(np.float32), 2, data.clips.scale))
        truth.append(heard)
    made = replace(
        data.clips,
        names=tuple(f"made {at}" for at in range(count)),
        codes=torch.from_numpy(np.concatenate(codes)),
        starts=torch.arange(count) * frames,
        lengths=torch.full((count,), frames),
    )
    return made, np.concatenate(truth)


def _end_to_end(
    noise: Recordings, row: int, offsets: torch.Tensor, frames: int, rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Power (frames, M) of quiet pieces of one soundscape, one after the other in random order."""
    piece = noise.spec.fixed_length(PIECE_S)
    drawn = torch.from_numpy(rng.permutation(np.resize(offsets.numpy(), -(-frames // piece))))
    power = noise.power(torch.full_like(drawn, row), drawn, piece).transpose(1, 2)
    return np.asarray(power.reshape(-1, power.shape[2])[:frames].double().numpy())


def _event(clips: Recordings, row: int, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Power (frames, M) of a loud piece of a recording, faded in and out."""
    rate, length = clips.spec.frame_rate, int(clips.lengths[row])
    frames = min(int(rng.uniform(*EVENT_S) * rate), length)
    starts = rng.integers(0, length - frames + 1, 4)
    pieces = clips.power(torch.full((4,), row), torch.from_numpy(starts), frames)
    loudest = pieces[pieces.clamp_min(1e-12).log().mean(dim=(1, 2)).argmax()]
    edge = np.minimum(np.arange(1, frames + 1), np.arange(frames, 0, -1)) / (FADE_S * rate)
    return np.asarray(loudest.T.numpy() * np.minimum(edge, 1)[:, None], np.float32)


def _rows(at: int, frames: int, rate: float) -> list[int]:
    """Rows of a soundscape in which an event is long enough to count."""
    begin, end = at / rate, (at + frames) / rate
    return [
        row
        for row in range(int(SECONDS / ROW_S))
        if min(end, (row + 1) * ROW_S) - max(begin, row * ROW_S) >= HEARD_S
    ]


if __name__ == "__main__":
    main()
