"""The most memory that a process takes for one long recording, stage by stage.

    python -m benchmarks.memory [--hours 24] [--rate 48000] [--kind test_soundscapes] [--work DIR]

Each stage runs in a process of its own. DIR/KIND may hold recordings; where there are none, a FLAC
is made. Two untrained models of 206 classes predict; what they hear is no matter here.
Where DIR is kept, stages that it has are not made again.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import soundfile as sf
import torch

from benchmarks.peak import peak_mb
from birdcore.config import Clean, Mel, Predict
from birdcore.models.input import InputSpec, save_input
from birdcore.models.sed import ModelSpec, SedModel, save_model
from birdcore.sources.birdclef_layout import LAYOUTS
from birdcore.sources.shards import Shard
from birdcore.sources.source import SourceFile
from birdcore.stages import clean, fingerprint, mel, predict
from birdcore.store.artifact import Metrics, Ref, Step
from birdcore.store.files import file_sha256
from birdcore.store.store import Job, Store

CLASSES = tuple(f"species{at}" for at in range(206))
STEP_S = 5.0

Run = Callable[[Job], Metrics]


def make_recording(path: Path, hours: float, rate: int) -> None:
    """Two seconds of noise and a tone at the beginning of each minute."""
    time_s = np.arange(60 * rate) / rate
    sound = 0.3 * np.sin(2 * np.pi * 3_000 * time_s)
    sound += 0.05 * np.random.default_rng(0).standard_normal(len(time_s))
    minute = np.where(time_s < 2, sound, 0)
    path.parent.mkdir(parents=True, exist_ok=True)
    with sf.SoundFile(path, "w", rate, 1, format="FLAC") as file:
        for _ in range(round(60 * hours)):
            file.write(minute)


def model(store: Store, seed: int) -> Ref:
    shape = ModelSpec(backbone="test_resnet", classes=CLASSES, n_mels=128, dropout=0.0)
    mel = Mel()
    scale = mel.spec().scale(mel.dtype)
    reads = InputSpec(mel=mel.spec(), scale=scale, frames=313, normalise="floor", top_db=80.0)

    def run(job: Job) -> Metrics:
        torch.manual_seed(seed)
        save_model(job.folder, SedModel(shape).eval(), shape)
        save_input(job.folder, reads)
        return {}

    return store.make(Step("train", 1, f"train {seed}", {"seed": seed}), run).ref


def stages(work: Path, kind: str, store: Store) -> dict[str, tuple[Step, Run]]:
    paths = sorted((work / kind).iterdir())
    files = (SourceFile(f"{kind}/{p.name}", p.stat().st_size, file_sha256(p)) for p in paths)
    shard = Shard(kind, 0, tuple(files), LAYOUTS[0].folders[kind])
    cleaning = clean.step(shard, Clean(), {}, work)
    mels = mel.step(shard, cleaning.ref, Mel(), Clean(), work)
    models = tuple(model(store, seed) for seed in range(2))
    predicting = predict.step("one", 0, models, mels.ref, Predict(step_s=STEP_S))
    return {
        "clean": (cleaning, clean.run),
        "mel": (mels, mel.run),
        "fingerprint": (fingerprint.step(shard, work), fingerprint.run),
        "predict": (predicting, predict.run),
    }


def make(work: Path, kind: str, stage: str) -> None:
    """One stage in this process, and what it took."""
    store = Store(work / "store")
    step, run = stages(work, kind, store)[stage]
    before, start = peak_mb(), time.process_time()
    artifact = store.make(step, run)
    took = time.process_time() - start
    metrics = ", ".join(f"{value} {name}" for name, value in artifact.metrics.items() if value)
    print(f"| {stage} | {before:,.0f} | {peak_mb():,.0f} | {took:,.0f} | {metrics} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--hours", type=float, default=24)
    parser.add_argument("--rate", type=int, default=48_000)
    parser.add_argument("--kind", default="test_soundscapes", choices=LAYOUTS[0].folders)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--stage")
    asked = parser.parse_args()
    if asked.stage:
        make(asked.work, asked.kind, asked.stage)
        return
    with TemporaryDirectory() as folder:
        work = asked.work or Path(folder)
        if not (work / asked.kind).exists():
            make_recording(work / asked.kind / "long.flac", asked.hours, asked.rate)
        print("| stage | MB at its start | MB at most | core-seconds | made |")
        print("|---|---|---|---|---|", flush=True)
        for stage in ("clean", "mel", "fingerprint", "predict"):
            command = [sys.executable, "-m", "benchmarks.memory", "--kind", asked.kind]
            command += ["--work", str(work), "--stage", stage]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
