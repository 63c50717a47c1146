"""Features in NumPy are birdflow's."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from birdcore.audio.decode import decode
from birdcore.config.suggested_front_end import suggest_front_end
from birdcore.export.front_end import front_end_arrays, front_end_settings
from birdcore.export.kit import features as kit
from birdcore.export.kit.codes import encode as kit_encode
from birdcore.export.kit.samples import read_mono
from birdcore.features.mel import PRESETS, MelSpec
from birdcore.features.pcen import PcenSpec
from birdcore.features.scale import encode
from birdcore.features.spectrogram import mel_energy
from birdcore.features.stft import StftSpec
from tests.support.chirps import chirps

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
        samples, rate = read_mono(path)
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
        of_kit = kit_encode(found, spec.power, asdict(scale))
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
    samples = read_mono(path)[0][: 20 * 32_000]
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
    of_kit = kit_encode(found, spec.power, asdict(scale))
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


@pytest.mark.parametrize("length", [1, 2, 300, 1024, 5000])
def test_short_recordings_are_mirrored_alike(length: int) -> None:
    spec = MelSpec(n_mels=32)
    samples = np.random.default_rng(length).standard_normal(length).astype(np.float32)
    arrays = front_end_arrays(spec, spec.scale())
    found = kit.band_energies(samples, spec.model_dump(), arrays)
    np.testing.assert_allclose(found, mel_energy(samples, spec), rtol=1e-4, atol=1e-7)
