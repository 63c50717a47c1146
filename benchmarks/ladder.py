"""The winners' recipes in small, and what each of their ideas brings: the ladder.

    python -m benchmarks.ladder --data DIR --archive DIR --work DIR --seeds 3

Runs every recipe below for each seed, in one store a seed (what recipes share is made once),
`--at-once` of them side by side, and writes a table to `benchmarks/results/ladder.md`: macro
ROC-AUC on the labelled soundscapes after each round, of single models and of all together. Beside
it `ladder.csv` has each seed's, for paired differences.
`--archive` is a folder that `birdflow archive` can serve, for the recipe that pretrains on
Xeno-canto; without it that one is left out, as is the outside teacher's where BirdNET is not
installed.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pandas as pd

from birdcore.config import Recipe, read_recipe
from birdcore.demo.archive import KEY, serve
from birdcore.features.columns import stacked
from birdcore.metrics import macro_auc
from birdcore.sources.birdclef import scan
from birdcore.sources.catalog import read_labels
from birdcore.sources.source import Source, extra_sources
from birdcore.stages import predict
from birdcore.store.artifact import Ref
from birdcore.store.files import write_text
from birdcore.store.store import Store
from birdcore.teachers import teacher_named
from experiments.birdnet_reference import birdnet_reference
from flows.dag import Dag, build_dag

OUT = Path(__file__).with_name("results") / "ladder.md"
RECIPES = Path(__file__).parents[1] / "recipes"
STUDENTS = (1, 2, 3)

LADDER: dict[str, tuple[str, tuple[str, ...]]] = {
    "noisy student (1st)": ("noisy-student-mini", ()),
    "the same without power": (
        "noisy-student-mini",
        tuple(f"round.{at}.label.power=1" for at in STUDENTS),
    ),
    "the same, soundscapes beside clips": (
        "noisy-student-mini",
        tuple(f"round.{at}.{s}" for at in STUDENTS for s in ("mix_as=replace", "mix_share=0.5")),
    ),
    "the same, weights by NNLS": ("noisy-student-mini", ("ensemble.weights=nnls",)),
    "the same, NNLS by class": ("noisy-student-mini", ("ensemble.weights=nnls-by-class",)),
    "Xeno-canto pretraining (2nd)": ("xeno-canto-pretraining-mini", ()),
    "soft AUC (4th)": ("soft-auc-mini", ()),
    "self-distillation (5th)": ("self-distillation-mini", ()),
    "outside teacher (2026)": ("external-teacher-mini", ()),
    "probe alone": ("small-data", ('round.probe.probe.prior_share=0',)),
    "probe and its teacher": ("small-data", ()),
    "students of both": ("small-data-student", ()),
}  # fmt: skip

Row: TypeAlias = dict[str, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--archive", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--at-once", type=int, default=1)
    parser.add_argument("--only", nargs="+", choices=LADDER, default=list(LADDER))
    parser.add_argument("--set", metavar="KEY=VALUE", action="append", default=[])
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    lines = [
        "# The ladder: the winners' recipes in small",
        "",
        f"{date.today()}, {os.cpu_count()} cores, {platform.machine()}, {options.seeds} seeds;",
        f"`{' '.join(['python -m benchmarks.ladder', *sys.argv[1:]])}`. Means and their standard",
        "errors over seeds of macro ROC-AUC, the mean of the seeds' bootstrap intervals over",
        "soundscapes, and minutes of work of all steps, with what recipes share counted for each.",
        "",
        "| recipe | round | single model | all models | 95 % over soundscapes | minutes |",
        "|---|---|---|---|---|---|",
    ]
    with archive(options.archive) as site, ThreadPoolExecutor(options.at_once) as pool:
        # All of one recipe's seeds before the next recipe's: a store is one run's at a time.
        climbing = {name: started(options, name, site, pool) for name in options.only}
        of_seeds: list[dict[str, object]] = []
        for name, seeds in climbing.items():
            lines += climbed(options, name, seeds)
            write_text(options.out, "\n".join(lines) + "\n")
            of_seeds += seed_rows(name, seeds)
            pd.DataFrame(of_seeds).to_csv(options.out.with_suffix(".csv"), index=False)
    print("\n".join(lines))


def started(
    options: argparse.Namespace, name: str, site: str | None, pool: ThreadPoolExecutor
) -> list[Future[dict[str, Row]]] | str:
    """A recipe's runs, one for each seed, or why there are none."""
    recipe, changes = LADDER[name]
    if "xeno-canto" in recipe and site is None:
        return "needs --archive"
    if _wants_outside(recipe) and not _has_outside():
        return "needs birdflow[birdnet]"
    settings = [*changes, *options.set]
    if "xeno-canto" in recipe:
        settings += [f"xeno_canto.site={site}", "xeno_canto.per_second=20"]
    return [
        pool.submit(climb, options, recipe, settings, seed, name) for seed in range(options.seeds)
    ]


def climbed(
    options: argparse.Namespace, name: str, seeds: list[Future[dict[str, Row]]] | str
) -> list[str]:
    """Lines of the table for one recipe, when its runs have ended."""
    if isinstance(seeds, str):
        return [f"| {name} | left out: {seeds} | | | | |"]
    recipe, _ = LADDER[name]
    lines = list(table(name, [seed.result() for seed in seeds]))
    if _wants_outside(recipe):
        score = zero_shot(options.data, Store(options.work / "seed-0" / "store"), recipe)
        lines.append(f"| the outside teacher itself, zero-shot | | {score:.4f} | | | |")
    return lines


def seed_rows(name: str, seeds: list[Future[dict[str, Row]]] | str) -> Iterator[dict[str, object]]:
    for seed, climbed in enumerate([] if isinstance(seeds, str) else seeds):
        for round_name, row in climbed.result().items():
            yield {"recipe": name, "round": round_name, "seed": seed} | row


def zero_shot(data: Path, store: Store, name: str) -> float:
    """Macro ROC-AUC of what the outside teacher hears in rows of 5 s, unsmoothed."""
    recipe = read_recipe(RECIPES / f"{name}.toml")
    (teacher,) = recipe.external_teacher
    source = scan(data, store)
    reference = birdnet_reference(source, store, "test_soundscapes", recipe.clean, teacher.hop_s)
    truth = pd.read_csv(data / recipe.score.truth).set_index("row_id")[reference.labels]
    stem_of = {Path(name).stem: name for name in reference.names}
    names = [stem_of[row.rpartition("_")[0]] for row in truth.index]
    said = reference.rows(names, [float(row.rpartition("_")[2]) for row in truth.index])
    known = reference.columns >= 0
    return macro_auc(truth.to_numpy()[:, known] > 0, said[:, known])


@contextmanager
def archive(folder: Path | None) -> Iterator[str | None]:
    """An archive of the recordings in a folder, and its address."""
    if folder is None:
        yield None
        return
    with serve(folder) as served:
        os.environ["XENO_CANTO_KEY"] = KEY
        yield served.url


def climb(
    options: argparse.Namespace, recipe: str, settings: list[str], seed: int, name: str
) -> dict[str, Row]:
    """Scores of each round and of the ensemble, of one seed."""
    folder = options.work / f"seed-{seed}"
    out = folder / name.replace(" ", "-")
    path, changes = RECIPES / f"{recipe}.toml", [f"seed={seed}", *settings]
    command = [sys.executable, "-m", "flows.cli", "run", str(path), "--data", str(options.data)]
    command += ["--store", str(folder / "store"), "--out", str(out)]
    command += ["--collection", str(options.work / "collection")]
    command += [word for change in changes for word in ("--set", change)]
    out.mkdir(parents=True, exist_ok=True)
    with (out / "log.txt").open("w") as log:
        subprocess.run(command, check=True, stdout=log, stderr=log)
    store = Store(folder / "store")
    chosen = read_recipe(path, changes)
    source = scan(options.data, store)
    found = extra_sources(chosen, source, options.work / "collection", store)
    dag = build_dag(chosen, source, store, found, keep_shards=False)
    scores: dict[str, Row] = json.loads((out / "scores.json").read_text())
    singles = single_models(chosen, source, dag, store)
    minutes = sum(store.get(step.ref).manifest.took_s for step in dag.steps) / 60
    rows = {
        name: {key: s[key] for key in ("macro_auc", "macro_auc_low", "macro_auc_high")}
        | {"single": singles.get(name, np.nan), "minutes": minutes}
        for name, s in scores.items()
    }
    print(f"{name}, seed {seed}: {rows}", file=sys.stderr, flush=True)
    return rows


def single_models(recipe: Recipe, source: Source, dag: Dag, store: Store) -> dict[str, float]:
    """Macro ROC-AUC of a single model, the mean over those of a round."""
    (cataloged,) = (store.get(step.ref) for step in dag.steps if step.stage == "catalog")
    truth = pd.read_csv(source.root / recipe.score.truth).set_index("row_id")
    truth = truth[list(read_labels(cataloged))]
    tests = [s.ref for s in dag.steps if s.stage == "mel" and "test_soundscapes" in s.name]
    scores = {}
    for one in recipe.classifier_rounds:
        models = [step.ref for step in dag.steps if step.name.startswith(f"train {one.name} ")]
        if not models:  # a probe, which predicts in a moment and is not shown by itself
            continue
        aucs = [_score(recipe, one.name, model, tests, store, truth) for model in models]
        scores[one.name] = float(np.mean(aucs))
    return scores


def _score(
    recipe: Recipe, name: str, model: Ref, tests: list[Ref], store: Store, truth: pd.DataFrame
) -> float:
    tables = []
    for at, mel in enumerate(tests):
        step = predict.step(name, at, (model,), mel, recipe.predict)
        tables.append(pd.read_parquet(store.make(step, predict.run) / "predictions.parquet"))
    said = pd.concat(tables)
    rows = [f"{Path(r).stem}_{end}" for r, end in zip(said["recording"], said["end"], strict=True)]
    return macro_auc(truth.loc[rows].to_numpy() > 0, stacked(said["probabilities"], np.float64))


def table(name: str, seeds: list[dict[str, Row]]) -> Iterator[str]:
    """A line for each round: mean over seeds, with the standard error of that mean."""
    for at, round_name in enumerate(seeds[0]):
        of_seeds = pd.DataFrame([seed[round_name] for seed in seeds])
        mean, error = of_seeds.mean(), of_seeds.std() / len(of_seeds) ** 0.5
        single = "" if np.isnan(mean["single"]) else f"{mean['single']:.4f} ± {error['single']:.4f}"
        cells = [
            name if at == 0 else "",
            round_name,
            single,
            f"{mean['macro_auc']:.4f} ± {error['macro_auc']:.4f}",
            f"{mean['macro_auc_low']:.3f} to {mean['macro_auc_high']:.3f}",
            f"{mean['minutes']:.1f}" if at == 0 else "",
        ]
        yield f"| {' | '.join(cells)} |"


def _wants_outside(recipe: str) -> bool:
    return len(read_recipe(recipe).external_teacher) == 1


def _has_outside() -> bool:
    try:
        teacher_named("birdnet")
    except ValueError:
        return False
    return True


if __name__ == "__main__":
    main()
