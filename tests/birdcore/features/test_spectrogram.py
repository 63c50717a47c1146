"""Mel energies equal torchaudio's, on signals that stress each part."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torchaudio.transforms import MelSpectrogram

from birdcore.audio.reading import Reading
from birdcore.features.mel import PRESETS, MelSpec
from birdcore.features.spectrogram import Floats, filter_bank, mel_blocks, mel_energy

SPECS = PRESETS | {
    "magnitude": MelSpec(power=1),
    "slaney": MelSpec(mel_scale="slaney", norm="slaney", n_mels=64),
    "odd_rate": MelSpec(sample_rate=22050, n_fft=1000, hop_length=333, f_max=11025.0, n_mels=37),
}
every_spec = pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)


def reference(samples: Floats, spec: MelSpec) -> Floats:
    settings = spec.model_dump(exclude=set(Reading.model_fields))
    transform = MelSpectrogram(**settings, normalized=True)
    return transform(torch.from_numpy(samples)).T.numpy()


def assert_same(samples: Floats, spec: MelSpec) -> None:
    ours, theirs = mel_energy(samples, spec), reference(samples, spec)
    assert ours.dtype == np.float32
    assert ours.shape == theirs.shape
    # Far below the loudest bins both are float32's rounding, so the bound is wider there.
    for floor_db, tolerance_db in ((-30.0, 2e-4), (-60.0, 0.01)):
        heard = theirs > 10.0 ** (floor_db * spec.power / 20.0)
        assert heard.any()
        rtol = 10.0 ** (tolerance_db * spec.power / 20.0) - 1.0
        np.testing.assert_allclose(ours[heard], theirs[heard], rtol=rtol)
    assert ours[~heard].max(initial=0.0) <= 1.01 * 10.0 ** (-60.0 * spec.power / 20.0)


@every_spec
@pytest.mark.parametrize("length", [2049, 32000, 200_001])
def test_mel_energy_of_noise_matches_torchaudio(spec: MelSpec, length: int) -> None:
    noise = np.random.default_rng(0).standard_normal(length).astype(np.float32)
    assert_same(noise / np.abs(noise).max(), spec)


@every_spec
def test_mel_energy_of_a_sweep_matches_torchaudio(spec: MelSpec) -> None:
    t = np.arange(4 * spec.sample_rate) / spec.sample_rate
    sweep = np.sin(2 * np.pi * spec.sample_rate / 16 * t**2)
    assert_same(sweep.astype(np.float32), spec)


def test_mel_energy_of_real_recordings_matches_torchaudio(shared_data: Path) -> None:
    paths = sorted((shared_data / "birdclef-mini" / "train_audio").rglob("*.ogg"))[::50]
    assert paths
    for path in paths:
        samples, rate = soundfile.read(path, dtype="float32", frames=10 * 32000)
        assert rate == 32000
        for spec in PRESETS.values():
            assert_same(samples / np.abs(samples).max(), spec)


@pytest.mark.parametrize("length", [1, 2, 3, 500, 1024])
def test_mel_energy_mirrors_short_recordings_repeatedly(length: int) -> None:
    spec = MelSpec()
    samples = np.random.default_rng(1).standard_normal(length).astype(np.float32)
    frame = np.pad(samples, spec.n_fft // 2, mode="reflect")[: spec.n_fft]
    window = torch.hann_window(spec.n_fft).numpy()
    power = np.abs(np.fft.rfft(frame * window)) ** 2 / np.sum(window**2)
    energy = mel_energy(samples, spec)
    assert energy.shape == (spec.frames(length), spec.n_mels)
    np.testing.assert_allclose(energy[0], power @ filter_bank(spec), rtol=1e-3, atol=1e-5)


@every_spec
@pytest.mark.parametrize("length", [1, 900, 2_049, 65_536 + 1_024, 65_536 + 1_025, 200_001])
@pytest.mark.parametrize("size", [300, 10_000, 131_072])
def test_mel_blocks_does_not_depend_on_the_blocks(spec: MelSpec, length: int, size: int) -> None:
    noise = np.random.default_rng(0).standard_normal(length).astype(np.float32)
    blocks = np.split(noise, range(size, length, size))
    energies = list(mel_blocks(blocks, spec))
    assert sum(map(len, energies)) == spec.frames(length)
    np.testing.assert_array_equal(np.concatenate(energies), mel_energy(noise, spec))


@pytest.mark.parametrize("shape", [(0,), (2, 32000)])
def test_mel_energy_refuses_no_samples_and_two_channels(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="one channel with a sample or more"):
        mel_energy(np.zeros(shape, np.float32), MelSpec())


def test_mel_energy_of_silence_is_zero() -> None:
    assert not mel_energy(np.zeros(5000, np.float32), MelSpec()).any()
