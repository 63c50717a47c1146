"""Quality of signals whose numbers are known."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from birdcore.audio import quality as room
from birdcore.audio.decode import decode
from birdcore.audio.quality import Quality

RATE = 32_000


def quality(samples: np.ndarray, rate: int) -> Quality:
    return room.quality(lambda: iter([samples] if len(samples) else []), rate)


def tone(level: float, seconds: float = 2, pitch: float = 3_000) -> np.ndarray:
    time = np.arange(int(seconds * RATE)) / RATE
    return (level * np.sin(2 * np.pi * pitch * time)).astype(np.float32)


def test_quality_finds_no_clipping_in_a_normalised_recording() -> None:
    samples = tone(1) * np.random.default_rng(0).uniform(0.3, 1, 2 * RATE).astype(np.float32)
    found = quality(samples / np.abs(samples).max(), RATE)
    assert found.peak == 1
    assert (found.clipped_runs, found.clipped_share) == (0, 0)


def test_quality_counts_clipped_runs_on_both_sides() -> None:
    pitch = 500
    found = quality(np.clip(tone(1.5, seconds=1, pitch=pitch), -1, 1), RATE)
    assert found.clipped_runs == 2 * pitch
    beyond = 1 - 2 / np.pi * np.arcsin(1 / 1.5)
    assert found.clipped_share == pytest.approx(beyond, abs=0.04)


def test_quality_counts_three_samples_as_a_run_and_not_two() -> None:
    samples = tone(0.1, seconds=1)
    samples[100:102] = 0.99
    assert quality(samples, RATE).clipped_runs == 0
    samples[200:203] = 0.99
    found = quality(samples, RATE)
    assert (found.clipped_runs, found.clipped_share) == (1, 3 / RATE)
    assert quality(samples / 2, RATE).clipped_runs == 0, "flat, but far from full scale"


def test_quality_counts_16_bit_clipping_on_both_sides(tmp_path: Path) -> None:
    import soundfile as sf

    sf.write(tmp_path / "clipped.wav", np.clip(tone(1.5, pitch=500), -1, 1), RATE)
    audio = decode(tmp_path / "clipped.wav")
    assert quality(audio.samples, audio.rate).clipped_runs == 2 * 2 * 500


@pytest.mark.parametrize("snr", [6.0, 20.0, 40.0])
def test_snr_of_a_tone_in_noise(snr: float) -> None:
    """A tone for a fifth of the time: P95 is tone and noise together, P10 is noise."""
    generator = np.random.default_rng(0)
    noise = 1e-3 * generator.standard_normal(20 * RATE).astype(np.float32)
    noise[: 4 * RATE] += 1e-3 * 10 ** (snr / 20) * np.sqrt(2) * tone(1, seconds=4)
    expected = 10 * np.log10(1 + 10 ** (snr / 10))
    assert quality(noise, RATE).snr_db == pytest.approx(expected, abs=0.6)


def test_snr_ignores_a_constant_offset() -> None:
    samples = tone(0.2) * np.linspace(0.01, 1, 2 * RATE, dtype=np.float32)
    assert quality(samples + 0.3, RATE).snr_db == pytest.approx(
        quality(samples, RATE).snr_db, abs=0.1
    )


def test_quality_of_one_sample_and_of_silence_is_defined() -> None:
    one = quality(np.array([0.5], np.float32), RATE)
    assert (one.duration_s, one.peak, one.clipped_runs, one.snr_db) == (1 / RATE, 0.5, 0, 0)
    still = quality(np.zeros(RATE, np.float32), RATE)
    assert still.silent
    assert (still.duration_s, still.peak, still.clipped_share, still.snr_db) == (1, 0, 0, 0)
    assert not quality(tone(0.001), RATE).silent
    with pytest.raises(ValueError, match="no samples"):
        quality(np.zeros(0, np.float32), RATE)


@given(
    samples=hnp.arrays(np.float32, st.integers(1, 3_000), elements=st.floats(-1, 1, width=32)),
    rate=st.integers(1, 48_000),
)
def test_quality_is_finite_and_in_range(samples: np.ndarray, rate: int) -> None:
    found = quality(samples, rate)
    assert found.duration_s * rate == pytest.approx(len(samples))
    assert found.peak == np.abs(samples).max()
    assert 0 <= found.clipped_share <= 1
    assert 3 * found.clipped_runs <= len(samples)
    assert 0 <= found.snr_db < 200
    assert quality(-samples, rate) == found


@given(
    samples=hnp.arrays(
        np.float32,
        st.integers(1, 3_000),
        elements=st.floats(-1, 1, width=32) | st.sampled_from([1.0, 0.99999, -1.0]),
    ),
    rate=st.integers(1, 48_000),
    cuts=st.lists(st.integers(1, 2_999), max_size=8, unique=True),
)
def test_quality_does_not_depend_on_the_blocks(
    samples: np.ndarray, rate: int, cuts: list[int]
) -> None:
    blocks = [block for block in np.split(samples, sorted(cuts)) if len(block)]
    assert room.quality(lambda: iter(blocks), rate) == quality(samples, rate)


def test_quality_joins_runs_across_blocks() -> None:
    samples = tone(0.1, seconds=1)[:4000]
    samples[98:104] = 0.99
    samples[-4:] = 0.99
    for size in (1, 2, 3, 50, 100):
        blocks = np.split(samples, range(size, len(samples), size))
        found = room.quality(lambda blocks=blocks: iter(blocks), RATE)
        assert (found.clipped_runs, found.clipped_share) == (2, 10 / 4000)


def test_quality_of_real_recordings_is_plausible(shared_data: Path) -> None:
    for path in sorted((shared_data / "birdclef-mini/train_audio").rglob("*.ogg"))[:6]:
        audio = decode(path)
        found = quality(audio.samples, audio.rate)
        assert not found.silent
        assert found.snr_db > 1
        assert found.clipped_share < 0.01
