"""Superlets: settings, and what they resolve that wavelets of one length do not."""

import math

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.signal import find_peaks

from birdcore.config.mel import Mel
from birdcore.features.cwt import CwtSpec
from birdcore.features.front_end import from_settings, to_settings
from birdcore.features.superlet import SuperletSpec
from birdcore.features.wavelets import Floats, wavelet_blocks

FINE = {"sample_rate": 16_000, "f_min": 800.0, "f_max": 1_300.0, "scales": 141}
SHORT = SuperletSpec(**FINE, hop_length=8, order=4)


def power(samples: Floats, spec: CwtSpec) -> Floats:
    return np.concatenate(list(wavelet_blocks([samples.astype(np.float32)], spec)))


def test_orders_of_whole_and_other_numbers() -> None:
    assert SuperletSpec(order=2).wavelets == ((1.0, 0.5), (2.0, 0.5))
    assert SuperletSpec(order=2.5).wavelets == ((1.0, 0.4), (2.0, 0.4), (3.0, 0.2))


def test_order_of_1_is_the_wavelet_transform() -> None:
    samples = np.random.default_rng(0).uniform(-1, 1, 20_000)
    settings = CwtSpec(cycles=8, scales=32).model_dump()
    one = power(samples, SuperletSpec(**settings, order=1))
    np.testing.assert_array_equal(one, power(samples, CwtSpec(**settings)))


def test_power_moves_with_the_order_without_a_jump() -> None:
    samples = np.random.default_rng(0).uniform(-1, 1, 20_000)
    below, whole, above = (
        power(samples, SuperletSpec(scales=16, order=order)).mean() for order in (1.999, 2.0, 2.001)
    )
    assert below == pytest.approx(whole, rel=1e-2)
    assert above == pytest.approx(whole, rel=1e-2)


def _click_seconds(spec: CwtSpec) -> float:
    """How long a click is heard at 1 kHz: the width at half its power."""
    click = np.zeros(8_000)
    click[4_000] = 1.0
    heard = power(click, spec)[:, np.abs(spec.centres() - 1_000).argmin()]
    return float((heard > heard.max() / 2).sum()) / spec.frame_rate


def _pitches(spec: CwtSpec, *hz: float) -> list[float]:
    """The peaks of the mean spectrum of tones."""
    t = np.arange(32_000) / spec.sample_rate
    tones = sum(np.sin(2 * np.pi * each * t) for each in hz) / 4
    spectrum = 10 * np.log10(power(np.asarray(tones), spec)[1_000:-1_000].mean(axis=0))
    heard = find_peaks(spectrum, prominence=1.0, height=spectrum.max() - 40)[0]
    return [float(spec.centres()[peak]) for peak in heard]


def test_two_close_tones_are_told_apart_where_wavelets_as_short_do_not() -> None:
    # A click is as long: at the centre a power of exp(-sum(exponent / multiple^2) t^2 / s^2).
    shorter = math.sqrt(sum(exponent / multiple**2 for multiple, exponent in SHORT.wavelets))
    alike = CwtSpec(**FINE, hop_length=8, cycles=SHORT.cycles / shorter)
    assert _click_seconds(alike) == pytest.approx(_click_seconds(SHORT), rel=0.05)
    assert len(_pitches(alike, 950, 1_060)) == 1
    low, high = _pitches(SHORT, 950, 1_060)
    assert low == pytest.approx(950, rel=0.01)
    assert high == pytest.approx(1_060, rel=0.01)


def test_recipe_says_order_and_cycles() -> None:
    assert Mel(features=("superlet",)).spec() == SuperletSpec()
    spec = Mel(features=("superlet",), n_mels=96, order=3.5, cycles=5.0).spec()
    assert spec == SuperletSpec(scales=96, order=3.5, cycles=5)
    assert from_settings(to_settings(spec)) == spec


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"features": ["superlet"], "order": 0.5}, "greater than or equal to 1"),
        ({"features": ["superlet"], "order": 40}, "order is 40"),
        ({"features": ["cwt"], "order": 2.0}, "has no effect under"),
    ],
)
def test_what_does_not_fit_is_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Mel.model_validate(settings)
