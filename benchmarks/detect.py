"""Detection from files to tables: seconds of audio a second, by models of ours and by BirdNET.

All of it is measured: decoding, resampling, front end, model, events, tables. Models take turns
within a round, so that all meet the same machine. Models of ours are untrained: speed does not
depend on weights, and the threshold is so high that little is found. BirdNET is left out where its
files are not there (docs/recipe.md, [external_teacher]).

python -m benchmarks.detect FOLDER [MODEL...]
"""

import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import soundfile
import torch

from benchmarks.inference import exported
from benchmarks.peak import peak_mb
from birdcore.detection.detect import detect
from birdcore.detection.files import Files, find_recordings
from birdcore.detection.models import Detector, open_detector
from birdcore.detection.settings import DetectSettings
from birdcore.inference.trained_model import ENSEMBLE_FILE, EnsembleSpec

ROUNDS = 3
SETTINGS = DetectSettings(min_conf=0.999)
MANY = " five times"
SUBMISSION_MIN = 700
"""Minutes of soundscapes that a submission to Kaggle predicts, on four cores."""


def write_model(folder: Path, model: str) -> str:
    """One or five models of a backbone, or a teacher's name: what `open_detector` opens."""
    if model == "birdnet":
        return model
    backbone = model.removesuffix(MANY)
    names = [str(number) for number in range(1 if model == backbone else 5)]
    for name in names:
        (folder / name).mkdir(parents=True)
        exported(folder / name, backbone)
    spec = EnsembleSpec(weights={"all": 1.0}, members={"all": tuple(names)})
    (folder / ENSEMBLE_FILE).write_text(spec.model_dump_json())
    return str(folder)


def took_s(files: Files, detector: Detector[Any], threads: int, out: Path) -> float:
    start = time.perf_counter()
    detect(files, detector, SETTINGS, out, threads=threads)
    return time.perf_counter() - start


def main(folder: Path, models: list[str]) -> None:
    cores, files = torch.get_num_threads(), find_recordings([folder])
    with TemporaryDirectory() as scratch:
        runs: dict[str, Callable[[Path], float]] = {}
        for model in models:
            opened = open_detector(write_model(Path(scratch) / "models" / model, model), cores)
            runs[model] = partial(took_s, files, opened, cores)
        seconds = audio_seconds(files)
        times: dict[str, list[float]] = {model: [] for model in models}
        for number in range(ROUNDS):
            for model, run in runs.items():
                times[model].append(run(Path(scratch) / f"out-{model}-{number}"))
    print(f"{seconds:.0f} s of audio, {cores} cores, best of {ROUNDS} rounds")
    print("| model | x real time a core | times the last | 700 min on four cores, min |")
    last = min(times[models[-1]])
    for model, took in times.items():
        speed = seconds / min(took) / cores
        minutes = SUBMISSION_MIN / speed / 4
        print(f"| {model} | {speed:.0f} | {last / min(took):.1f} | {minutes:.1f} |", flush=True)
    print(f"most memory {peak_mb():.0f} MB")


def audio_seconds(files: Files) -> float:
    return float(sum(soundfile.info(files.root / name).duration for name in files.sizes))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(
        Path(sys.argv[1]),
        sys.argv[2:] or ["resnet10t", "tf_efficientnet_b0", "tf_efficientnet_b0" + MANY, "birdnet"],
    )
