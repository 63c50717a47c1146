"""Whole, odd and broken files, written here or cut from real ones."""

import os
import socket
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import soxr

from birdcore.audio.decode import Rejected, decode
from birdcore.audio.resample import resample


def noise(*shape: int) -> np.ndarray:
    return (0.1 * np.random.default_rng(0).standard_normal(shape)).astype(np.float32)


def wav(samples: np.ndarray, rate: int) -> bytes:
    """A WAV of 16 bits by hand, of whatever rate: samples are (n, channels)."""
    data = (samples * 32_767).astype("<i2").tobytes()
    align = 2 * samples.shape[1]
    form = struct.pack("<HHIIHH", 1, samples.shape[1], rate, rate * align % 2**32, align, 16)
    chunks = b"WAVEfmt " + struct.pack("<I", 16) + form
    chunks += b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(chunks)) + chunks


def cut_short(source: Path, target: Path, share: float = 0.5) -> Path:
    content = source.read_bytes()
    target.write_bytes(content[: int(len(content) * share)])
    return target


def written(path: Path, samples: np.ndarray, rate: int = 32_000) -> Path:
    sf.write(path, samples, rate)
    return path


def test_real_recordings_equal_one_read_by_soundfile_and_are_whole(shared_data: Path) -> None:
    paths = [
        next((shared_data / "birdclef-mini/train_audio").rglob("*.ogg")),
        next((shared_data / "xeno-canto/audio").glob("*.mp3")),
        next((shared_data / "xeno-canto/audio").glob("*.flac")),
        next((shared_data / "odd-audio").glob("*.flac")),
        shared_data / "speech/vm-options.wav",
        shared_data / "speech/whisper_jfk.flac",
    ]
    for path in paths:
        expected, rate = sf.read(path, dtype="float32", always_2d=True)
        audio = decode(path)
        assert (audio.rate, audio.channels) == (rate, expected.shape[1])
        assert not audio.truncated
        assert audio.samples.dtype == np.float32
        np.testing.assert_allclose(audio.samples, expected.mean(axis=1), atol=1e-7)


def test_no_recording_of_the_collections_passes_for_truncated(shared_data: Path) -> None:
    paths = sorted(shared_data.rglob("*.ogg"))[::10] + sorted(shared_data.rglob("*.wav"))
    paths = [path for path in paths if path.stat().st_size > 45]  # one is a header alone
    assert paths
    assert [path.name for path in paths if decode(path).truncated] == []


def test_more_samples_than_a_block_come_in_order(tmp_path: Path) -> None:
    samples = noise(600_001, 3)
    audio = decode(written(tmp_path / "long.wav", samples))
    expected = sf.read(tmp_path / "long.wav", dtype="float32")[0].mean(axis=1)
    np.testing.assert_allclose(audio.samples, expected, atol=1e-7)


@pytest.mark.parametrize("suffix", [".wav", ".aiff", ".flac", ".ogg", ".mp3"])
def test_a_file_as_written_is_not_truncated(tmp_path: Path, suffix: str) -> None:
    audio = decode(written(tmp_path / f"whole{suffix}", noise(33_333)))
    assert not audio.truncated
    assert len(audio.samples) >= 33_333


@pytest.mark.parametrize("suffix", [".wav", ".aiff", ".flac", ".ogg"])
def test_half_a_file_gives_its_half_and_says_so(tmp_path: Path, suffix: str) -> None:
    whole = written(tmp_path / f"whole{suffix}", noise(200_000))
    audio = decode(cut_short(whole, tmp_path / f"half{suffix}"))
    assert audio.truncated
    assert 80_000 < len(audio.samples) < 110_000
    np.testing.assert_array_equal(audio.samples, decode(whole).samples[: len(audio.samples)])


@pytest.mark.parametrize("kind", ["birdclef-mini/train_audio/**/*.ogg", "xeno-canto/audio/*.flac"])
def test_half_a_real_recording_is_kept(shared_data: Path, tmp_path: Path, kind: str) -> None:
    for whole in sorted(shared_data.glob(kind))[:3]:
        audio = decode(cut_short(whole, tmp_path / whole.name))
        share = len(audio.samples) / sf.info(whole).frames
        assert audio.truncated
        assert 0.3 < share < 0.7


def test_an_ogg_that_lacks_only_its_last_byte_is_truncated(tmp_path: Path) -> None:
    content = written(tmp_path / "whole.ogg", noise(50_000)).read_bytes()
    (tmp_path / "short.ogg").write_bytes(content[:-1])
    assert decode(tmp_path / "short.ogg").truncated


def test_a_wav_streamed_without_a_length_is_whole(tmp_path: Path) -> None:
    content = bytearray(written(tmp_path / "streamed.wav", noise(1_000)).read_bytes())
    content[4:8] = b"\xff" * 4
    (tmp_path / "streamed.wav").write_bytes(content)
    assert not decode(tmp_path / "streamed.wav").truncated


def test_a_damaged_flac_gives_what_comes_before_the_damage(tmp_path: Path) -> None:
    content = bytearray(written(tmp_path / "hole.flac", noise(200_000)).read_bytes())
    middle = len(content) // 2
    content[middle : middle + 5_000] = bytes(5_000)
    whole = decode(tmp_path / "hole.flac").samples
    (tmp_path / "hole.flac").write_bytes(content)
    audio = decode(tmp_path / "hole.flac")
    assert audio.truncated
    assert audio.problem.startswith("decoding fails at 3.20 s (0.13 s are damaged)")
    assert audio.frames > 180_000  # what comes after it as well, as FFmpeg does
    np.testing.assert_array_equal(audio.samples[:80_000], whole[:80_000])


@pytest.mark.parametrize(
    ("samples", "rate"),
    [
        (np.array([0.5]), 32_000),
        (np.zeros(1_000), 32_000),
        (noise(1_000, 8), 32_000),
        (noise(1_000), 4_000),
        (noise(1_000), 192_000),
    ],
    ids=["one sample", "silent", "eight channels", "4 kHz", "192 kHz"],
)
def test_odd_recordings_decode(tmp_path: Path, samples: np.ndarray, rate: int) -> None:
    audio = decode(written(tmp_path / "odd.wav", samples, rate))
    assert (len(audio.samples), audio.rate) == (len(samples), rate)
    assert audio.channels == (1 if samples.ndim == 1 else samples.shape[1])
    mono = samples if samples.ndim == 1 else samples.mean(axis=1)
    np.testing.assert_allclose(audio.samples, mono, atol=2**-15)


@pytest.mark.parametrize("name", ["page.ogg", "page.mp3", "page.flac", "page.wav", "page.raw"])
def test_text_is_rejected_under_any_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("<html>404 not found</html>\n" * 30)
    with pytest.raises(Rejected, match="not a readable sound file"):
        decode(tmp_path / name)


def test_an_empty_file_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "empty.ogg").touch()
    with pytest.raises(Rejected, match=r"empty file \(0 bytes\)"):
        decode(tmp_path / "empty.ogg")


def test_a_header_without_samples_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(Rejected, match="no samples"):
        decode(written(tmp_path / "none.wav", np.zeros(0)))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers_are_rejected(tmp_path: Path, bad: float) -> None:
    samples = noise(1_000, 2)
    samples[500] = bad, -bad
    sf.write(tmp_path / "bad.wav", samples, 32_000, subtype="FLOAT")
    with pytest.raises(Rejected, match="NaN or infinite"):
        decode(tmp_path / "bad.wav")


def test_a_missing_file_and_a_folder_are_rejected_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(Rejected, match="No such file"):
        decode(tmp_path / "missing.ogg")
    with pytest.raises(Rejected, match="is a directory, not a file"):
        decode(tmp_path)


def test_pipes_sockets_and_devices_are_rejected_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    with pytest.raises(Rejected, match="is a pipe"):
        decode(tmp_path / "pipe.wav")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket.wav"))
        with pytest.raises(Rejected, match="is a socket"):
            decode(tmp_path / "socket.wav")
    (tmp_path / "zero.wav").symlink_to("/dev/zero")
    with pytest.raises(Rejected, match="is a device"):
        decode(tmp_path / "zero.wav")
    (tmp_path / "self.wav").symlink_to("self.wav")
    with pytest.raises(Rejected, match="can't be opened"):
        decode(tmp_path / "self.wav")


@pytest.mark.parametrize(
    ("rate", "channels", "reason"),
    [
        (1, 1, "sample rate of 1 Hz"),
        (99, 1, "sample rate of 99 Hz"),
        (1_000_001, 1, "outside 100 to 1000000 Hz"),
        (2**31 - 1, 2, "sample rate"),
        (32_000, 1_000, "1000 channels"),
    ],
)
def test_rates_and_channels_that_no_recorder_has_are_rejected(
    tmp_path: Path, rate: int, channels: int, reason: str
) -> None:
    (tmp_path / "odd.wav").write_bytes(wav(np.zeros((50, channels)), rate))
    with pytest.raises(Rejected, match=reason):
        decode(tmp_path / "odd.wav")


@pytest.mark.parametrize(("rate", "channels"), [(100, 1), (1_000_000, 2), (32_000, 256)])
def test_rates_and_channels_at_the_bounds_decode(tmp_path: Path, rate: int, channels: int) -> None:
    (tmp_path / "odd.wav").write_bytes(wav(np.ones((50, channels)), rate))
    audio = decode(tmp_path / "odd.wav")
    assert (audio.rate, audio.channels, audio.frames) == (rate, channels, 50)


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".mp3"])
def test_a_long_recording_is_not_kept_and_reads_the_same_each_time(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path / f"long{suffix}", noise(300_000, 2))
    short = decode(path)
    monkeypatch.setattr("birdcore.audio.decode.IN_MEMORY", 100_000)
    checked: list[float] = []
    long = decode(path, checked=checked.append)
    assert len(checked) > 1
    assert sum(checked) == pytest.approx(long.duration_s)
    assert (long.frames, long.duration_s) == (short.frames, short.frames / 32_000)
    for _ in range(2):
        blocks = list(long.blocks())
        assert max(map(len, blocks)) < 290_000
        np.testing.assert_array_equal(np.concatenate(blocks), short.samples)


def test_a_long_recording_that_changed_is_rejected_when_it_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("birdcore.audio.decode.IN_MEMORY", 100)
    audio = decode(written(tmp_path / "a.wav", noise(5_000)))
    written(tmp_path / "a.wav", noise(4_000))
    with pytest.raises(Rejected, match="changed while it was read"):
        list(audio.blocks())


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg"])
def test_channels_that_cancel_give_the_loudest_and_a_note(tmp_path: Path, suffix: str) -> None:
    tone = np.sin(np.arange(96_000) / 5)
    audio = decode(written(tmp_path / f"a{suffix}", np.stack([0.3 * tone, -0.32 * tone], 1)))
    assert audio.note == "channels cancel: channel 2 is used"
    assert np.abs(audio.samples).max() == pytest.approx(0.32, abs=0.02)
    assert audio.channels == 2


def test_channels_that_cancel_but_for_noise_and_an_offset_are_noticed(tmp_path: Path) -> None:
    tone, hiss = np.sin(np.arange(96_000) / 5), noise(96_000, 2)
    samples = 0.3 * np.stack([-tone, tone], 1) + 0.2 * hiss + 0.2
    audio = decode(written(tmp_path / "a.wav", samples.astype(np.float32)))
    assert audio.note.startswith("channels cancel")
    assert audio.samples.std() > 0.2


def test_cancelling_is_judged_over_the_whole_file(tmp_path: Path) -> None:
    one, two = noise(300_000, 2).T
    one[:5_000] = -two[:5_000]
    assert decode(written(tmp_path / "a.wav", np.stack([one, two], 1))).note == ""


@pytest.mark.parametrize(
    "samples",
    [
        noise(50_000, 2),
        np.stack([noise(50_000), np.zeros(50_000)], 1),
        np.stack([noise(50_000), -0.4 * noise(50_000)], 1),
        np.zeros((50_000, 2)),
        np.full((50_000, 2), 0.3),
        np.stack([np.full(50_000, 0.3), np.full(50_000, -0.3)], 1),
        np.tile(noise(50_000, 1), 6),
    ],
    ids=["nothing in common", "one dead", "partly", "silent", "offset", "offsets", "six alike"],
)
def test_ordinary_channels_keep_their_mean(tmp_path: Path, samples: np.ndarray) -> None:
    audio = decode(written(tmp_path / "a.wav", samples))
    stored, _ = sf.read(tmp_path / "a.wav", dtype="float32")
    channels = samples.shape[1]
    expected = stored @ np.full(channels, 1 / channels, np.float32)
    assert audio.note == ""
    np.testing.assert_array_equal(audio.samples, expected)


def test_resample_is_soxr_hq() -> None:
    samples = noise(44_100)
    expected = soxr.resample(samples, 44_100, 32_000, quality="HQ")
    found = resample(samples, 44_100, 32_000)
    assert found.dtype == np.float32
    assert len(found) == 32_000
    np.testing.assert_array_equal(found, expected)
    assert resample(samples, 32_000, 32_000) is samples


def test_resample_removes_what_the_target_rate_cannot_hold() -> None:
    tone = np.sin(2 * np.pi * 12_000 * np.arange(48_000) / 48_000).astype(np.float32)
    assert np.abs(resample(tone, 48_000, 16_000)[1_000:-1_000]).max() < 1e-3


def test_resample_takes_one_sample_and_refuses_a_rate_of_zero() -> None:
    assert len(resample(np.ones(1, np.float32), 8_000, 16_000)) <= 2
    with pytest.raises(ValueError, match="positive"):
        resample(np.ones(1, np.float32), 0, 16_000)
