"""Front ends in NumPy are birdflow's."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from birdcore.audio.decode import decode
from birdcore.config.suggested_front_end import suggest_front_end
from birdcore.export.front_end import front_end_arrays, front_end_settings
from birdcore.export.kit.codes import encode as kit_encode
from birdcore.export.kit.front_ends import arrays_of, open_front_end
from birdcore.export.kit.samples import read
from birdcore.features.cwt import CwtSpec
from birdcore.features.front_end import FrontEnd
from birdcore.features.mel import PRESETS, MelSpec
from birdcore.features.pcen import PcenSpec
from birdcore.features.scale import encode
from birdcore.features.stacked import Stacked
from birdcore.features.stft import StftSpec
from birdcore.features.superlet import SuperletSpec
from birdcore.features.wave import WaveSpec
from tests.support.chirps import chirps


def energies_of(spec: FrontEnd, samples: np.ndarray) -> np.ndarray:
    return np.concatenate([block.copy() for block in spec.energies([samples])])


def features_of(spec: FrontEnd, samples: np.ndarray) -> np.ndarray:
    """By the kit, whose settings have been JSON."""
    settings = json.loads(json.dumps(front_end_settings(spec)))
    arrays = front_end_arrays(spec, spec.scale("uint8"))
    assert arrays_of(settings["name"]) <= arrays.keys()
    front_end = open_front_end(settings, arrays)
    assert front_end.channels == spec.input_channels
    return front_end.features(samples)


SPECS = {
    **PRESETS,
    "magnitude": MelSpec(power=1, mel_scale="slaney", norm="slaney"),
    "mini": MelSpec(hop_length=1024, n_mels=64, f_min=1000.0, f_max=12500.0),
}


@pytest.mark.parametrize("name", SPECS)
def test_mel_equals_birdflow_on_real_files(shared_data: Path, name: str) -> None:
    spec = SPECS[name]
    scale = spec.scale("uint8")
    files = sorted((shared_data / "birdclef-mini" / "test_soundscapes").glob("*.ogg"))[:3]
    assert files
    for path in files:
        of_file, rate = read(path)
        samples = of_file[:, 0]
        np.testing.assert_array_equal(samples, decode(path).samples)
        assert rate == spec.sample_rate
        samples = samples / np.abs(samples).max()
        expected = energies_of(spec, samples)
        found = features_of(spec, samples)
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
    path = sorted((shared_data / "birdclef-mini" / "test_soundscapes").glob("*.ogg"))[1]
    samples = decode(path).samples[: 20 * 32_000]
    samples = samples / np.abs(samples).max()
    expected, found = energies_of(spec, samples), features_of(spec, samples)
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
    found = features_of(spec, samples)
    np.testing.assert_allclose(found, energies_of(spec, samples), rtol=1e-3, atol=1e-9)


SHORT = {
    "mel": MelSpec(n_mels=32),
    "cwt": CwtSpec(scales=32),
    "superlet": SuperletSpec(scales=32, order=2.5),
    "wave": WaveSpec(),
    "wave of an odd hop": WaveSpec(hop_length=333),
    "mel+cwt": Stacked((MelSpec(n_mels=32), CwtSpec(scales=32))),
}


@pytest.mark.parametrize("length", [1, 2, 300, 666, 1024, 5000])
@pytest.mark.parametrize("name", SHORT)
def test_short_recordings_are_mirrored_alike(name: str, length: int) -> None:
    spec = SHORT[name]
    samples = np.random.default_rng(length).standard_normal(length).astype(np.float32)
    expected = energies_of(spec, samples)
    # What is mirrored again and again has lines, between which there is noise of float32 alone.
    atol = 1e-6 * np.abs(expected).max() + 1e-9
    np.testing.assert_allclose(features_of(spec, samples), expected, rtol=1e-4, atol=atol)


@pytest.mark.parametrize("name", SHORT)
def test_silence_is_silent(name: str) -> None:
    spec, silence = SHORT[name], np.zeros(70_000, np.float32)
    np.testing.assert_array_equal(features_of(spec, silence), energies_of(spec, silence))


WAVELETS = {
    "cwt": CwtSpec(),
    "few cycles": CwtSpec(cycles=6, f_min=500.0, f_max=15_900.0, scales=96),
    "odd hop": CwtSpec(hop_length=501, scales=64),
    "all beyond a frame": CwtSpec(f_min=20.0, f_max=300.0, scales=24),
    "none beyond a frame": CwtSpec(f_min=4_000.0, scales=24),
    "superlet": SuperletSpec(scales=64),
    "fractional order": SuperletSpec(scales=64, order=2.5, hop_length=320),
    "order 1": SuperletSpec(scales=32, order=1.0),
    "slowed down": CwtSpec(speed=10.0, sample_rate=250_000, f_min=9_000.0, f_max=120_000.0),
}


@pytest.mark.parametrize("name", WAVELETS)
def test_wavelets_equal_birdflows_on_real_files(shared_data: Path, name: str) -> None:
    spec = WAVELETS[name]
    path = sorted((shared_data / "birdclef-mini" / "test_soundscapes").glob("*.ogg"))[2]
    samples = decode(path).samples[: 10 * 32_000 + 77]
    samples = samples / np.abs(samples).max()
    expected, found = energies_of(spec, samples), features_of(spec, samples)
    assert (found.shape, found.dtype) == (expected.shape, np.float32)
    codes = encode(expected, 2, spec.scale("uint8"))
    kept = codes > 0
    decibels = [10 * np.log10(np.float64(each[kept])) for each in (found, expected)]
    difference = np.abs(decibels[0] - decibels[1])
    # As of mel: two libraries' noise of float32, in cells far below the loudest.
    assert (difference > 1e-4).mean() < 1e-3
    assert difference.max() < 3e-3
    assert difference[decibels[1] > -35].max() < 1e-4
    of_kit = kit_encode(found, 2, asdict(spec.scale("uint8")))
    assert np.abs(of_kit.astype(int) - codes).max() <= 1
    assert (of_kit != codes).mean() < 1e-4
