"""Other front ends than the mel, from recordings to a submission, a model in hand and a page.

A drill, because they are whole runs with exports; each front end has tests of its own.
"""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from birdcore.config import read_recipe
from birdcore.detection.models import open_detector
from birdcore.export.bundle import write_bundle
from birdcore.features.scale import ValueScale
from birdcore.features.shard_reader import MelShard
from birdcore.inference.onnx_file import ONNX_FILE
from birdcore.inference.trained_model import ENSEMBLE_FILE, FOLDER, EnsembleSpec, load_model
from birdcore.models.input import load_input
from birdcore.sources.birdclef import scan
from birdcore.stages.table import load_run
from birdcore.store.artifact import Artifact
from birdcore.store.store import Store
from flows.dag import build_dag

ONE_FOLD = "folds.train=[0]"
SHORT = [ONE_FOLD, "round.0.epochs=1", "round.0.filter.probability=1", "round.0.band.probability=1"]


def made(recipe: Path, settings: list[str], data: Path, store: Store) -> dict[str, Artifact]:
    """The last artifact of each stage of a recipe."""
    dag = build_dag(read_recipe(recipe, settings), scan(data, store), store, keep_shards=True)
    return {step.stage: store.make(step, load_run(step.stage)) for step in dag.steps}


def run_of(model: Path, run: Path) -> Path:
    """A run's results with this model."""
    shutil.copytree(model, run / FOLDER / "one")
    shutil.copy(model / "ATTRIBUTION.csv", run)
    ensemble = EnsembleSpec(weights={"one": 1.0}, members={"one": ("one",)})
    (run / FOLDER / ENSEMBLE_FILE).write_text(ensemble.model_dump_json())
    return run


@pytest.fixture(scope="module")
def one_round(tiny_recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    before, _, _ = tiny_recipe.read_text().partition('[[round]]\nname = "second"')
    path = tmp_path_factory.mktemp("recipe") / "one.toml"
    path.write_text(before)
    return path


def test_two_front_ends_are_channels_from_recordings_to_submission(
    one_round: Path, tiny_data: Path, tmp_path: Path
) -> None:
    store = Store(tmp_path / "store")
    settings = ['mel.features=["mel", "stft"]', "round.0.noise.probability=1", *SHORT]
    found = made(one_round, settings, tiny_data, store)
    shard = MelShard.open(found["mel"] / "mel.parquet")
    assert (shard.spec.name, shard.spec.bins) == ("mel+stft", 64)
    table = pd.read_csv(found["submission"] / "submission.csv")
    assert table.drop(columns="row_id").to_numpy().std() > 0
    assert "<img" in next(found["report"].folder.glob("*.html")).read_text()

    folder = found["train"].folder
    assert load_input(folder).shape[:2] == (2, 32)
    recording = next((tiny_data / "test_soundscapes").glob("*.ogg"))
    by_torch = load_model(folder, "torch").predict(recording)
    assert open_detector(folder, engine="torch").species
    write_bundle(run_of(folder, tmp_path / "run"), tmp_path / "bundle")
    in_bundle = load_model(tmp_path / "bundle").predict(recording)
    pd.testing.assert_frame_equal(by_torch, in_bundle, atol=1e-4)


def test_pcen_trains_with_what_needs_no_power(
    one_round: Path, tiny_data: Path, tmp_path: Path
) -> None:
    settings = [
        ONE_FOLD, 'mel.features=["pcen"]', "round.0.mixup.probability=0", "round.0.epochs=1",
        "round.0.shift.probability=1", "round.0.padding.probability=1", "round.0.reverse=0.5",
    ]  # fmt: skip
    store = Store(tmp_path / "store")
    chosen = read_recipe(one_round, settings)
    steps = build_dag(chosen, scan(tiny_data, store), store, keep_shards=True).steps
    wanted = [step for step in steps if step.stage in ("catalog", "folds", "clean", "mel", "train")]
    model = [store.make(step, load_run(step.stage)) for step in wanted][-1]
    assert model.manifest.stage == "train"
    assert isinstance(load_input(model.folder).scale, ValueScale)
    recording = next((tiny_data / "test_soundscapes").glob("*.ogg"))
    table = load_model(model.folder, "torch").predict(recording)
    assert table.drop(columns=["recording", "start", "end"]).to_numpy().std() > 0


def test_samples_train_export_and_predict(one_round: Path, tiny_data: Path, tmp_path: Path) -> None:
    before, _, rest = one_round.read_text().partition("[mel]")
    recipe = tmp_path / "wave.toml"
    after = rest.partition("\n[")[2]
    recipe.write_text(f'{before}[mel]\nfeatures = ["wave"]\nhop_length = 1024\n\n[{after}')
    settings = [
        ONE_FOLD, 'round.0.backbones=["conv_wave"]', "round.0.epochs=2",
        "round.0.mask.frequency_masks=0",
        "round.0.sumix.probability=0.5", "round.0.gain_db=3", "round.0.loud_crops=0.5",
        "round.0.background.probability=0.5", 'round.0.background.source="soundscapes"',
        "round.0.shift.probability=0.5", "round.0.padding.probability=0.5", "export.onnx=true",
    ]  # fmt: skip
    found = made(recipe, settings, tiny_data, Store(tmp_path / "store"))
    shard = MelShard.open(found["mel"] / "mel.parquet")
    assert (shard.spec.name, shard.spec.bins) == ("wave", 1024)
    assert found["export"].manifest.metrics["difference"] < 1e-4
    table = pd.read_csv(found["submission"] / "submission.csv")
    assert table.drop(columns="row_id").to_numpy().std() > 0
    assert "<img" in next(found["report"].folder.glob("*.html")).read_text()

    folder = found["train"].folder
    assert load_input(folder).shape[:2] == (1, 1024)
    recording = next((tiny_data / "test_soundscapes").glob("*.ogg"))
    by_torch = load_model(folder, "torch").predict(recording)
    by_engine = load_model(found["export"].folder).predict(recording)
    pd.testing.assert_frame_equal(by_torch, by_engine, atol=1e-4)
    run = run_of(folder, tmp_path / "run")
    shutil.copy(found["export"] / ONNX_FILE, run / FOLDER / "one")  # as a run's results have it
    write_bundle(run, tmp_path / "bundle")
    in_bundle = load_model(tmp_path / "bundle").predict(recording)
    pd.testing.assert_frame_equal(by_torch, in_bundle, atol=1e-4)
