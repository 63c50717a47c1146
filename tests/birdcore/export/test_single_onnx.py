"""One file with the front end in it predicts what the run does for windows of real recordings."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnxruntime
import openvino as ov
import pytest
import torch

from birdcore.config import Predict
from birdcore.export.front_end import parts_of
from birdcore.export.single_onnx import window_samples, write_single_onnx
from birdcore.export.waveform_front_end import WaveformFrontEnd
from birdcore.export.wavelet_graph import WaveletPowers
from birdcore.features.cwt import CwtSpec
from birdcore.features.mel import PRESETS, MelSpec
from birdcore.features.pcen import PcenSpec
from birdcore.features.recordings import Recordings
from birdcore.features.scale import encode
from birdcore.features.spectrogram import mel_energy
from birdcore.features.stacked import Stacked
from birdcore.features.stft import StftSpec
from birdcore.features.superlet import SuperletSpec
from birdcore.inference.after_prediction import Operations
from birdcore.inference.trained_model import ENSEMBLE_FILE, load_model
from birdcore.models.input import InputSpec
from tests.support.single_onnx import check_single_onnx, real_windows
from tests.support.small_run import write_model, write_run

pytestmark = pytest.mark.xdist_group("exports")  # the first of a process takes long

SPECS: dict[str, MelSpec | StftSpec] = {
    **PRESETS,
    "magnitude": MelSpec(power=1, mel_scale="slaney", norm="slaney"),
    "uneven": MelSpec(n_fft=1000, hop_length=320, n_mels=64, f_min=1000.0, f_max=12500.0),
    "stft": StftSpec(n_fft=512, f_min=500.0, f_max=15_000.0),
}


@pytest.mark.parametrize("name", SPECS)
def test_energies_in_the_graph_equal_those_of_the_front_end(shared_data: Path, name: str) -> None:
    spec = SPECS[name]
    (samples,) = real_windows(shared_data, 5, 1)[:1]
    samples = samples / np.abs(samples).max()
    expected = np.concatenate(list(spec.energies([samples])))
    found = WaveformFrontEnd(spec, spec.scale()).energies(torch.from_numpy(samples)[None])[0]
    kept = encode(expected, spec.power, spec.scale()) > 0
    decibels = [20 / spec.power * np.log10(np.float64(e[kept])) for e in (found, expected)]
    difference = np.abs(decibels[0] - decibels[1])
    assert np.median(difference) < 1e-5
    assert (difference > 1e-3).mean() < 1e-3
    assert difference[decibels[1] > -35].max(initial=0.0) < 1e-3


def test_pcen_in_the_graph_equals_that_of_the_front_end(shared_data: Path) -> None:
    spec = PcenSpec(n_mels=32, pcen_time_s=0.4, pcen_bias=2.0, pcen_power=0.5)  # for speech
    (samples,) = real_windows(shared_data, 5, 1)[:1]
    samples = samples / np.abs(samples).max()
    expected = np.concatenate(list(spec.energies([samples])))
    found = WaveformFrontEnd(spec, spec.scale()).energies(torch.from_numpy(samples)[None])[0]
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("dtype", ["uint8", "float16"])
def test_power_in_the_graph_is_that_of_codes(shared_data: Path, dtype: str) -> None:
    spec = MelSpec(n_mels=64)
    scale = spec.scale("uint8" if dtype == "uint8" else "float16")
    windows = real_windows(shared_data, 5, 1)
    windows[1] = 0.0  # silence
    found = WaveformFrontEnd(spec, scale, with_floor=True)(torch.from_numpy(windows)).numpy()
    for window, power in zip(windows, found, strict=True):
        peak = np.abs(window).max() or 1.0
        codes = torch.from_numpy(encode(mel_energy(window / peak, spec), 2, scale))
        one = Recordings(("a",), codes, *torch.tensor([[0], [len(codes)]]), spec, scale)
        zero = torch.zeros(1, dtype=torch.long)
        (expected,) = one.power(zero, zero, len(codes), with_floor=True).numpy()
        assert power.shape == expected.shape == (64, 314)
        off = ~np.isclose(power, expected, rtol=1e-5, atol=1e-12)
        # A cell in the middle between two codes may get the other one.
        assert off.mean() < 1e-3


def test_one_file_predicts_what_the_run_does(tmp_path: Path, shared_data: Path) -> None:
    run = tmp_path / "out"
    spec = write_run(
        run,
        {"x/one": ["x/one/fold-0", "x/one/fold-1"], "x/two": ["x/two/fold-0"]},
        {"x/one": [0.2, 0.5, 0.0], "x/two": [0.8, 0.5, 1.0]},
        Predict(output="both"),
    )
    for seed, name, normalise in ((3, "x/one/fold-1", "bins"), (4, "x/two/fold-0", "floor")):
        shutil.rmtree(run / "model" / name)
        write_model(run / "model" / name, seed, normalise=normalise)
    spec = spec.model_copy(update={"blend": "power", "power": 2.0})
    (run / "model" / ENSEMBLE_FILE).write_text(spec.model_dump_json())

    path = tmp_path / "single.onnx"
    assert write_single_onnx(run, path) < 1e-3
    assert sorted(file.name for file in tmp_path.iterdir()) == ["out", "single.onnx"]
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    metadata = session.get_modelmeta().custom_metadata_map
    assert metadata["sample_rate"] == "32000"
    assert float(metadata["sample_duration"]) == 5.0
    assert json.loads(metadata["classes"]) == ["a", "b", "c"]
    assert [session.get_inputs()[0].name, session.get_inputs()[0].shape] == [
        "samples",
        ["batch", 160_000],
    ]
    keys = ("class_outputs_key", "embedding_outputs_key")
    assert [output.name for output in session.get_outputs()] == [metadata[key] for key in keys]

    windows = real_windows(shared_data, 5, 3)
    probabilities, embedding = session.run(None, {"samples": windows})
    expected = load_model(run, "torch").predictions(list(windows)).probabilities
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(probabilities, expected, atol=1e-3)
    assert embedding.shape[0] == len(windows)
    assert np.ptp(embedding, axis=0).max() > 0
    by_openvino = ov.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    np.testing.assert_allclose(by_openvino(windows)["probabilities"], probabilities, atol=1e-4)


def test_one_file_has_other_front_ends_in_it(tmp_path: Path, shared_data: Path) -> None:
    """Two of the kinds that there are; tests/drills/test_graphs.py has all."""
    few = CwtSpec(scales=32, f_min=5000.0, f_max=9000.0)  # a convolution for each of a few lengths
    check_single_onnx(tmp_path, shared_data, Stacked((MelSpec(n_mels=32), few)), "floor")


WAVELETS = {
    "cwt": CwtSpec(),
    "odd hop": CwtSpec(hop_length=501, f_min=200.0, f_max=12_000.0, scales=48),
    "short hop": CwtSpec(hop_length=96, scales=24),
    "superlet, cut by half the rate": SuperletSpec(scales=48, order=2.5),
}


@pytest.mark.parametrize("name", WAVELETS)
def test_convolutions_are_birdflows_wavelets(shared_data: Path, name: str) -> None:
    spec = WAVELETS[name]
    samples = real_windows(shared_data, 2.5, 1)[1]
    samples = samples / np.abs(samples).max()
    expected = np.concatenate(list(spec.energies([samples])))
    found = WaveletPowers(spec)(torch.from_numpy(samples)[None])[0].numpy()
    assert found.shape == expected.shape
    kept = encode(expected, 2, spec.scale()) > 0
    decibels = [10 * np.log10(np.float64(each[kept])) for each in (found, expected)]
    difference = np.abs(decibels[0] - decibels[1])
    assert np.median(difference) < 1e-4
    # The highest scales, which half the sample rate cuts, ring longer than the convolutions are.
    assert (difference > 0.01).mean() < 0.01
    assert difference[decibels[1] > -35].max() < 0.1  # a quarter of a code


def test_wavelets_that_are_longer_than_a_window_are_refused(tmp_path: Path) -> None:
    run = tmp_path / "out"
    front_end = CwtSpec(scales=32, f_min=1.0)
    write_run(run, {"x/one": ["x/one/fold-0"]}, {"x/one": 1.0}, Predict(), front_end=front_end)
    with pytest.raises(ValueError, match=r"onnx can't hold 'cwt' with mel.f_min = 1: its longest"):
        write_single_onnx(run, tmp_path / "single.onnx")
    assert not (tmp_path / "single.onnx").exists()


def test_a_front_end_that_is_not_known_is_refused() -> None:
    with pytest.raises(ValueError, match=r"x has no front end 'gammatone': only mel, stft, .* and"):
        parts_of(SimpleNamespace(name="gammatone"), "x")


def test_ensembles_that_one_file_can_not_be_are_refused(tmp_path: Path) -> None:
    run = tmp_path / "out"
    members = {"x/one": ["x/one/fold-0"]}
    spec = write_run(run, members, {"x/one": 1.0}, Predict())
    (run / "model" / ENSEMBLE_FILE).write_text(
        spec.model_copy(update={"blend": "rank"}).model_dump_json()
    )
    with pytest.raises(ValueError, match="blends by rank"):
        write_single_onnx(run, tmp_path / "single.onnx")
    changed = spec.model_copy(update={"after_prediction": Operations(times_file_maximum=1)})
    (run / "model" / ENSEMBLE_FILE).write_text(changed.model_dump_json())
    with pytest.raises(ValueError, match=r"has settings of \[after_prediction\]"):
        write_single_onnx(run, tmp_path / "single.onnx")
    write_model(run / "model" / "x/two/fold-0", 1, frames=200)
    both = {name: (f"{name}/fold-0",) for name in ("x/one", "x/two")}
    spec = spec.model_copy(update={"members": both, "weights": {"x/one": 1.0, "x/two": 1.0}})
    (run / "model" / ENSEMBLE_FILE).write_text(spec.model_dump_json())
    with pytest.raises(ValueError, match="different features or windows"):
        write_single_onnx(run, tmp_path / "single.onnx")


@pytest.mark.parametrize(("frames", "seconds"), [(313, 5.0), (157, 2.5), (626, 10.0), (100, 1.6)])
def test_windows_have_round_lengths(frames: int, seconds: float) -> None:
    mel = MelSpec()
    reads = InputSpec(mel=mel, scale=mel.scale(), frames=frames, normalise="zscore", top_db=80.0)
    assert window_samples(reads) / 32_000 == pytest.approx(seconds, abs=0.02)
    assert mel.frames(window_samples(reads)) == frames
