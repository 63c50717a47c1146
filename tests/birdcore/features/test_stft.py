"""The linear front end, against torch's STFT and torchaudio's filters, and as a recipe names it."""

from typing import Any, Literal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torchaudio.functional import linear_fbanks

from birdcore.config import Mel
from birdcore.features.front_end import from_settings, to_settings
from birdcore.features.scale import decode_energy, encode
from birdcore.features.stft import StftSpec

NOISE = np.random.default_rng(0).normal(size=20_000).astype(np.float32)
NARROW = StftSpec(n_fft=256, hop_length=100, f_min=1000.0, f_max=12_000.0)


def energies(spec: StftSpec, *blocks: np.ndarray) -> np.ndarray:
    return np.concatenate(list(spec.energies(blocks)))


def torchs(spec: StftSpec) -> torch.Tensor:
    """The spectrum of NOISE (T, n_fft // 2 + 1) by torch."""
    window = torch.hann_window(spec.n_fft)
    found = torch.stft(
        torch.from_numpy(NOISE), spec.n_fft, spec.hop_length, window=window, return_complex=True
    )
    return (found.abs().T / window.norm()) ** spec.power


@pytest.mark.parametrize("power", [1, 2])
def test_bins_are_torchs(power: Literal[1, 2]) -> None:
    spec = NARROW.model_copy(update={"power": power})
    found = energies(spec, NOISE)
    assert found.shape == (spec.frames(len(NOISE)), spec.bins) == (201, 89)
    np.testing.assert_allclose(found, torchs(spec)[:, 8:97], rtol=1e-3, atol=1e-4)
    assert spec.centres()[[0, -1]].tolist() == [1000.0, 12_000.0]


def test_bands_are_torchaudios() -> None:
    spec = StftSpec(n_fft=512, hop_length=100, n_mels=40, f_min=500.0, f_max=14_000.0)
    bank = linear_fbanks(257, spec.f_min, spec.f_max, 40, spec.sample_rate)
    np.testing.assert_allclose(energies(spec, NOISE), torchs(spec) @ bank, rtol=1e-3, atol=1e-4)
    peaks = bank.argmax(dim=0) * 32_000 / 512
    np.testing.assert_allclose(spec.centres(), peaks, atol=32_000 / 512)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 20_000), max_size=5), st.sampled_from([None, 17]))
def test_frames_do_not_depend_on_blocks(cuts: list[int], n_mels: int | None) -> None:
    spec = NARROW.model_copy(update={"n_mels": n_mels})
    found = energies(spec, *np.split(NOISE, sorted(cuts)))
    np.testing.assert_array_equal(found, energies(spec, NOISE))


def test_no_bin_is_that_of_0_hz() -> None:
    spec = StftSpec(n_fft=512)
    assert (spec.bins, spec.fft_bins) == (256, range(1, 257))
    assert spec.centres().min() > 0
    assert spec.bandwidths() is None


@pytest.mark.parametrize("n_mels", [None, 8])
@pytest.mark.parametrize("power", [1, 2])
def test_the_loudest_whistle_is_not_clipped(n_mels: int | None, power: Literal[1, 2]) -> None:
    spec = StftSpec(n_mels=n_mels, power=power)
    tone = np.sin(2 * np.pi * 4000 / 32_000 * np.arange(32_000)).astype(np.float32)
    found, scale = energies(spec, tone), spec.scale("float16")
    top = decode_energy(encode(found, power, scale), scale, power).max()
    assert top == pytest.approx(found.max(), rel=0.01)


def test_settings_come_back() -> None:
    spec = StftSpec(n_fft=1024, f_min=50.0)
    assert to_settings(spec)["front_end"] == "stft"
    assert from_settings(to_settings(spec)) == spec


def test_recipe_names_it() -> None:
    table: dict[str, Any] = {"features": ["stft"], "n_fft": 1024}
    assert Mel.model_validate(table).spec() == StftSpec(n_fft=1024)
    preset = Mel.model_validate({**table, "preset": "config_128"}).spec()
    assert preset == StftSpec(n_fft=1024, n_mels=128)


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"mel_scale": "htk"}, r'no effect under features = \["stft"\], which reads .*n_fft'),
        ({"n_fft": 1023}, "n_fft is 1023: choose an even number"),
        ({"f_min": 20_000.0}, "f_min 20000 Hz is not below f_max 16000 Hz"),
        ({"n_mels": 128, "n_fft": 512, "hop_length": 256, "f_max": 2000.0}, "of 128 bands are emp"),
        ({"f_min": 100.0, "f_max": 101.0, "n_fft": 512}, "no FFT bin lies between f_min and f_max"),
    ],
)
def test_wrong_settings_are_refused(table: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        Mel.model_validate({"features": ["stft"], **table})
