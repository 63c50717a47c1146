"""The script of a bundle computes what birdflow does, part by part."""

import json
import os
import runpy
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile as sf
import soxr
import torch

from birdcore.audio.decode import decode
from birdcore.audio.reading import Reading
from birdcore.config import Predict
from birdcore.config.suggested_front_end import suggest_front_end
from birdcore.export.bundle import KIT
from birdcore.export.front_end import front_end_arrays, front_end_settings
from birdcore.features.mel import PRESETS, MelSpec
from birdcore.features.pcen import PcenSpec
from birdcore.features.recordings import Recordings
from birdcore.features.scale import encode
from birdcore.features.spectrogram import mel_energy
from birdcore.features.stft import StftSpec
from birdcore.inference.smooth import smooth_recording
from birdcore.inference.weights import blend
from birdcore.models.input import InputSpec, model_input
from birdcore.sources.row_names import row_names
from tests.support.chirps import chirps
from tests.support.guano import write_guano

kit = SimpleNamespace(**runpy.run_path(str(KIT / "predict.py")))

SPECS = {
    **PRESETS,
    "magnitude": MelSpec(power=1, mel_scale="slaney", norm="slaney"),
    "mini": MelSpec(hop_length=1024, n_mels=64, f_min=1000.0, f_max=12500.0),
}


@pytest.mark.parametrize("name", SPECS)
def test_mel_equals_birdflow_on_real_files(shared_data: Path, name: str) -> None:
    spec = SPECS[name]
    scale = spec.scale("uint8")
    arrays = front_end_arrays(spec, scale)
    files = sorted((shared_data / "birdclef-mini" / "test_soundscapes").glob("*.ogg"))[:3]
    assert files
    for path in files:
        samples, rate = kit.read_mono(path)
        np.testing.assert_array_equal(samples, decode(path).samples)
        assert rate == spec.sample_rate
        samples = samples / np.abs(samples).max()
        expected = mel_energy(samples, spec)
        found = kit.band_energies(samples, spec.model_dump(), arrays)
        codes = encode(expected, spec.power, scale)
        kept = codes > 0
        decibels = [20 / spec.power * np.log10(np.float64(e[kept])) for e in (found, expected)]
        difference = np.abs(decibels[0] - decibels[1])
        # Both transform in float32, by different libraries: that is noise of some -150 dB, which
        # shows in cells far below the loudest. It is birdflow's that errs more, see
        # experiments/mel_precision.py. The codes' step is .4 dB.
        assert (difference > 1e-4).mean() < 1e-3
        assert difference.max() < 3e-3
        assert difference[decibels[1] > -35].max(initial=0.0) < 1e-4
        # Only cells in the middle between two codes may be rounded to the other one.
        of_kit = kit.encode(found, spec.power, asdict(scale))
        assert np.abs(of_kit.astype(int) - codes).max() <= 1
        assert (of_kit != codes).mean() < 1e-4


OTHERS = {
    "bands": StftSpec(n_mels=96, f_min=200.0),
    "every FFT bin": StftSpec(n_fft=512, f_min=500.0, f_max=15_000.0),
    "magnitude": StftSpec(n_fft=1024, power=1),
    "pcen": PcenSpec(),
    "pcen for speech": PcenSpec(
        pcen_gain=0.98, pcen_bias=2.0, pcen_power=0.5, pcen_time_s=0.4, n_mels=64
    ),
    "pcen without bias": PcenSpec(pcen_gain=1.0, pcen_bias=0.0, hop_length=1024),
}


@pytest.mark.parametrize("dtype", ["uint8", "float16"])
@pytest.mark.parametrize("name", OTHERS)
def test_other_front_ends_equal_birdflows_on_real_files(
    shared_data: Path, name: str, dtype: Any
) -> None:
    spec = OTHERS[name]
    scale = spec.scale(dtype)
    arrays, settings = front_end_arrays(spec, scale), front_end_settings(spec)
    path = sorted((shared_data / "birdclef-mini" / "test_soundscapes").glob("*.ogg"))[1]
    samples = kit.read_mono(path)[0][: 20 * 32_000]
    samples = samples / np.abs(samples).max()
    expected = np.concatenate([block.copy() for block in spec.energies([samples])])
    found = kit.features(samples, settings, arrays)
    assert found.shape == expected.shape
    if isinstance(spec, PcenSpec):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    else:
        loud = expected > 10.0 ** (-2 * spec.power) * expected.max()  # from 40 dB below
        np.testing.assert_allclose(found[loud], expected[loud], rtol=3e-5)
    codes = encode(expected, spec.power, scale)
    of_kit = kit.encode(found, spec.power, asdict(scale))
    assert of_kit.dtype == codes.dtype
    if dtype == "uint8":
        assert np.abs(of_kit.astype(int) - codes).max() <= 1
        assert (of_kit != codes).mean() < 1e-4
    else:
        np.testing.assert_allclose(
            of_kit.astype(np.float32), codes.astype(np.float32), rtol=2e-3, atol=6e-3
        )


@pytest.mark.parametrize("rate", [250, 2_000, 192_000, 500_000])
def test_mel_equals_birdflow_at_rates_beyond_hearing(rate: int) -> None:
    spec = suggest_front_end({rate: 1}, {"Mammalia"}).spec()
    samples = chirps(rate, 400_000 / rate if rate > 10_000 else 60.0, 0.1 * rate, 0.4 * rate)
    arrays = front_end_arrays(spec, spec.scale())
    found = kit.band_energies(samples, spec.model_dump(), arrays)
    np.testing.assert_allclose(found, mel_energy(samples, spec), rtol=1e-3, atol=1e-9)


@pytest.mark.parametrize(("source", "target"), [(384_000, 250_000), (500_000, 192_000), (250, 100)])
def test_resampling_beyond_hearing_is_that_of_birdflow(source: int, target: int) -> None:
    samples = chirps(source, 100_000 / source, 0.05 * target, 0.4 * target)
    response = front_end_arrays(MelSpec(), MelSpec().scale())["response"]
    expected = soxr.resample(samples, source, target, quality="HQ")
    found = kit.resample(samples, source, target, response)
    assert len(found) == len(expected)
    assert np.sqrt(np.mean((found - expected) ** 2) / np.mean(expected**2)) < 5e-3


@pytest.mark.parametrize("length", [1, 2, 300, 1024, 5000])
def test_short_recordings_are_mirrored_alike(length: int) -> None:
    spec = MelSpec(n_mels=32)
    samples = np.random.default_rng(length).standard_normal(length).astype(np.float32)
    arrays = front_end_arrays(spec, spec.scale())
    found = kit.band_energies(samples, spec.model_dump(), arrays)
    np.testing.assert_allclose(found, mel_energy(samples, spec), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("rate", [22_050, 24_000, 44_100, 48_000, 96_000])
def test_resampling_is_that_of_birdflow(shared_data: Path, rate: int) -> None:
    path = sorted((shared_data / "birdclef-mini" / "test_soundscapes").glob("*.ogg"))[0]
    samples = soxr.resample(decode(path).samples[: 32_000 * 20 + 77], 32_000, rate)
    response = front_end_arrays(MelSpec(), MelSpec().scale())["response"]
    expected = soxr.resample(samples, rate, 32_000, quality="HQ")
    found = kit.resample(samples, rate, 32_000, response)
    assert len(found) == len(expected)
    assert np.sqrt(np.mean((found - expected) ** 2) / np.mean(expected**2)) < 2e-3


@pytest.mark.parametrize("dtype", ["uint8", "float16"])
@pytest.mark.parametrize("how", ["zscore", "minmax", "bins", "none"])
def test_inputs_of_values_are_those_of_birdflow(how: Any, dtype: Any) -> None:
    spec = PcenSpec(n_mels=32)
    scale = spec.scale(dtype)
    reads = InputSpec(mel=spec, scale=scale, frames=40, normalise=how, top_db=80.0)
    values = np.random.default_rng(0).exponential(0.5, (40, 32)).astype(np.float32)
    codes = encode(values, 1, scale)
    features = Recordings(("a",), torch.from_numpy(codes), *torch.tensor([[0], [40]]), spec, scale)
    zero = torch.zeros(1, dtype=torch.long)
    expected = model_input(features.power(zero, zero, 40), reads).numpy()
    table = front_end_arrays(spec, scale)["power_table"]
    of_kit = kit.decode_power(codes, asdict(scale), table).T[None]
    found = kit.model_input(of_kit, of_kit[0, :, :1], {"normalise": how, "top_db": 80.0}, True)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("dtype", ["uint8", "float16"])
@pytest.mark.parametrize("how", ["zscore", "minmax", "bins", "none", "floor"])
def test_inputs_of_models_are_those_of_birdflow(how: str, dtype: str) -> None:
    spec = MelSpec(n_mels=32)
    scale = spec.scale("uint8" if dtype == "uint8" else "float16")
    reads = InputSpec(mel=spec, scale=scale, frames=40, normalise=how, top_db=80.0)
    energies = np.random.default_rng(0).exponential(0.01, (100, 32)).astype(np.float32)
    codes = encode(energies, 2, scale)
    starts = torch.tensor([[0], [100]])
    features = Recordings(("a",), torch.from_numpy(codes), *starts, spec, scale)
    offsets = torch.tensor([0, 30, 60])
    power = features.power(torch.zeros_like(offsets), offsets, 40, with_floor=how == "floor")
    expected = model_input(power, reads).numpy()

    table = front_end_arrays(spec, scale)["power_table"]
    frames = offsets.numpy()[:, None] + np.arange(40)
    of_kit = kit.decode_power(codes[frames], asdict(scale), table).transpose(0, 2, 1)
    floor = kit.decode_power(kit.lower_median(codes, 0), asdict(scale), table).T / np.log(2)
    found = kit.model_input(of_kit, floor, {"normalise": how, "top_db": 80.0})
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize(
    "settings",
    [
        Predict(),
        Predict(gaussian=0.8),
        Predict(neighbours=True, file_maximum=0.2),
        Predict(gaussian=1.5, delta_shift=0.5, neighbours=True, file_maximum=0.1),
    ],
)
@pytest.mark.parametrize("rows", [1, 3, 12])
def test_smoothing_is_that_of_birdflow(settings: Predict, rows: int) -> None:
    table = np.random.default_rng(rows).random((rows, 4))
    expected = smooth_recording(table, settings)
    np.testing.assert_allclose(kit.smooth(table, settings.model_dump()), expected, atol=1e-12)


@pytest.mark.parametrize("how", ["mean", "power", "rank"])
@pytest.mark.parametrize("weights", [[0.25, 0.75], [[0.5, 0.0, 1.0], [0.5, 1.0, 0.0]]])
def test_blends_are_those_of_birdflow(how: str, weights: list) -> None:
    tables = np.random.default_rng(0).random((2, 9, 3)).round(1)  # with ties
    config = {"blend": how, "power": 2.0, "weights": dict(zip("ab", weights, strict=True))}
    found = kit.blend(dict(zip("ab", tables, strict=True)), config)
    np.testing.assert_allclose(found, blend(tables, weights, how, 2.0), atol=1e-12)


def test_lengths_that_are_quick_to_transform() -> None:
    smooth = sorted(2**a * 3**b * 5**c for a in range(24) for b in range(14) for c in range(10))
    for least in (1, 2, 7, 11, 97, 4096, 4097, 962_048, 2_646_001):
        assert kit.quick_length(least) == next(one for one in smooth if one >= least)


def test_channels_that_cancel_leave_the_loudest(tmp_path: Path) -> None:
    one = np.random.default_rng(0).standard_normal(32_000).astype(np.float32) * 0.1
    for name, other in (("alike", one), ("wrong", -1.05 * one)):
        path = tmp_path / f"{name}.wav"
        sf.write(path, np.stack([one, other], axis=1), 32_000, subtype="FLOAT")
        np.testing.assert_allclose(kit.read_mono(path)[0], decode(path).samples, atol=1e-7)


@pytest.mark.parametrize("channels", ["mean", "first", "loudest"])
def test_channels_are_those_of_birdflow(tmp_path: Path, channels: str) -> None:
    samples = chirps(32_000, 2.0, 1_000, 9_000)
    both = np.stack([0.3 * samples, samples[::-1]], axis=1) + np.float32([0.5, 0.0])
    sf.write(tmp_path / "a.wav", both, 32_000, subtype="FLOAT")
    expected = decode(tmp_path / "a.wav", Reading(channels=channels)).samples
    np.testing.assert_allclose(kit.read_mono(tmp_path / "a.wav", channels)[0], expected, atol=1e-7)


@pytest.mark.parametrize("text", ["TE: 10", "TE : 2.5", "TE: no", "TE: -1", "Make: X"])
def test_speed_is_that_of_birdflow(tmp_path: Path, text: str) -> None:
    write_guano(tmp_path / "a.wav", np.zeros(99), 44_100, f"GUANO|Version: 1.0\n{text}")
    sf.write(tmp_path / "b.flac", np.zeros(99), 44_100)
    for reading in (Reading(), Reading(speed=4.0), Reading(speed=9.0, speed_from="file")):
        for name in ("a.wav", "b.flac"):
            found = kit.speed_of(tmp_path / name, reading.model_dump())
            assert found == reading.speed_of(tmp_path / name)
    assert kit.speed_of(tmp_path / "a.wav", {}) == 1.0  # a bundle of before


def test_rows_are_named_as_birdflow_names_them() -> None:
    paths = ["a/x.ogg", "b/x.ogg", "b/x.wav", "c/u\N{COMBINING DIAERESIS}.ogg", "y.ogg"]
    named = row_names(f"test_soundscapes/{path}" for path in paths)
    expected = [kit.unicodedata.normalize("NFC", name) for name in named.values()]
    assert kit.row_names(paths) == expected


def test_recordings_that_can_not_be_used_are_left_out_with_a_reason(tmp_path: Path) -> None:
    for name, rate in (("slow", 1), ("slower", 99), ("fast", 2_000_000), ("right", 100)):
        sf.write(tmp_path / f"{name}.wav", np.zeros(100), rate)
    for name in ("slow", "slower", "fast"):
        with pytest.raises(kit.Refused, match=r"a rate of \d+ Hz"):
            kit.read_mono(tmp_path / f"{name}.wav")
    assert kit.read_mono(tmp_path / "right.wav")[1] == 100
    odd = tmp_path / os.fsdecode(b"Vog\xe9l.wav")
    odd.write_bytes((tmp_path / "right.wav").read_bytes())
    with pytest.raises(kit.Refused, match="surrogates not allowed"):
        kit.read_mono(odd)


def test_arrays_that_a_bundle_lacks_are_named(tmp_path: Path) -> None:
    config = dict.fromkeys(kit.CONFIG_KEYS) | {"format": 1, "front_end": {"name": "mel"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    arrays = dict.fromkeys(kit.ARRAYS - {"bank", "window"}, np.zeros(1))
    np.savez(tmp_path / "front_end.npz", **arrays)
    with pytest.raises(kit.Refused, match="is damaged: it has no bank, window"):
        kit.read_bundle(tmp_path)


def test_less_than_no_thread_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert kit.main([str(tmp_path), "--threads", "-2"]) == 1
    assert "--threads -2: give how many, or 0 for all cores" in capsys.readouterr().err
