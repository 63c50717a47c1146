"""Models outside of a run predict what the stages predict."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from birdcore.config import Clean, Mel, Predict
from birdcore.features.columns import stacked
from birdcore.features.scale import Scale
from birdcore.features.shard_reader import read_shards
from birdcore.inference.after_prediction import Operations, Smoothing
from birdcore.inference.smooth import smooth_recording, weighted
from birdcore.inference.trained_model import ENSEMBLE_FILE, EnsembleSpec, load_model
from birdcore.inference.window_batches import Recording
from birdcore.models.input import load_input, save_input
from birdcore.sources.shards import Shard
from birdcore.sources.source import SourceFile
from birdcore.stages import clean, mel, predict
from birdcore.store.artifact import Artifact, Ref
from birdcore.store.files import file_sha256
from birdcore.store.store import Store
from tests.support.chirps import chirps
from tests.support.guano import write_guano

MadeMel = Callable[..., Artifact]
MadeModel = Callable[..., Ref]


def sound(seconds: float, seed: int = 0, rate: int = 32_000) -> np.ndarray:
    rng = np.random.default_rng(seed)
    samples = rng.standard_normal(round(seconds * rate))
    return np.asarray(0.1 * samples * np.sin(np.arange(len(samples)) / 9_000), np.float32)


def stage_rows(store: Store, model: Ref, mel: Artifact) -> np.ndarray:
    artifact = store.make(predict.step("one", 0, (model,), mel.ref, Predict()), predict.run)
    table = pd.read_parquet(artifact / "predictions.parquet")
    return stacked(table["probabilities"], np.float64)


@pytest.mark.parametrize(("seconds", "rate"), [(12.4, 32_000), (1e-4, 32_000), (7.0, 44_100)])
def test_one_model_predicts_a_file_as_its_stage(
    store: Store,
    mel_of: MadeMel,
    model_of: MadeModel,
    tmp_path: Path,
    seconds: float,
    rate: int,
) -> None:
    model = model_of()
    expected = stage_rows(store, model, mel_of({"a": sound(seconds, rate=rate)}, rate=rate))
    file = tmp_path / "test_soundscapes" / "a.wav"
    table = load_model(str(store.get(model).folder)).predict(str(file))
    assert list(table.columns) == ["recording", "start", "end", "a", "b", "c"]
    assert list(table["end"]) == [5.0 * (row + 1) for row in range(len(expected))]
    np.testing.assert_allclose(table[["a", "b", "c"]], expected, atol=1e-7)


@pytest.mark.parametrize(
    ("rate", "front_end"),
    [
        (100, Mel(sample_rate=100, n_fft=256, hop_length=16, n_mels=32, f_max=50)),
        (2_000, Mel(sample_rate=1_000, n_fft=512, hop_length=128, n_mels=32, f_max=500)),
        (192_000, Mel(sample_rate=192_000, n_mels=32, f_min=9_000, f_max=96_000)),
        (256_000, Mel(sample_rate=250_000, n_mels=32, f_min=9_000, f_max=120_000)),
        (384_000, Mel(sample_rate=500_000, n_fft=4096, n_mels=32, f_max=250_000)),
        (500_000, Mel(sample_rate=500_000, n_fft=16384, n_mels=32, f_max=250_000)),
    ],
)
def test_recordings_beyond_hearing_are_predicted_as_by_their_stage(
    store: Store,
    mel_of: MadeMel,
    model_of: MadeModel,
    tmp_path: Path,
    rate: int,
    front_end: Mel,
) -> None:
    spec = front_end.spec()
    top = min(rate, spec.sample_rate) / 2
    samples = chirps(rate, 21.0 if rate <= 2_000 else 6.0, 0.3 * top, 0.8 * top)
    features = mel_of({"a": samples}, settings=front_end, rate=rate)
    model = model_of(spec=spec, frames=60)
    table = load_model(store.get(model).folder).predict(tmp_path / "test_soundscapes" / "a.wav")
    np.testing.assert_allclose(
        table[["a", "b", "c"]], stage_rows(store, model, features), atol=1e-7
    )
    # What is heard is where the calls are, and nothing is cut off at the scale's top.
    mels = read_shards([features / "mel.parquet"])
    loud = np.quantile(mels.codes, 0.99, axis=0)
    assert 0.25 * top < spec.centres()[loud.argmax()] < 0.85 * top
    assert mels.codes.max() < 255


@pytest.mark.parametrize("said", [8.0, "auto"])
def test_slowed_recordings_are_predicted_as_what_they_were(
    store: Store, mel_of: MadeMel, model_of: MadeModel, tmp_path: Path, said: float | str
) -> None:
    samples = chirps(256_000, 3.0, 20_000, 100_000)
    numbers: dict[str, Any] = {"sample_rate": 256_000, "n_mels": 32, "f_max": 128_000}
    numbers |= {"n_fft": 1024, "hop_length": 256}
    direct, slow = Mel(**numbers), Mel(**numbers, speed=said)
    spec = slow.spec(8.0)
    # Crops and windows are as long in the file's seconds, which are eight times as many.
    assert spec.frame_rate == direct.spec().frame_rate / 8
    assert spec.fixed_length(8.0) == direct.spec().fixed_length(1.0)

    file = tmp_path / "test_soundscapes" / "slow.wav"
    file.parent.mkdir()
    write_guano(file, samples, 32_000, "GUANO|Version: 1.0\nTE: 8\nSamplerate: 256000")
    shard = shard_alone(tmp_path, file)
    cleaned = store.make(
        clean.step(shard, Clean(remove="none"), {}, tmp_path, reading=spec.reading), clean.run
    )
    step = mel.step(shard, cleaned.ref, slow, Clean(), tmp_path, 8.0)
    of_slow = store.make(step, mel.run)
    of_direct = mel_of({"a": samples}, settings=direct, rate=256_000)
    one, other = (read_shards([each / "mel.parquet"]) for each in (of_slow, of_direct))
    np.testing.assert_array_equal(one.codes, other.codes)
    assert of_slow.metrics["hours"] == pytest.approx(24 / 3600, abs=1e-3)

    model = model_of(spec=spec, frames=313)
    rows = stage_rows(store, model, of_slow)
    assert len(rows) == 5  # of 24 s
    found = load_model(store.get(model).folder)
    table = found.predict(file)
    np.testing.assert_allclose(table[["a", "b", "c"]], rows, atol=1e-7)
    given = found.predict(samples, 32_000)[["a", "b", "c"]]
    np.testing.assert_allclose(given, rows, atol=1e-7)

    # What was not slowed down has its own seconds, where each file says its speed.
    if said == "auto":
        file = tmp_path / "test_soundscapes" / "a.wav"
        recording = Recording(found._features(file, None, 0))
        assert recording.cells.duration_s == pytest.approx(3.0, abs=0.01)
        assert recording.cells.rate == direct.spec().frame_rate / 8
        assert found.predict(file)["end"].tolist() == [5.0]


def shard_alone(root: Path, file: Path) -> Shard:
    name = file.relative_to(root).as_posix()
    return Shard("test_soundscapes", 0, (SourceFile(name, 0, file_sha256(file)),), "test")


def test_samples_predict_as_their_file(
    store: Store, mel_of: MadeMel, model_of: MadeModel, tmp_path: Path
) -> None:
    samples = sound(6.0, rate=44_100)
    mel_of({"a": samples}, rate=44_100)
    model = load_model(store.get(model_of()).folder)
    whole = model.predict(tmp_path / "test_soundscapes" / "a.wav").drop(columns="recording")
    for given in (samples, torch.from_numpy(samples)):
        found = model.predict(given, 44_100).drop(columns="recording")
        np.testing.assert_allclose(found, whole, atol=1e-7)
    with pytest.raises(ValueError, match=r"shape \(2, 5\): give mono samples"):
        model.predict(np.zeros((2, 5)))


def test_ensemble_weighs_and_smooths_its_members(
    store: Store, mel_of: MadeMel, model_of: MadeModel, tmp_path: Path
) -> None:
    refs = [model_of(0), model_of(1)]
    mel = mel_of({"a": sound(17.0)})
    settings = Predict(neighbours=True, file_maximum=0.2)
    spec = EnsembleSpec(
        weights={"x/one": [1.0, 0.75, 0.0], "x/two": [0.0, 0.25, 1.0]},
        members={"x/one": ("one",), "x/two": ("two",)},
        predict=settings,
    )
    folder = tmp_path / "out" / "model"
    for name, ref in zip(("one", "two"), refs, strict=True):
        shutil.copytree(store.get(ref).folder, folder / name)
    (folder / ENSEMBLE_FILE).write_text(spec.model_dump_json())
    first, second = (smooth_recording(stage_rows(store, ref, mel), settings) for ref in refs)
    share = np.array([0.0, 0.25, 1.0])
    file = tmp_path / "test_soundscapes" / "a.wav"
    for path in (tmp_path / "out", folder):
        found = load_model(path).predictions([file])
        assert found.recordings == (str(file),) * 4
        np.testing.assert_allclose(
            found.probabilities, first * (1 - share) + second * share, atol=1e-7
        )
    smoothing = Smoothing(weights=(1.0, 1.0, 1.0), columns=(0, 1, 2))
    after = Operations(smoothings=(smoothing,), times_file_maximum=1.0)
    changed = spec.model_copy(update={"after_prediction": after})
    (folder / ENSEMBLE_FILE).write_text(changed.model_dump_json())
    twice = load_model(folder).predictions([file, file]).probabilities
    smooth = weighted(found.probabilities, smoothing.weights)
    times = smooth * smooth.max(axis=0)
    np.testing.assert_allclose(twice, np.concatenate([times, times]), atol=1e-7)


def test_scale_of_a_model_alone_is_that_of_its_training(
    store: Store, mel_of: MadeMel, model_of: MadeModel, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(store.get(model_of()).folder, tmp_path / "alone"))
    samples = sound(6.0)
    whole = load_model(folder).predict(samples)
    coarse = Scale(floor_db=-30.0, ceiling_db=35.0)
    save_input(folder, load_input(folder).model_copy(update={"scale": coarse}))
    found = load_model(folder)
    assert found.input_spec.scale == coarse
    assert np.abs(found.predict(samples)[["a", "b", "c"]] - whole[["a", "b", "c"]]).max().max() > 0


def test_external_teacher_that_does_not_predict_is_warned_of(
    store: Store, model_of: MadeModel, tmp_path: Path
) -> None:
    weights = {"x/one": [0.5, 0.0, 1.0], "external_teacher/birdnet": [0.5, 1.0, 0.0]}
    spec = EnsembleSpec(weights=weights, members={"x/one": ("one",)})
    shutil.copytree(store.get(model_of()).folder, tmp_path / "one")
    (tmp_path / ENSEMBLE_FILE).write_text(spec.model_dump_json())
    with pytest.warns(UserWarning, match="do not predict here.*: external_teacher/birdnet"):
        model = load_model(tmp_path)
    assert model.spec.left_out == ("external_teacher/birdnet",)
    alone = load_model(tmp_path / "one").predict(sound(6.0)).drop(columns="recording")
    found = model.predict(sound(6.0)).drop(columns="recording")
    np.testing.assert_allclose(found, alone, atol=1e-7)


def test_folder_without_a_model_is_refused_with_what_would_do(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"holds no model: give a run's results folder"):
        load_model(tmp_path)
    (tmp_path / ENSEMBLE_FILE).write_text("{}")
    with pytest.raises(ValueError, match=r"ensemble.json describes no ensemble"):
        load_model(tmp_path)
