"""Whole ensembles on soundscapes of clips that none of their models heard, to choose a setting by.

    python -m experiments.ensemble_validation recipes/mini.toml --data DIR --store STORE --fold 0
    --seeds 6 \
        --either round.1.label.minmax=false round.1.label.minmax=true

A recipe's models each hold out another fold, so that no clip is new to all of them: what makes
them better together than one can't be seen. Here the models of every round all hold out the same
fold and differ in the seed of their training alone. They are judged as in experiments/validation.py
(soundscapes made of the held-out clips), each by itself and by the mean of all, once for each of
the settings after `--either`. Prints a table in Markdown; rounds that the settings share are
trained once.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from birdcore.config import Recipe, read_recipe
from birdcore.features.recordings import Recordings, read_mels
from birdcore.inference.predict import load_predictors
from birdcore.metrics import class_auc
from birdcore.sources.birdclef import scan
from birdcore.sources.source import Source
from birdcore.stages import catalog, clean, folds, label, mel, train
from birdcore.store.artifact import Ref, Step
from birdcore.store.store import Store
from experiments.validation import heard_rows, held_out_data, made_soundscapes
from flows.dag import build_dag

RUNS = {
    "catalog": catalog.run,
    "clean": clean.run,
    "mel": mel.run,
    "folds": folds.run,
    "train": train.run,
    "label": label.run,
}
SOUNDSCAPES = 40
CPU = torch.device("cpu")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--fold", type=int, required=True, help="the fold that all models hold out")
    parser.add_argument("--seeds", type=int, default=6, help="models of a round")
    parser.add_argument("--rounds", nargs="+", help="those to judge; all, if not said")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--either", nargs="+", required=True, metavar="KEY=VALUE")
    parser.add_argument(
        "--beds", nargs="+", choices=["floors", "quiet", "soundscapes"], default=["quiet"]
    )
    options = parser.parse_args()
    store = Store(options.store)
    source = scan(options.data, store)
    beds = options.beds
    columns = [f"{bed}, {what}" for bed in beds for what in ("single models", "together")]
    print(f"| setting | round | {' | '.join(columns)} |")
    print(f"|---|---|{'---|' * len(columns)}", flush=True)
    for setting in options.either:
        changes = [f"folds.train=[{options.fold}]", *options.set, setting]
        recipe = read_recipe(options.recipe, changes)
        models, noise = trained(recipe, source, store, options.seeds)
        for name in options.rounds or models:
            steps = models[name]
            cells = [x for bed in beds for x in scored(recipe, steps, noise, store, bed)]
            row = [setting, name, *(f"{x:.4f}" for x in cells)]
            print(f"| {' | '.join(row)} |", flush=True)


def trained(
    recipe: Recipe, source: Source, store: Store, seeds: int
) -> tuple[dict[str, list[Step]], Recordings]:
    """A round's trainings by its name, one for each seed, and the unlabelled soundscapes."""
    dag = build_dag(recipe, source, store, keep_shards=True)
    wanted = [step for step in dag.steps if step.stage in RUNS]
    models: dict[str, list[Step]] = {}
    for seed in range(seeds):
        for step in of_seed(wanted, seed):
            store.make(step, RUNS[step.stage], resumes=step.stage == "train")
            if step.stage == "train":
                models.setdefault(step.name.split()[1], []).append(step)
    mels = [s for s in wanted if s.stage == "mel" and "train_soundscapes" in s.name]
    return models, read_mels([store.get(s.ref) / "mel.parquet" for s in mels], CPU)


def of_seed(steps: list[Step], seed: int) -> list[Step]:
    """The same steps with trainings of another seed; folds stay as they are."""
    now: dict[Ref, Ref] = {}
    changed = []
    for step in steps:
        inputs = {k: tuple(now[ref] for ref in refs) for k, refs in step.inputs.items()}
        config = step.config | {"seed": seed} if step.stage == "train" else step.config
        changed.append(replace(step, config=config, inputs=inputs))
        now[step.ref] = changed[-1].ref
    return changed


def scored(
    recipe: Recipe, steps: list[Step], noise: Recordings, store: Store, bed: str
) -> tuple[float, float]:
    """Macro ROC-AUC of single models (their mean) and of the mean of what all say."""
    predictors = load_predictors([store.get(step.ref).folder for step in steps])
    data = held_out_data(steps[0], store)
    made, truth = made_soundscapes(data, noise, SOUNDSCAPES, bed, np.random.default_rng(11))
    how = recipe.predict
    said = [heard_rows(one, made, how.output, how.step_s) for one in predictors]
    return float(np.mean([auc(truth, one) for one in said])), auc(truth, np.mean(said, axis=0))


def auc(truth: NDArray[np.bool_], said: NDArray[np.floating]) -> float:
    return float(np.nanmean(class_auc(truth, said)))


if __name__ == "__main__":
    main()
