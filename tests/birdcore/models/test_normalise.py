from typing import get_args

import numpy as np
import pytest
import torch
import torchaudio
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from birdcore.models.normalise import Normalisation, normalise, over_floor, to_db

HOWS: tuple[Normalisation, ...] = get_args(Normalisation)


def draw(seed: int = 0, batch: int = 3) -> Tensor:
    """Power (B, 12, 40) whose samples differ in level by tens of decibels."""
    generator = torch.Generator().manual_seed(seed)
    level = 10.0 ** (torch.rand(batch, 1, 1, generator=generator) * 6 - 3)
    return torch.randn(batch, 12, 40, generator=generator).exp() ** 2 * level


@pytest.mark.parametrize("top_db", [None, 15.0, 80.0])
def test_to_db_equals_torchaudio_on_each_sample(top_db: float | None) -> None:
    power = draw()
    for got, sample in zip(to_db(power, -90.0, top_db), power, strict=True):
        expected = torchaudio.functional.amplitude_to_DB(sample, 10.0, 1e-9, 0.0, top_db)
        torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("how", HOWS)
def test_a_gain_is_seen_on_a_constant_scale_only(how: Normalisation) -> None:
    power, gain_db = draw() + 1.0, torch.tensor([-6.0, 0.0, 12.0])[:, None, None]
    got = normalise(to_db(power * 10 ** (gain_db / 10)), how)
    expected = normalise(to_db(power), how) + (gain_db / 40 if how == "none" else 0.0)
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)


def test_a_gain_of_a_recording_and_its_noise_is_not_seen() -> None:
    power = draw()
    floor = power.median(dim=2, keepdim=True).values
    torch.testing.assert_close(over_floor(4 * power, 4 * floor), over_floor(power, floor))


@pytest.mark.parametrize("how", HOWS)
@given(seed=st.integers(0, 1000))
def test_no_sample_sees_its_batch(how: Normalisation, seed: int) -> None:
    power = draw(seed)
    together = normalise(to_db(power), how)
    alone = torch.cat([normalise(to_db(sample[None]), how) for sample in power])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5)
    assert together.shape == power.shape


def test_equals_scipy_and_numpy() -> None:
    db = to_db(draw())
    rows = db.numpy().reshape(3, -1).astype(np.float64)
    zscore = stats.zscore(rows, axis=1)
    minmax = (rows - rows.min(1, keepdims=True)) / np.ptp(rows, axis=1, keepdims=True)
    np.testing.assert_allclose(normalise(db, "zscore").reshape(3, -1), zscore, atol=1e-4)
    np.testing.assert_allclose(normalise(db, "minmax").reshape(3, -1), minmax, atol=1e-5)
    twice = normalise(normalise(db, "zscore"), "minmax")
    torch.testing.assert_close(twice, normalise(db, "minmax"), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(normalise(db, "none"), db / 40 + 1)


def test_bins_take_steady_noise_out_and_leave_calls() -> None:
    hum = torch.linspace(-60, -20, 12)[None, :, None].expand(1, 12, 40)
    call = torch.zeros(1, 12, 40)
    call[:, 5, 10:20] = 25.0
    got = normalise(hum + call, "bins")
    torch.testing.assert_close(got, call / call.std(correction=0))


def test_over_the_floor_level_and_colour_of_noise_are_gone_and_birds_keep_their_height() -> None:
    floor = 10.0 ** torch.linspace(-6, -4, 12)[None, :, None]
    power = floor.expand(1, 12, 40).clone()
    power[:, 5, 10:20] *= 10.0**2.5
    expected = torch.full((1, 12, 40), -0.5)
    expected[:, 5, 10:20] = 2.0
    torch.testing.assert_close(over_floor(power, floor), expected)
    torch.testing.assert_close(over_floor(1e-4 * power, 1e-4 * floor), expected)
    assert over_floor(torch.zeros(1, 12, 40), floor).unique().tolist() == [-1.5]
    # A bin that is digital silence has no noise of its own to be measured by.
    floor[:, 3] = 0.0
    assert over_floor(power, floor)[:, 3].max() < 4.0
    assert over_floor(power, torch.zeros_like(floor)).max() == 5.5


@pytest.mark.parametrize("how", HOWS)
def test_silence_is_finite(how: Normalisation) -> None:
    assert normalise(to_db(torch.zeros(2, 12, 40)), how).isfinite().all()


def test_another_normalisation_is_refused() -> None:
    with pytest.raises(ValueError, match="choose zscore, minmax, bins or none"):
        normalise(draw(), "batch")  # type: ignore[arg-type]
