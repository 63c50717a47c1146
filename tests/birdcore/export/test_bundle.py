"""A bundle predicts what its run does, where neither birdflow nor torch can be imported."""

import json
import runpy
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile as sf

from birdcore.config import Predict
from birdcore.detection.calibration import calibrate
from birdcore.detection.models import open_detector
from birdcore.export.bundle import write_bundle
from birdcore.export.bundle_config import CONFIG_FILE, BundleConfig
from birdcore.export.kaggle import KaggleIds, write_kaggle
from birdcore.export.licences import ATTRIBUTION_FILE
from birdcore.export.script import predict_script
from birdcore.features.cwt import CwtSpec
from birdcore.features.front_end import FrontEnd
from birdcore.features.mel import MelSpec
from birdcore.features.pcen import PcenSpec
from birdcore.features.stacked import Stacked
from birdcore.features.stft import StftSpec
from birdcore.features.superlet import SuperletSpec
from birdcore.features.wave import WaveSpec
from birdcore.inference.after_prediction import Mixing, Operations, Smoothing
from birdcore.inference.onnx import export_onnx
from birdcore.inference.onnx_file import ONNX_FILE
from birdcore.inference.predictions import Predictions
from birdcore.inference.trained_model import ENSEMBLE_FILE, load_model
from birdcore.models.input import load_input
from birdcore.models.sed import load_model as load_sed
from tests.support.kit import predict_alone, sound
from tests.support.small_run import write_run

pytestmark = pytest.mark.xdist_group("exports")  # the first of a process takes long

AFTER = Operations(
    temperature=1.5,
    cap=0.6,
    max_sum=1.2,
    mixings=(Mixing(share=0.3, groups=((0, 2),)),),
    smoothings=(Smoothing(weights=(1, 2, 1), columns=(1, 2)),),
    times_file_maximum=0.5,
)


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """Results of a run with two members, one of two folds, smoothed, weighed by class, and changed
    after prediction."""
    folder = tmp_path / "out"
    spec = write_run(
        folder,
        {"x/one": ["x/one/fold-0", "x/one/fold-1"], "x/two": ["x/two/fold-0"]},
        {"x/one": [1.0, 0.75, 0.0], "x/two": [0.0, 0.25, 1.0]},
        Predict(output="both", gaussian=0.6, neighbours=True, file_maximum=0.2),
    )
    spec = spec.model_copy(update={"after_prediction": AFTER})
    (folder / "model" / ENSEMBLE_FILE).write_text(spec.model_dump_json())
    return folder


def test_bundle_predicts_what_its_run_does_without_birdflow(
    run_folder: Path, tmp_path: Path, shared_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle, soundscapes = tmp_path / "bundle", tmp_path / "soundscapes"
    # Two models as the stage export leaves them, with what was exported beside the weights; since
    # that takes seconds, one of them is a copy.
    first = run_folder / "model" / "x/one/fold-0"
    model, spec = load_sed(first)
    export_onnx(model, spec, load_input(first), first / ONNX_FILE)
    shutil.rmtree(run_folder / "model" / "x/two/fold-0")
    shutil.copytree(first, run_folder / "model" / "x/two/fold-0")
    rng = np.random.default_rng(0)
    truth = rng.random((60, 3)) < 0.4
    calibration = calibrate(("a", "b", "c"), truth, 0.6 * truth + 0.4 * rng.random((60, 3)))
    (run_folder / "model" / "calibration.json").write_text(calibration.model_dump_json())
    (run_folder / "model" / "classes.csv").write_text("class,scientific_name\na,Parus major\n")
    config = write_bundle(run_folder, bundle)
    assert config.thresholds == dict(zip("abc", calibration.thresholds_for(0.9), strict=True))
    assert None not in config.thresholds.values()
    assert config.classes == ("a", "b", "c")
    assert (config.format, config.after_prediction) == (2, AFTER)
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
    main = runpy.run_path(str(bundle / "predict.py"))["main"]
    assert main([*map(str, (soundscapes, *arguments)), "--bundle", str(bundle)]) == 0
    capsys.readouterr()
    rows = pd.read_csv(tmp_path / "s.csv", index_col="row_id")
    assert list(rows.columns) == ["c", "a", "b"]
    assert list(rows.index) == ["real_10", "lost_5"]
    np.testing.assert_allclose(rows.loc["lost_5", ["a", "b", "c"]], expected.mean(), atol=1e-3)

    # A bundle is a model for birdflow, too.
    again = load_model(bundle, "onnx").predictions(recordings)
    assert isinstance(again, Predictions)
    np.testing.assert_allclose(again.probabilities, trained.probabilities, atol=1e-4)

    assert open_detector(bundle, engine="onnx").calibration == calibration
    assert open_detector(bundle, engine="onnx").species[0].scientific_name == "Parus major"

    check_refusals(bundle, soundscapes, tmp_path, capsys)


CWT = CwtSpec(scales=32)


@pytest.mark.parametrize(
    ("front_end", "normalise"),
    [
        (PcenSpec(n_mels=32), "zscore"),
        (StftSpec(n_mels=32), "zscore"),
        (CWT, "floor"),
        (SuperletSpec(scales=32, order=2.5), "zscore"),
        (Stacked((CWT, MelSpec(n_mels=32))), "floor"),
        (WaveSpec(hop_length=320, sample_rate=16_000), "none"),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_bundle_predicts_from_other_front_ends(
    front_end: FrontEnd, normalise: str, tmp_path: Path, shared_data: Path
) -> None:
    run, name = tmp_path / "out", "x/one/fold-0"
    wave = front_end.recovers_wave
    write_run(
        run, {"x/one": [name]}, {"x/one": 1.0}, Predict(output="both"), front_end=front_end,
        backbone="conv_wave" if wave else "test_resnet", normalise=normalise,
        frames=96 if wave else 313,  # of which a GRU is traced one by one
    )  # fmt: skip
    bundle, soundscapes = tmp_path / "bundle", tmp_path / "soundscapes"
    config = write_bundle(run, bundle)
    assert BundleConfig.model_validate_json((bundle / CONFIG_FILE).read_bytes()) == config
    write_kaggle(bundle, config, KaggleIds.parse("ann/warblers-v1", "birdclef-2025"))
    assert (config.front_end["name"], config.front_end["power"]) == (
        front_end.name,
        front_end.power,
    )
    soundscapes.mkdir()
    real = sorted((shared_data / "birdclef-mini" / "test_soundscapes").glob("*.ogg"))[0]
    shutil.copy(real, soundscapes / "real.ogg")
    sf.write(soundscapes / "short.wav", sound(1.3, 1), 44_100, subtype="FLOAT")
    expected = load_model(run, "torch").predictions(sorted(soundscapes.iterdir())).submission()
    assert np.ptp(expected.to_numpy()) > 0.05
    for engine in ("openvino", "onnx"):
        done = predict_alone(bundle, soundscapes, "--out", tmp_path / "s.csv", "--engine", engine)
        assert done.returncode == 0, done.stderr
        found = pd.read_csv(tmp_path / "s.csv", index_col="row_id")
        assert list(found.index) == list(expected.index)
        assert np.abs(found - expected).to_numpy().max() < 1e-3


def check_refusals(
    bundle: Path, soundscapes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All that the script can't do it says in a line, before a recording is read."""
    main = runpy.run_path(str(bundle / "predict.py"))["main"]

    def refusal(*arguments: str | Path) -> str:
        assert main([*map(str, arguments), "--bundle", str(bundle)]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        return str(line)

    config = json.loads((bundle / CONFIG_FILE).read_text())
    for change, message in (
        ({"format": 3}, "has format 3, this script reads 1 and 2"),
        (
            {"front_end": {"name": "mel+gammatone"}},
            "the front end 'mel+gammatone' is unknown, this script",
        ),
        ({"classes": ["a", "b"]}, "has 3 classes, config.json 2"),
    ):
        (bundle / CONFIG_FILE).write_text(json.dumps(config | change))
        assert message in refusal(soundscapes)
    (bundle / CONFIG_FILE).write_text(json.dumps(config))
    (tmp_path / "other.csv").write_text("row_id,a,b,d\nreal_5,0,0,0\n")
    (tmp_path / "silent").mkdir()
    refused = "has other classes than the models: it lacks c; the models don't know d"
    assert refused in refusal(soundscapes, "--sample", tmp_path / "other.csv")
    assert "holds no recording" in refusal(tmp_path / "silent")
    assert "is no folder" in refusal(tmp_path / "sample.csv")
    out = tmp_path / "nowhere" / "s.csv"
    assert "there is no folder" in refusal(soundscapes, "--out", out)
    assert "is a folder" in refusal(soundscapes, "--out", tmp_path)
    (bundle / "model" / "x/two/fold-0" / "model.xml").write_text("<html>")
    assert "openvino can't open its models" in refusal(soundscapes)
    (bundle / "front_end.npz").write_bytes(b"PK")
    assert "front_end.npz can't be read" in refusal(soundscapes)
    del config["blend"]
    (bundle / CONFIG_FILE).write_text(json.dumps(config))
    assert "is damaged: it has no blend" in refusal(soundscapes)


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
    shutil.rmtree(target)
    target.write_text("a file")
    (run_folder / ATTRIBUTION_FILE).write_text("recording,license\na.ogg,cc0\n")
    with pytest.raises(OSError, match="bundle"):
        write_bundle(run_folder, target / "within")
    two = run_folder / "model" / "x/two/fold-0" / "input.json"
    reads = json.loads(two.read_text())
    two.write_text(json.dumps(reads | {"mel": reads["mel"] | {"hop_length": 256}}))
    with pytest.raises(ValueError, match="reads another front end than"):
        write_bundle(run_folder, tmp_path / "other")
    assert [path.name for path in tmp_path.glob(".bundle*")] == []


def test_script_refuses_what_it_can_not_predict_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "predict.py").write_text(predict_script())
    done = predict_alone(tmp_path, tmp_path, "--bundle", tmp_path)
    assert done.returncode == 1
    assert "is no bundle: config.json can't be read" in done.stderr
    assert len(done.stderr.splitlines()) == 1
