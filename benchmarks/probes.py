"""What a probe costs at the size of a competition: 10,000 clips, 206 classes.

    python -m benchmarks.probes STORE [--clips 10000] [--classes 206] [--windows 20]

STORE holds outputs of an external teacher, as a run of recipe small-data leaves them. Clips are
invented from their windows, so that embeddings have a real spectrum, on which the number of a
solver's steps hangs: each is a run of real windows, moved in a direction of its class. Soundscapes
are a tenth as many clips, of 40 windows. Written and read as a run does it, then trained by the
settings of recipe small-data, fold by fold.
"""

import argparse
import time
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from benchmarks.peak import peak_mb
from birdcore.config import read_recipe
from birdcore.config.probe import ProbeConfig
from birdcore.stages import probe
from birdcore.teachers.external_teacher import Credit
from birdcore.teachers.outputs import TeacherInfo, read_outputs, write_outputs
from birdcore.training.probe import train_probe
from birdcore.training.probe_set import ProbeFiles, read_probe_set

RECIPE = Path(__file__).parents[1] / "recipes" / "small-data.toml"
WINDOW_S, HOP_S, FOLDS, SHARDS = 3.0, 1.5, 5, 20
SOUNDSCAPE_WINDOWS = 40
MOVED = 0.5
"""How far a class is moved, in deviations of the embeddings' numbers."""

Halves = NDArray[np.float16]


def real_windows(store: Path) -> Halves:
    """Embeddings (S, D) of all that a store's teacher heard."""
    paths = sorted(store.glob("external_teacher/*/heard.parquet"))
    names = [
        list(pd.read_parquet(path, columns=["recording"])["recording"].unique()) for path in paths
    ]
    return np.concatenate(
        [
            read_outputs([path], own).embeddings.numpy()
            for path, own in zip(paths, names, strict=True)
        ]
    )


def written(
    folder: Path, real: Halves, clips: int, classes: int, windows: int, rng: np.random.Generator
) -> ProbeFiles:
    labels = tuple(f"c{number:03}" for number in range(classes))
    info = TeacherInfo(WINDOW_S, labels, Credit("Invented", "nobody", "CC0", "", ""))
    moves = rng.normal(0, MOVED, (classes, real.shape[1])) * real.std(axis=0, dtype=np.float32)

    def shard(path: Path, names: list[str], own: NDArray[np.int64], count: int) -> Path:
        first = rng.integers(0, len(real) - count, len(names))
        embeddings = real[(first[:, None] + np.arange(count)).ravel()].astype(np.float32)
        embeddings += np.repeat(moves[own], count, axis=0)
        said = rng.random((len(embeddings), classes)) ** 8
        starts = np.tile(np.arange(count) * HOP_S, len(names))
        write_outputs(
            path, info, list(np.repeat(names, count)), starts, embeddings.astype(np.float16),
            said.astype(np.float16),
        )  # fmt: skip
        return path

    of_class = rng.integers(0, classes, clips)
    names = [f"clips/{number:06}.ogg" for number in range(clips)]
    recordings = pd.DataFrame({"recording": names})
    recordings["primary_label"] = [labels[one] for one in of_class]
    recordings["secondary_labels"] = [[]] * clips
    recordings["rating"] = np.nan
    pd.DataFrame({"label": labels, "scientific_name": labels}).to_parquet(
        folder / "species.parquet"
    )
    parts = np.array_split(np.arange(clips), SHARDS)
    far = [f"soundscapes/{number:06}.ogg" for number in range(clips // 10)]
    anything = rng.integers(0, classes, len(far))
    return ProbeFiles(
        classes=labels,
        species=folder / "species.parquet",
        recordings=recordings.set_index("recording", drop=False),
        folds=pd.Series(rng.integers(0, FOLDS, clips), index=names),
        clips=[
            shard(folder / f"clips-{at}", [names[row] for row in part], of_class[part], windows)
            for at, part in enumerate(parts)
        ],
        soundscapes=[shard(folder / "soundscapes", far, anything, SOUNDSCAPE_WINDOWS)],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store", type=Path)
    parser.add_argument("--clips", type=int, default=10_000)
    parser.add_argument("--classes", type=int, default=206)
    parser.add_argument("--windows", type=int, default=20)
    parser.add_argument("--folds", type=int, default=1)
    options = parser.parse_args()
    (settings,) = read_recipe(RECIPE).round
    torch.manual_seed(0)
    with TemporaryDirectory() as folder:
        files = written(
            Path(folder), real_windows(options.store), options.clips, options.classes,
            options.windows, np.random.default_rng(0),
        )  # fmt: skip
        print(
            "| fold | windows | read, s (core-s) | trained, s (core-s) | held-out AUC | peak, MB |"
        )
        print("|---|---|---|---|---|---|")
        for fold in range(options.folds):
            step = probe.step(settings, fold, 0, {})
            config = ProbeConfig.model_validate({**step.config, "hop_s": HOP_S})
            clocks = [(time.perf_counter(), time.process_time())]
            data = read_probe_set(files, config)
            clocks.append((time.perf_counter(), time.process_time()))
            trained = train_probe(data, files.classes, config, lambda *_: None)
            clocks.append((time.perf_counter(), time.process_time()))
            read, took = (
                f"{now[0] - before[0]:.0f} ({now[1] - before[1]:.0f})"
                for before, now in pairwise(clocks)
            )
            windows = len(data.predictions.outputs.starts)
            print(
                f"| {fold} | {windows} | {read} | {took} | {trained.auc:.4f} | {peak_mb():.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
