"""Files are read as birdflow reads them."""

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import soxr

from birdcore.audio.decode import decode
from birdcore.audio.reading import Reading
from birdcore.export.front_end import front_end_arrays
from birdcore.export.kit import samples as kit
from birdcore.export.kit.base import Refused
from birdcore.features.mel import MelSpec
from tests.support.chirps import chirps
from tests.support.guano import write_guano


@pytest.mark.parametrize(("source", "target"), [(384_000, 250_000), (500_000, 192_000), (250, 100)])
def test_resampling_beyond_hearing_is_that_of_birdflow(source: int, target: int) -> None:
    samples = chirps(source, 100_000 / source, 0.05 * target, 0.4 * target)
    response = front_end_arrays(MelSpec(), MelSpec().scale())["response"]
    expected = soxr.resample(samples, source, target, quality="HQ")
    found = kit.resample(samples, source, target, response)
    assert len(found) == len(expected)
    assert np.sqrt(np.mean((found - expected) ** 2) / np.mean(expected**2)) < 5e-3


@pytest.mark.parametrize("rate", [22_050, 24_000, 44_100, 48_000, 96_000])
def test_resampling_is_that_of_birdflow(shared_data: Path, rate: int) -> None:
    path = sorted((shared_data / "birdclef-mini" / "test_soundscapes").glob("*.ogg"))[0]
    samples = soxr.resample(decode(path).samples[: 32_000 * 20 + 77], 32_000, rate)
    response = front_end_arrays(MelSpec(), MelSpec().scale())["response"]
    expected = soxr.resample(samples, rate, 32_000, quality="HQ")
    found = kit.resample(samples, rate, 32_000, response)
    assert len(found) == len(expected)
    assert np.sqrt(np.mean((found - expected) ** 2) / np.mean(expected**2)) < 2e-3


def test_lengths_that_are_quick_to_transform() -> None:
    smooth = sorted(2**a * 3**b * 5**c for a in range(24) for b in range(14) for c in range(10))
    for least in (1, 2, 7, 11, 97, 4096, 4097, 962_048, 2_646_001):
        assert kit.quick_length(least) == next(one for one in smooth if one >= least)


def test_channels_that_cancel_leave_the_loudest(tmp_path: Path) -> None:
    one = np.random.default_rng(0).standard_normal(32_000).astype(np.float32) * 0.1
    for name, other in (("alike", one), ("wrong", -1.05 * one)):
        path = tmp_path / f"{name}.wav"
        sf.write(path, np.stack([one, other], axis=1), 32_000, subtype="FLOAT")
        found = kit.to_mono(kit.read(path)[0])
        np.testing.assert_allclose(found, decode(path).samples, atol=1e-7)


@pytest.mark.parametrize("channels", ["mean", "first", "loudest"])
def test_channels_are_those_of_birdflow(tmp_path: Path, channels: str) -> None:
    samples = chirps(32_000, 2.0, 1_000, 9_000)
    both = np.stack([0.3 * samples, samples[::-1]], axis=1) + np.float32([0.5, 0.0])
    sf.write(tmp_path / "a.wav", both, 32_000, subtype="FLOAT")
    expected = decode(tmp_path / "a.wav", Reading(channels=channels)).samples
    found = kit.to_mono(kit.read(tmp_path / "a.wav")[0], channels)
    np.testing.assert_allclose(found, expected, atol=1e-7)


@pytest.mark.parametrize("text", ["TE: 10", "TE : 2.5", "TE: no", "TE: -1", "Make: X"])
def test_speed_is_that_of_birdflow(tmp_path: Path, text: str) -> None:
    write_guano(tmp_path / "a.wav", np.zeros(99), 44_100, f"GUANO|Version: 1.0\n{text}")
    sf.write(tmp_path / "b.flac", np.zeros(99), 44_100)
    for reading in (Reading(), Reading(speed=4.0), Reading(speed=9.0, speed_from="file")):
        for name in ("a.wav", "b.flac"):
            found = kit.speed_of(tmp_path / name, reading.model_dump())
            assert found == reading.speed_of(tmp_path / name)
    assert kit.speed_of(tmp_path / "a.wav", {}) == 1.0  # a bundle of before


def test_recordings_that_can_not_be_used_are_left_out_with_a_reason(tmp_path: Path) -> None:
    for name, rate in (("slow", 1), ("slower", 99), ("fast", 2_000_000), ("right", 100)):
        sf.write(tmp_path / f"{name}.wav", np.zeros(100), rate)
    for name in ("slow", "slower", "fast"):
        with pytest.raises(Refused, match=r"a rate of \d+ Hz"):
            kit.read(tmp_path / f"{name}.wav")
    assert kit.read(tmp_path / "right.wav")[1] == 100
    odd = tmp_path / os.fsdecode(b"Vog\xe9l.wav")
    odd.write_bytes((tmp_path / "right.wav").read_bytes())
    with pytest.raises(Refused, match="surrogates not allowed"):
        kit.read(odd)
