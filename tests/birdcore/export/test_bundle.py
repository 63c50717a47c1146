"""A bundle predicts what its run does, where neither birdflow nor torch can be imported."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile as sf

from birdcore.config import Predict
from birdcore.export.bundle import write_bundle
from birdcore.export.bundle_config import CONFIG_FILE, BundleConfig
from birdcore.export.licences import ATTRIBUTION_FILE
from birdcore.inference.predictions import Predictions
from birdcore.inference.trained_model import ENSEMBLE_FILE, EnsembleSpec, load_model
from birdcore.store.artifact import Ref
from birdcore.store.store import Store

MadeModel = Callable[..., Ref]

ALONE = """
import runpy, socket, sys
BARRED = {"birdcore", "flows", "tasks", "torch", "scipy", "soxr", "pandas", "pydantic", "av"}
class Barred:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BARRED:
            raise ImportError(f"{name} is barred")
def refuse(*_):
    raise OSError("the network is barred")
sys.meta_path.insert(0, Barred())
socket.socket.connect = refuse
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def predict_alone(bundle: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the bundle's script in a process that can't import what it must not need."""
    command = [sys.executable, "-I", "-c", ALONE, str(bundle / "predict.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=bundle.parent)


def sound(seconds: float, seed: int, rate: int = 32_000) -> np.ndarray:
    rng = np.random.default_rng(seed)
    samples = rng.standard_normal(round(seconds * rate))
    return np.asarray(0.1 * samples * np.sin(np.arange(len(samples)) / 9_000), np.float32)


@pytest.fixture
def run_folder(store: Store, model_of: MadeModel, tmp_path: Path) -> Path:
    """Results of a run with two members, one of two folds, smoothed and weighed by class."""
    spec = EnsembleSpec(
        weights={"x/one": [1.0, 0.75, 0.0], "x/two": [0.0, 0.25, 1.0]},
        members={"x/one": ("x/one/fold-0", "x/one/fold-1"), "x/two": ("x/two/fold-0",)},
        predict=Predict(output="both", gaussian=0.6, neighbours=True, file_maximum=0.2),
    )
    folder = tmp_path / "out"
    names = [name for models in spec.members.values() for name in models]
    for seed, name in enumerate(names):
        shutil.copytree(store.get(model_of(seed)).folder, folder / "model" / name)
    (folder / "model" / ENSEMBLE_FILE).write_text(spec.model_dump_json())
    (folder / ATTRIBUTION_FILE).write_text("recording,license\na.ogg,cc0\n")
    (folder / "MODEL_CARD.md").write_text("# Model card\n")
    return folder


def test_bundle_predicts_what_its_run_does_without_birdflow(
    run_folder: Path, tmp_path: Path, shared_data: Path
) -> None:
    bundle, soundscapes = tmp_path / "bundle", tmp_path / "soundscapes"
    config = write_bundle(run_folder, bundle)
    assert config.classes == ("a", "b", "c")
    assert config.licences == {"cc0": 1}
    assert BundleConfig.model_validate_json((bundle / CONFIG_FILE).read_bytes()) == config

    soundscapes.mkdir()
    real = sorted((shared_data / "birdclef-mini" / "test_soundscapes").glob("*.ogg"))[0]
    shutil.copy(real, soundscapes / "real.ogg")
    sf.write(soundscapes / "short.wav", sound(1.3, 1), 32_000, subtype="FLOAT")
    stereo = np.stack([sound(12.4, 2, 44_100), sound(12.4, 3, 44_100)], axis=1)
    sf.write(soundscapes / "stereo.wav", stereo, 44_100, subtype="FLOAT")
    recordings = sorted(soundscapes.iterdir())
    trained = load_model(run_folder, "torch").predictions(recordings)
    expected = trained.submission()
    (soundscapes / "broken.ogg").write_bytes(b"<html>not found</html>")

    for engine in ("openvino", "onnx"):
        done = predict_alone(bundle, soundscapes, "--out", tmp_path / "s.csv", "--engine", engine)
        assert done.returncode == 0, done.stderr
        assert "left out:" in done.stderr
        assert "broken.ogg" in done.stderr
        found = pd.read_csv(tmp_path / "s.csv", index_col="row_id")
        assert list(found.index) == list(expected.index)
        assert np.abs(found - expected).to_numpy().max() < 1e-3

    # Rows and columns of a sample; a row without a recording has each class's mean.
    (tmp_path / "sample.csv").write_text("row_id,c,a,b\nreal_10,0,0,0\nlost_5,0,0,0\n")
    arguments = ("--out", tmp_path / "s.csv", "--sample", tmp_path / "sample.csv")
    assert predict_alone(bundle, soundscapes, *arguments).returncode == 0
    rows = pd.read_csv(tmp_path / "s.csv", index_col="row_id")
    assert list(rows.columns) == ["c", "a", "b"]
    assert list(rows.index) == ["real_10", "lost_5"]
    np.testing.assert_allclose(rows.loc["lost_5", ["a", "b", "c"]], expected.mean(), atol=1e-3)

    # A bundle is a model for birdflow, too.
    again = load_model(bundle, "onnx").predictions(recordings)
    assert isinstance(again, Predictions)
    np.testing.assert_allclose(again.probabilities, trained.probabilities, atol=1e-4)

    for change, message in (
        ({"format": 2}, "has format 2, this script reads 1"),
        ({"front_end": {"name": "stft"}}, "the front end 'stft' is unknown"),
        ({"classes": ["a", "b"]}, "has 3 classes, config.json 2"),
    ):
        content = json.loads(config.model_dump_json()) | change
        (bundle / CONFIG_FILE).write_text(json.dumps(content))
        done = predict_alone(bundle, soundscapes)
        assert done.returncode == 1
        assert message in done.stderr.splitlines()[-1]


def test_what_can_not_be_exported_is_refused_before_work(run_folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "bundle"
    with pytest.raises(ValueError, match="holds no ensemble"):
        write_bundle(tmp_path, target)
    (run_folder / ATTRIBUTION_FILE).write_text("recording,license\na.ogg,cc-by-nc-nd 4.0\n")
    with pytest.raises(ValueError, match="forbid derivatives"):
        write_bundle(run_folder, target)
    assert not target.exists()
    target.mkdir()
    (target / "mine.txt").write_text("kept")
    with pytest.raises(ValueError, match="is not empty"):
        write_bundle(run_folder, target)
    assert [path.name for path in tmp_path.glob(".bundle*")] == []


def test_script_refuses_what_it_can_not_predict_in_a_line(tmp_path: Path) -> None:
    from birdcore.export.bundle import KIT

    done = predict_alone(KIT, tmp_path, "--bundle", tmp_path)
    assert done.returncode == 1
    assert "is no bundle: config.json can't be read" in done.stderr
    assert len(done.stderr.splitlines()) == 1
