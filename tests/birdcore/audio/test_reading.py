"""Channels and speed: what of a file is read, and as of which rate."""

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from birdcore.audio.decode import decode
from birdcore.audio.reading import Reading, time_expansion
from tests.support.guano import write_guano


def stereo(*levels: float, seconds: float = 1.0) -> np.ndarray:
    noise = np.random.default_rng(0).standard_normal((round(seconds * 32_000), len(levels)))
    return np.asarray(0.1 * noise * levels, np.float32)


@pytest.mark.parametrize(("channels", "column"), [("first", 0), ("loudest", 1)])
@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg"])
def test_one_channel_is_read(tmp_path: Path, channels: str, column: int, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    sf.write(path, stereo(0.5, 1.0, 0.2), 32_000)
    whole, _ = sf.read(path, dtype="float32")
    audio = decode(path, Reading(channels=channels))
    np.testing.assert_array_equal(audio.samples, whole[:, column])
    assert (audio.channels, audio.note) == (3, "")


def test_an_offset_is_no_power(tmp_path: Path) -> None:
    samples = stereo(0.2, 0.5)
    samples[:, 0] += 0.5
    sf.write(tmp_path / "a.wav", samples, 32_000, subtype="FLOAT")
    audio = decode(tmp_path / "a.wav", Reading(channels="loudest"))
    np.testing.assert_array_equal(audio.samples, samples[:, 1])


def test_channels_that_cancel_matter_to_their_mean_alone(tmp_path: Path) -> None:
    samples = stereo(0.5, 0.0)
    samples[:, 1] = -0.8 * samples[:, 0]
    sf.write(tmp_path / "a.wav", samples, 32_000, subtype="FLOAT")
    assert decode(tmp_path / "a.wav").note == "channels cancel: channel 1 is used"
    assert decode(tmp_path / "a.wav", Reading(channels="first")).note == ""


def test_long_recordings_are_read_again_by_the_same_channel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("birdcore.audio.decode.IN_MEMORY", 1_000)
    samples = stereo(0.5, 1.0)
    sf.write(tmp_path / "a.wav", samples, 32_000, subtype="FLOAT")
    audio = decode(tmp_path / "a.wav", Reading(channels="loudest"))
    for _ in range(2):
        np.testing.assert_array_equal(np.concatenate(list(audio.blocks())), samples[:, 1])


def test_speed_changes_the_true_rate_and_no_second(tmp_path: Path) -> None:
    sf.write(tmp_path / "a.wav", stereo(1.0), 44_100)
    plain, slow = (decode(tmp_path / "a.wav", Reading(speed=speed)) for speed in (1.0, 10.0))
    assert (plain.true_rate, slow.true_rate, slow.rate) == (44_100, 441_000, 44_100)
    assert slow.duration_s == plain.duration_s


@pytest.mark.parametrize(
    ("said", "expected"),
    [("TE: 10", 10.0), ("TE:8.5", 8.5), ("TE: 0", 1.0), ("TE: x", 1.0), ("Note: TE: 3", 1.0)],
)
def test_guano_says_the_speed(tmp_path: Path, said: str, expected: float) -> None:
    write_guano(tmp_path / "a.wav", stereo(1.0), 44_100, f"GUANO|Version: 1.0\n{said}\nMake: X")
    assert time_expansion(tmp_path / "a.wav") == expected
    assert decode(tmp_path / "a.wav", Reading(speed_from="file")).speed == expected
    assert decode(tmp_path / "a.wav", Reading(speed=3.0)).speed == 3.0


def test_files_without_metadata_are_as_they_sounded(tmp_path: Path) -> None:
    for suffix in (".wav", ".flac"):
        sf.write(tmp_path / f"a{suffix}", stereo(1.0), 44_100)
        assert time_expansion(tmp_path / f"a{suffix}") == 1.0
    (tmp_path / "cut.wav").write_bytes(b"RIFF\0\0\0\0WAVE" + struct.pack("<4sI", b"guan", 99))
    assert time_expansion(tmp_path / "cut.wav") == 1.0
