"""Bats: recordings of 256 kHz, and of 384 kHz ten times slowed down, go from a folder to scores.

A drill, because these are two whole runs that have to learn something.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile as sf

from birdcore.check.inspect import check_folder
from birdcore.check.machine import Machine
from birdcore.config import read_recipe
from birdcore.detection import DetectSettings, find_recordings, open_detector
from birdcore.detection.detect import detect
from birdcore.metrics import macro_auc
from birdcore.sources.data_folder import read_data
from birdcore.stages.table import make
from birdcore.store.artifact import Artifact
from birdcore.store.job import no_progress
from birdcore.store.store import Store
from flows.dag import build_dag
from flows.model_files import model_files
from flows.result_folder import replace_results

SECONDS = 1.0
FORMS = {"256 kHz": (256_000, 1), "384 kHz, ten times slower": (384_000, 10)}
SETTINGS = (
    'data.test=["*/7.wav","*/8.wav"]', 'round.0.backbones=["test_resnet"]', "round.0.epochs=6",
    "train.repeat=8", "train.batch=16", "train.ema=0.0", "train.warmup=0.0", "folds.train=[0]",
    "train.frequency_channel=false", "export.onnx=false",
)  # fmt: skip


def call(species: str, rate: int) -> np.ndarray:
    """A steep sweep from 90 to 45 kHz, or a long tone of 82 kHz."""
    if species == "sweeping":
        t = np.arange(int(0.006 * rate)) / rate
        hz = 45e3 + 45e3 * np.exp(-t / 0.0015)
    else:
        hz = np.full(int(0.02 * rate), 82e3)
    return np.hanning(len(hz)) * np.sin(2 * np.pi * np.cumsum(hz) / rate)


def write_bats(root: Path, rate: int, slower: int) -> Path:
    """Two species of nine recordings: calls ten times a second, in noise."""
    rng = np.random.default_rng(1)
    for species in ("sweeping", "toning"):
        (root / species).mkdir(parents=True)
        for number in range(9):
            samples = 0.01 * rng.standard_normal(int(SECONDS * rate))
            for at in np.arange(rng.uniform(0, 0.1), SECONDS - 0.05, 0.1):
                own, first = call(species, rate) * rng.uniform(0.05, 0.3), int(at * rate)
                samples[first : first + len(own)] += own
            sf.write(root / species / f"{number}.wav", samples, rate // slower)
    (root / "classes.csv").write_text("label,group\nsweeping,bats\ntoning,bats\n")
    return root


@dataclass(frozen=True)
class Made:
    root: Path
    slower: int
    recipe: str
    artifacts: dict[str, Artifact]
    model: Path


@pytest.fixture(scope="module", params=FORMS)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A run by the starter recipe that `birdflow check` writes, with a smaller net."""
    top = tmp_path_factory.mktemp("bats")
    rate, slower = FORMS[request.param]
    root, store = write_bats(top / "data", rate, slower), Store(top / "store")
    text = check_folder(root, machine=Machine(2, 8 * 2**30)).recipe
    path = top / "starter.toml"
    path.write_text(text)
    recipe = read_recipe(path, SETTINGS)
    dag = build_dag(recipe, read_data(root, store, recipe), store, keep_shards=True)
    artifacts = {step.name: make(step, store, no_progress, refresh=False) for step in dag.steps}
    replace_results(top / "out", model_files(dag, store))
    return Made(root, slower, text, artifacts, top / "out")


def test_the_starter_recipe_hears_bats(made: Made) -> None:
    assert "f_max = 125000" in made.recipe
    assert ("speed = 10  # assumed" in made.recipe) == (made.slower == 10)
    crop_s = 1 if made.slower == 1 else 10  # seconds of the file
    assert f"crop_s = {crop_s}\n" in made.recipe


def test_nothing_is_cut_or_rejected(made: Made) -> None:
    cleaned = [one for name, one in made.artifacts.items() if name.startswith("clean")]
    assert sum(one.metrics["rejected"] for one in cleaned) == 0  # type: ignore[misc]
    assert sum(one.metrics["cut_s"] for one in cleaned) == 0  # type: ignore[misc]


def test_held_out_recordings_are_told_apart(made: Made) -> None:
    aucs = made.artifacts["ensemble"].metrics["held_out_auc"]
    assert aucs["ensemble"] > 0.9  # type: ignore[index]


def test_recordings_of_the_test_are_told_apart(made: Made) -> None:
    rows = pd.read_csv(made.artifacts["submission"] / "submission.csv", index_col="row_id")
    assert len(rows) == (4 if made.slower == 1 else 8)  # of 5 s of the file
    truth = np.array([[row.startswith(label) for label in rows.columns] for row in rows.index])
    assert macro_auc(truth, rows.to_numpy()) > 0.9


def test_the_page_shows_them(made: Made) -> None:
    page = (made.artifacts["report"] / "index.html").read_text()
    assert "sweeping" in page
    assert "data:image/png" in page


def test_detections_are_in_seconds_of_the_file(made: Made, tmp_path: Path) -> None:
    progress = detect(
        find_recordings([made.root / "toning" / "8.wav", made.root / "sweeping" / "8.wav"]),
        open_detector(made.model),
        DetectSettings(min_conf=0.01),
        tmp_path / "detections",
        rtypes=("csv",),
    )
    assert progress.files == 2
    found = pd.read_csv(tmp_path / "detections" / "detections.csv")
    assert len(found)
    assert found["End (s)"].max() <= SECONDS * made.slower + 0.5
    best = found.pivot_table("Confidence", "File", "Common name", "max", fill_value=0)
    assert all(name in str(best[name].idxmax()) for name in ("sweeping", "toning"))
