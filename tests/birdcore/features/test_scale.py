"""Codes: their error, their ends, and that full scale fits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdcore.features.mel import PRESETS, MelSpec
from birdcore.features.scale import Power, Scale, decode_db, decode_energy, encode, power_table
from birdcore.features.spectrogram import mel_energy

powers = st.sampled_from([1, 2])
dtypes = st.sampled_from(["uint8", "float16"])


def energy_of(decibels: np.ndarray, power: Power) -> np.ndarray:
    return (10.0 ** (decibels * power / 20.0)).astype(np.float32)


@given(
    st.lists(st.floats(-150.0, 60.0), min_size=1),
    powers,
    dtypes,
    st.floats(-90.0, -20.0),
    st.floats(1.0, 120.0),
)
def test_decode_db_is_within_half_a_step(
    values: list[float], power: Power, dtype: str, floor: float, width: float
) -> None:
    scale = Scale(floor, floor + width, dtype)
    decibels = np.array(values)
    decoded = decode_db(encode(energy_of(decibels, power), power, scale), scale)
    # Half floats are 1/16 apart from 64 to 128.
    bound = (scale.step_db if dtype == "uint8" else 1 / 16) / 2 + 1e-4
    assert np.all(np.abs(decoded - decibels.clip(floor, floor + width)) <= bound)


@given(st.integers(0, 255), powers)
def test_encode_inverts_decode_energy(code: int, power: Power) -> None:
    codes = np.full((2, 3), code, np.uint8)
    np.testing.assert_array_equal(
        encode(decode_energy(codes, Scale(), power), power, Scale()), codes
    )


def test_decode_db_has_a_mean_error_of_a_tenth_of_a_decibel() -> None:
    decibels = np.random.default_rng(0).uniform(-69.0, 34.0, 100_000)
    for dtype, bound in (("uint8", 0.11), ("float16", 0.01)):
        scale = Scale(dtype=dtype)
        error = decode_db(encode(energy_of(decibels, 2), 2, scale), scale) - decibels
        assert np.abs(error).mean() < bound


@pytest.mark.parametrize("dtype", ["uint8", "float16"])
@pytest.mark.parametrize("power", [1, 2])
def test_encode_gives_silence_code_0(dtype: str, power: Power) -> None:
    scale = Scale(dtype=dtype)
    codes = encode(np.zeros((2, 4), np.float32), power, scale)
    assert codes.dtype == dtype
    assert not codes.any()
    assert not decode_energy(codes, scale, power).any()
    np.testing.assert_array_equal(decode_db(codes, scale), -70.0)


def test_power_table_equals_decode_energy() -> None:
    scale = Scale()
    table = power_table(scale)
    codes = np.arange(256, dtype=np.uint8)
    assert table.shape == (256,)
    assert table[0] == 0.0
    np.testing.assert_allclose(table[1:], 10 ** (decode_db(codes, scale)[1:] / 10), rtol=1e-5)
    np.testing.assert_allclose(decode_energy(codes, scale, 1) ** 2, table, rtol=1e-5)


@pytest.mark.parametrize("spec", PRESETS.values(), ids=PRESETS)
def test_encode_holds_full_scale_below_the_ceiling(spec: MelSpec) -> None:
    t = np.arange(spec.sample_rate) / spec.sample_rate
    noise = np.random.default_rng(0).uniform(-1.0, 1.0, spec.sample_rate)
    sines = [np.sin(2 * np.pi * f * t) for f in (440.0, 3000.0, 8000.0, 14900.0)]
    squares = [np.sign(sine) for sine in sines]
    for signal in (noise, np.sign(noise), *sines, *squares):
        loudest = encode(mel_energy(signal.astype(np.float32), spec), 2, Scale()).max()
        assert 150 < loudest < 255


def test_scale_and_encode_refuse_wrong_values() -> None:
    with pytest.raises(ValueError, match="below the ceiling"):
        Scale(floor_db=30.0, ceiling_db=-70.0)
    with pytest.raises(ValueError, match="choose 'uint8' or 'float16'"):
        Scale(dtype="int8")
    with pytest.raises(ValueError, match="only uint8"):
        power_table(Scale(dtype="float16"))
    with pytest.raises(ValueError, match="not a number"):
        encode(np.array([1.0, np.nan], np.float32), 2, Scale())
