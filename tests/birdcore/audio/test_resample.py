"""Resampling in blocks gives what resampling at once gives, bit for bit."""

import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from birdcore.audio.resample import resample_blocks

rates = st.sampled_from([4_000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 250_000])


def joined(blocks: list[np.ndarray], source: int, target: int) -> np.ndarray:
    made = list(resample_blocks(blocks, source, target))
    assert all(len(block) for block in made)
    return np.concatenate([np.empty(0, np.float32), *made])


@settings(deadline=None, max_examples=60)
@given(
    samples=st.integers(1, 30_000),
    source=rates,
    target=rates,
    cuts=st.lists(st.integers(1, 29_999), max_size=6, unique=True),
)
def test_resample_blocks_equals_resample(
    samples: int, source: int, target: int, cuts: list[int]
) -> None:
    noise = np.random.default_rng(samples).standard_normal(samples).astype(np.float32)
    blocks = [block for block in np.split(noise, sorted(cuts)) if len(block)]
    expected = soxr.resample(noise, source, target, quality="HQ")
    np.testing.assert_array_equal(joined(blocks, source, target), expected)


def test_resample_blocks_of_equal_rates_gives_the_blocks() -> None:
    blocks = [np.ones(3, np.float32), np.ones(2, np.float32)]
    assert all(a is b for a, b in zip(resample_blocks(blocks, 8_000, 8_000), blocks, strict=True))


def test_resample_refuses_rates_below_one() -> None:
    with pytest.raises(ValueError, match="rates must be positive"):
        next(resample_blocks([np.ones(1, np.float32)], 0, 16_000))
