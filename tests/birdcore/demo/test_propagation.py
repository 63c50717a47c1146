import numpy as np
import pytest
from scipy.signal import welch

from birdcore.demo import propagation
from birdcore.demo.recording import RECORDISTS, apply_microphone, focal_recording
from birdcore.demo.song import SPECIES

RATE = 32000


def band_power(samples: np.ndarray, low: float, high: float) -> float:
    hertz, density = welch(samples.astype(np.float64), RATE, nperseg=4096)
    inside = (hertz >= low) & (hertz <= high)
    return float(np.sum(density[inside]) * (hertz[1] - hertz[0]))


@pytest.mark.parametrize("tilt", [0.0, -3.0, -12.0])
def test_noise_has_unit_power_in_the_band_and_its_tilt(tilt: float) -> None:
    samples = propagation.noise(10 * RATE, tilt, np.random.default_rng(0), RATE)
    assert band_power(samples, *propagation.BAND_HZ) == pytest.approx(1.0, rel=0.1)
    low, high = band_power(samples, 1900, 2100), band_power(samples, 3900, 4100)
    assert 10 * np.log10(high / low) == pytest.approx(tilt, abs=1.0)


def test_insects_have_about_unit_power() -> None:
    powers = [
        np.mean(propagation.insect(30 * RATE, np.random.default_rng(k), RATE) ** 2)
        for k in range(8)
    ]
    assert 0.5 < np.median(powers) < 4.0


def test_far_is_quieter_duller_and_more_reverberant() -> None:
    click = np.zeros(RATE, dtype=np.float32)
    click[0] = 1.0
    near, far = (
        propagation.propagate(click, m, np.random.default_rng(0), RATE) for m in (10.0, 80.0)
    )
    assert band_power(far, 1000, 10000) < band_power(near, 1000, 10000) / 30
    dull = [band_power(x, 7000, 9000) / band_power(x, 1000, 3000) for x in (near, far)]
    assert dull[1] < dull[0] / 4
    wet = [np.sum(x[800:] ** 2) / np.sum(x[:800] ** 2) for x in (near, far)]
    assert wet[1] > 2 * wet[0]


def test_hum_repeats_seamlessly() -> None:
    samples = propagation.hum(RATE + 3200, 60, RATE)
    np.testing.assert_allclose(samples[RATE:], samples[:3200], atol=1e-4)


def test_microphones_colour_what_they_take() -> None:
    white = propagation.noise(4 * RATE, 0.0, np.random.default_rng(0), RATE)
    treble = [
        10 * np.log10(band_power(apply_microphone(each, white, RATE), 9500, 10500))
        - 10 * np.log10(band_power(white, 9500, 10500))
        for each in RECORDISTS
    ]
    np.testing.assert_allclose(treble, [each.treble for each in RECORDISTS], atol=0.5)


def test_focal_recordings_have_a_second_bird_only_when_asked() -> None:
    alone, other = (
        focal_recording(SPECIES[0], second, RECORDISTS[0], np.random.default_rng(3), 8.0, RATE)[0]
        for second in (None, SPECIES[3])
    )
    assert alone.shape == other.shape == (8 * RATE,)
    assert alone.dtype == other.dtype == np.float32
    assert 0.29 < np.abs(alone).max() < 0.91
    assert not np.array_equal(alone, other)
