"""How near a teacher's labels are to the truth, by setting: on soundscapes of held-out clips.

    python -m experiments.labels recipes/mini.toml --data DIR --store STORE [--round student]

Each teacher labels soundscapes that are made of clips it never trained on, over quiet pieces of the
unlabelled ones (experiments/validation.py), in segments as the round asks for them. Labels are
judged by binary cross-entropy and squared error against the truth of the segment, which are least
where labels are probabilities; ROC-AUC is over all cells, so that classes must agree on a scale.
Prints a table in Markdown: the mean over the teachers of all folds.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from birdcore.config import Round, read_recipe
from birdcore.features.recordings import read_mels
from birdcore.inference.predict import load_predictors, predict_recording
from birdcore.inference.window_batches import Recording
from birdcore.inference.windows import segment_mean
from birdcore.pseudo_labels.soft import (
    high_low_mask,
    minmax_by_class,
    power_transform,
    segment_starts,
)
from birdcore.sources.birdclef import scan
from birdcore.store.store import Store
from experiments.validation import SECONDS, held_out_data, made_soundscapes
from flows.dag import Dag, build_dag

Table = NDArray[np.float64]
WAYS: dict[str, Callable[[Table], tuple[Table, NDArray[np.bool_]]]] = {
    "as they are": lambda p: (p, np.ones(p.shape, bool)),
    "to the power 1.5": lambda p: (power_transform(p, 1.5), np.ones(p.shape, bool)),
    "stretched for each class": lambda p: (minmax_by_class(p), np.ones(p.shape, bool)),
    "at least .5 or at most .1 alone": lambda p: (p, high_low_mask(p, 0.5, 0.1)),
    "at least .3 or at most .1 alone": lambda p: (p, high_low_mask(p, 0.3, 0.1)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--set", metavar="KEY=VALUE", action="append", default=[])
    parser.add_argument("--count", type=int, default=40, help="soundscapes of a fold")
    options = parser.parse_args()
    store = Store(options.store)
    recipe = read_recipe(options.recipe, options.set)
    dag = build_dag(recipe, scan(options.data, store), store, keep_shards=False)
    student = next(one for one in recipe.round if one.teacher is not None)
    found = {name: [] for name in WAYS}
    for p, truth in heard(dag, store, student, options.count):
        for name, way in WAYS.items():
            found[name].append(judged(*way(p), truth))
    print("| labels | cross-entropy | squared error | ROC-AUC of all cells | cells that count |")
    print("|---|---|---|---|---|")
    for name, rows in found.items():
        print(f"| {name} | {' | '.join(f'{x:.4f}' for x in np.mean(rows, axis=0))} |")


def heard(dag: Dag, store: Store, student: Round, count: int):
    """For each teacher what it says of segments, and their truth, both (S, K)."""
    cpu = torch.device("cpu")
    mels = [s for s in dag.steps if s.stage == "mel" and "train_soundscapes" in s.name]
    noise = read_mels([store.get(step.ref) / "mel.parquet" for step in mels], cpu)
    settings = student.label
    segment_s = settings.segment_s or min(5.0, student.crop_s)
    hop_s = segment_s * (1 - settings.overlap)
    for step in dag.steps:
        if not step.name.startswith(f"train {student.teacher} "):
            continue
        (teacher,) = load_predictors([store.get(step.ref).folder])
        data = held_out_data(step, store)
        made, truth = made_soundscapes(data, noise, count, "quiet", np.random.default_rng(11))
        starts = segment_starts(SECONDS, segment_s, hop_s)
        said, told = [], []
        for at, of_rows in enumerate(np.split(truth, count)):
            recording = Recording(made, at)
            cells, step_s = recording.cells, settings.step_s or hop_s
            blocks = predict_recording([teacher], recording, step_s, settings.output)
            ends = starts + segment_s
            said.append(segment_mean(blocks, cells.count, cells.rate, starts, ends))
            # A segment has what the row of 5 s around its middle has.
            told.append(of_rows[np.minimum((starts + segment_s / 2) // 5, 11).astype(int)])
        yield np.concatenate(said).astype(np.float64), np.concatenate(told)


def judged(labels: Table, counts: NDArray[np.bool_], truth: NDArray[np.bool_]) -> list[float]:
    y, p = truth[counts], labels[counts].clip(1e-3, 1 - 1e-3)
    entropy = -(y * np.log(p) + ~y * np.log(1 - p)).mean()
    return [entropy, ((y - p) ** 2).mean(), roc_auc_score(y, p), counts.mean()]


if __name__ == "__main__":
    main()
