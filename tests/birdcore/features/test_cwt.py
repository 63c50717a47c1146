"""Settings of wavelets: what a recipe may say, shapes, scale."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from pydantic import ValidationError

from birdcore.config.mel import Mel
from birdcore.features.cwt import CwtSpec
from birdcore.features.front_end import (
    encode_recording,
    from_settings,
    length_and_peak,
    to_settings,
)
from birdcore.features.mel import MelSpec
from birdcore.features.scale import decode_db


def test_centres_are_even_in_octaves() -> None:
    spec = CwtSpec(scales=9, f_min=50, f_max=12_800)
    np.testing.assert_allclose(spec.centres(), 50 * 2.0 ** np.arange(9), rtol=1e-6)


def test_frames_are_as_many_as_of_a_mel() -> None:
    spec, mel = CwtSpec(hop_length=500), MelSpec(hop_length=500)
    assert spec.frame_rate == mel.frame_rate
    for samples in (1, 499, 500, 160_000):
        assert spec.frames(samples) == mel.frames(samples)


def test_recipe_gives_as_many_scales_as_bins_unless_it_says_how_many() -> None:
    assert Mel(features=("cwt",)).spec() == CwtSpec()
    assert Mel(features=("cwt",), n_mels=64).spec() == CwtSpec(scales=64)
    preset = Mel(features=("cwt",), preset="config_256", cycles=12.0).spec()
    expected = CwtSpec(scales=256, hop_length=1024, cycles=12, f_max=16_000)
    assert preset == expected
    assert Mel(features=("cwt",), preset="config_256", scales=96).spec().bins == 96
    assert from_settings(to_settings(expected)) == expected


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scales": 1}, "scales is 1"),
        ({"cycles": 0.5}, "cycles is 0.5"),
        ({"f_max": 20_000.0}, "above half the sample rate"),
        ({"n_fft": 1024}, "has no effect under"),
        ({"n_mels": 64, "scales": 96}, "has no effect under"),
    ],
)
def test_what_does_not_fit_is_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Mel.model_validate({"features": ["cwt"]} | settings)


def test_a_real_recording_fits_the_scale(shared_data: Path) -> None:
    path = next(iter(sorted((shared_data / "birdclef-mini" / "train_audio").rglob("*.ogg"))))
    samples, _ = soundfile.read(path, dtype="float32", frames=10 * 32_000)
    spec, scale = CwtSpec(), CwtSpec().scale("uint8")
    count, peak = length_and_peak([samples])
    codes = np.concatenate(list(encode_recording([samples], peak, spec, scale)))
    assert codes.shape == (spec.frames(count), 128)
    assert codes.max() < 255
    # About a mel's levels, so that the same floors and augmentations suit both.
    mel = MelSpec()
    mel_codes = np.concatenate(list(encode_recording([samples], peak, mel, mel.scale("uint8"))))
    levels = [np.median(decode_db(each, scale)) for each in (codes, mel_codes)]
    assert abs(levels[0] - levels[1]) < 12


def test_no_samples_pass_the_scale() -> None:
    spec = CwtSpec(sample_rate=8_000, f_max=3_500, scales=12)
    for hz in spec.centres()[::4]:
        phases = 2 * np.pi * float(hz) / 8_000 * np.arange(8_000)
        square = np.where(np.sin(phases) < 0, np.float32(-1), np.float32(1))
        loudest = max(float(frames.max()) for frames in spec.energies([square]))
        assert 10 * np.log10(loudest) < spec.scale("uint8").ceiling_db
