"""Settings compared on unlabelled soundscapes, with BirdNET predictions as reference labels.

    python -m experiments.birdnet_reference recipes/mini.toml --data DIR --work DIR \
        --either round.1.label.minmax=false round.1.label.minmax=true

Soundscapes made of clips differ from those that a model is used on, and the labelled test set is
for scoring alone. BirdNET labels unlabelled soundscapes well. So half of these (--half 0 or 1:
every other one) become a test set, whose truth is what BirdNET gives at least .1, and the recipe
runs on a data folder that has the other half only: its students never saw what they are judged
on, and learn nothing from BirdNET. Prints a table in Markdown: macro ROC-AUC by round over the rows
of 5 s, with an interval over soundscapes.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from birdcore.config import Clean
from birdcore.sources.birdclef import scan
from birdcore.sources.shards import shards
from birdcore.sources.source import Source
from birdcore.stages import catalog, clean
from birdcore.stages import external_teacher as outside
from birdcore.store.store import Store
from birdcore.teachers import teacher_named
from birdcore.teachers.external_teacher import species_columns
from birdcore.teachers.outputs import TeacherOutputs, read_outputs

ROW_S = 5
SURE = 0.1
HOP_S = 1.5
SHARD = 32


@dataclass(frozen=True)
class Reference:
    """What BirdNET heard of some recordings, and where it knows each class, or -1."""

    names: list[str]
    heard: TeacherOutputs
    columns: NDArray[np.int64]
    labels: list[str]

    def rows(self, names: Sequence[str], ends: Sequence[float]) -> NDArray[np.float32]:
        """Probabilities (rows, K) of 5 s; nan of a class that it does not know."""
        at = torch.tensor([self.names.index(name) for name in names])
        begin = torch.tensor([float(end) - ROW_S for end in ends])
        said = self.heard.probability(at, begin, float(ROW_S)).numpy()
        of_all = np.full((len(at), len(self.columns)), np.nan, np.float32)
        of_all[:, self.columns >= 0] = said[:, self.columns[self.columns >= 0]]
        return of_all


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--half", type=int, nargs="+", choices=[0, 1], default=[0, 1])
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--either", nargs="+", required=True, metavar="KEY=VALUE")
    options = parser.parse_args()
    store = Store(options.work / "reference")
    reference = birdnet_reference(scan(options.data, store), store, "train_soundscapes", Clean())
    print("| half | setting | round | macro ROC-AUC | 95 % interval | classes |")
    print("|---|---|---|---|---|---|", flush=True)
    for half in options.half:
        folder = halved(options.data, options.work / f"half-{half}", reference, half)
        for at, setting in enumerate(options.either):
            out = options.work / f"out-{half}-{at}"
            changes = [*options.set, setting]
            command = [sys.executable, "-m", "flows.cli", "run", str(options.recipe)]
            command += ["--data", str(folder), "--store", str(options.work / f"store-{half}")]
            command += ["--out", str(out)]
            command += [word for change in changes for word in ("--set", change)]
            subprocess.run(command, check=True, stdout=sys.stderr)
            for name, s in json.loads((out / "scores.json").read_text()).items():
                interval = f"{s['macro_auc_low']:.3f} to {s['macro_auc_high']:.3f}"
                cells = [half, setting, name, f"{s['macro_auc']:.4f}", interval]
                print(f"| {' | '.join(map(str, cells))} | {s['classes_scored']} |", flush=True)


def birdnet_reference(
    source: Source, store: Store, kind: str, settings: Clean, hop_s: float = HOP_S
) -> Reference:
    """BirdNET predictions for all recordings of a kind."""
    teacher = teacher_named("birdnet")
    cataloged = store.make(catalog.step(source), catalog.run)
    species = pd.read_parquet(cataloged / "species.parquet")
    wanted, paths, names = list(species["scientific_name"]), [], []
    for shard in shards(source.subsets, store, SHARD, keep=False)[kind]:
        cleaned = clean.step(shard, settings, source.overrides, source.root)
        store.make(cleaned, clean.run)
        step = outside.step(shard, cleaned.ref, teacher, hop_s, wanted, settings, source.root)
        paths.append(store.make(step, outside.run) / "heard.parquet")
        names += [file.path for file in shard.files]
    heard = read_outputs(paths, names)
    columns = species_columns(heard.info.species, wanted)
    return Reference(names, heard, columns, list(species["label"]))


def halved(data: Path, folder: Path, reference: Reference, half: int) -> Path:
    """A data folder whose test set is half of the unlabelled soundscapes."""
    for kind in ("train_soundscapes", "test_soundscapes"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    for name in ("train.csv", "taxonomy.csv", "train_audio"):
        link(folder / name, data / name)
    tests = []
    for at, name in enumerate(sorted(reference.names)):
        is_test = at % 2 == half
        kind = "test_soundscapes" if is_test else "train_soundscapes"
        link(folder / kind / Path(name).name, data / name)
        tests += [name] if is_test else []
    pairs = [(n, end) for n in tests for end in range(ROW_S, seconds(reference, n) + 1, ROW_S)]
    truth = reference.rows(*zip(*pairs, strict=True)) >= SURE
    rows = pd.Index([f"{Path(name).stem}_{end}" for name, end in pairs], name="row_id")
    table = pd.DataFrame(truth.astype(int), rows, reference.labels)
    table.to_csv(folder / "test_soundscapes_labels.csv")
    (table * 0.0).to_csv(folder / "sample_submission.csv")
    return folder


def seconds(reference: Reference, name: str) -> int:
    """How long a recording is, as far as its last window goes."""
    row = reference.names.index(name)
    last = int(reference.heard.first[row] + reference.heard.count[row]) - 1
    return int(round(float(reference.heard.starts[last]) + reference.heard.info.window_s, 3))


def link(at: Path, to: Path) -> None:
    at.unlink(missing_ok=True)
    at.symlink_to(to.absolute())


if __name__ == "__main__":
    main()
