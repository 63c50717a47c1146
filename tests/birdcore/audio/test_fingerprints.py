"""Fingerprints against plain loops, and of real recordings in altered copies."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile as sf
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import ShortTimeFFT, butter, sosfilt

from birdcore.audio import fingerprints as room
from birdcore.audio.decode import decode
from birdcore.audio.fingerprints import (
    HOP,
    RATE,
    Fingerprint,
    Fingerprints,
    fingerprint,
    gather,
    pair,
    peaks,
    read_fingerprints,
    write_fingerprints,
)
from birdcore.audio.resample import resample
from birdcore.sources.duplicates import match
from tests.support.chirps import chirps


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    samples = np.random.default_rng(seed).standard_normal(int(seconds * RATE))
    return (0.1 * samples).astype(np.float32)


def places(landmarks: Fingerprint, later: int = 0) -> set[tuple[int, int]]:
    frames = (landmarks.frames + later).tolist()
    return set(zip(landmarks.hashes.tolist(), frames, strict=True))


def agreeing(some: Fingerprint, other: Fingerprint) -> int:
    """How many landmarks the two share at the lag where they share most, or at the next."""
    lags = some.frames[:, None] - other.frames
    same = np.abs(some.hashes[:, None].astype(np.int64) - other.hashes) <= 1
    counts = np.bincount(lags[same] + other.frames.max(), minlength=2)
    return int((counts[1:] + counts[:-1]).max())


@pytest.fixture(scope="module")
def song(shared_data: Path) -> tuple[np.ndarray, int]:
    audio = decode(shared_data / "xeno-canto/audio/XC76740.flac")
    return audio.samples, audio.rate


def test_peaks_match_a_spectrogram_by_scipy() -> None:
    samples = noise(3)
    hann = np.hanning(room.WINDOW + 1)[:-1]
    stft = ShortTimeFFT(hann, HOP, RATE)
    first = room.WINDOW // 2 // HOP  # scipy's frame 0 is centred on sample 0
    frames = (len(samples) - room.WINDOW) // HOP + 1
    power = np.abs(stft.stft(samples.astype(float), p0=first, p1=first + frames).T) ** 2
    power = power[:, room.LOW_BIN : room.HIGH_BIN]
    expected = []
    for t, f in np.ndindex(power.shape):
        low_t, low_f = max(0, t - room.AROUND_FRAMES), max(0, f - room.AROUND_BINS)
        around = power[low_t : t + room.AROUND_FRAMES + 1, low_f : f + room.AROUND_BINS + 1]
        if power[t, f] == around.max():
            expected.append((t, f))
    found_frames, found_bins = peaks([samples])
    assert len(expected) > 20
    assert list(zip(found_frames.tolist(), found_bins.tolist(), strict=True)) == expected


def test_peaks_do_not_depend_on_the_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = noise(8)
    whole = np.stack(peaks([samples]))
    pieces = np.array_split(samples, 11)
    np.testing.assert_array_equal(np.stack(peaks(pieces)), whole)
    for size in (37, 100):
        monkeypatch.setattr(room, "BLOCK", size)
        np.testing.assert_array_equal(np.stack(peaks(pieces)), whole)


@pytest.mark.parametrize("frames", [4, 5, 6, 9, 10, 35, 36, 66, 67])
def test_peaks_accept_a_last_block_of_any_length(
    frames: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = noise(2)[: room.WINDOW + (frames - 1) * HOP + 3]
    whole = np.stack(peaks([samples]))
    monkeypatch.setattr(room, "BLOCK", 5)
    np.testing.assert_array_equal(np.stack(peaks([samples])), whole)


def test_pair_does_not_depend_on_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    found = peaks([noise(8)])
    whole = pair(*found)
    monkeypatch.setattr(room, "PEAKS_AT_ONCE", 7)
    assert places(pair(*found)) == places(whole)
    assert len(whole) > 200


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 404)), max_size=80, unique=True))
def test_pair_joins_a_peak_with_the_nearest_that_follow(found: list[tuple[int, int]]) -> None:
    found.sort()
    expected = []
    for i, (frame, low) in enumerate(found):
        pairs = [
            (low << 15 | (high - low + 128) << 7 | (later - frame), frame)
            for later, high in found[i + 1 : i + 1 + room.FOLLOWERS]
            if 2 <= later - frame <= 126 and abs(high - low) <= 100
        ]
        expected += pairs[: room.PAIRS]
    frames, bins = np.array(found, np.int32).reshape(-1, 2).T
    landmarks = pair(frames, bins)
    assert (landmarks.hashes.dtype, landmarks.frames.dtype) == (np.uint32, np.int32)
    assert list(zip(landmarks.hashes.tolist(), landmarks.frames.tolist(), strict=True)) == expected


@given(st.integers(-30, 20))
def test_fingerprint_does_not_depend_on_gain(octaves: int) -> None:
    samples = noise(2)
    assert places(fingerprint([samples * np.float32(2.0**octaves)], RATE)) == places(
        fingerprint([samples], RATE)
    )


def test_fingerprint_of_an_excerpt_is_part_of_the_whole() -> None:
    samples, first = noise(20), 400
    excerpt = fingerprint([samples[first * HOP : 15 * RATE]], RATE)
    whole = places(fingerprint([samples], RATE))
    reach = room.AROUND_FRAMES + 1
    last = excerpt.frames.max() - room.MAX_FRAMES - reach
    inside = (excerpt.frames >= reach) & (excerpt.frames <= last)
    inner = Fingerprint(excerpt.hashes[inside], excerpt.frames[inside])
    assert len(inner) > 200
    assert places(inner, later=first) <= whole


@pytest.mark.parametrize("samples", [0, 1, room.WINDOW - 1, 5 * RATE])
def test_fingerprint_of_silence_is_empty(samples: int) -> None:
    assert len(fingerprint([np.zeros(samples, np.float32)], RATE)) == 0


def test_fingerprint_of_a_steady_tone_is_small() -> None:
    time = np.arange(20 * RATE) / RATE
    tones = [np.sin(2 * np.pi * f * time) for f in (1500.0, 3000.0, 6000.0)]
    assert len(fingerprint([sum(tones).astype(np.float32)], RATE)) < 100


def test_fingerprint_resamples_and_refuses_rates_below_1() -> None:
    samples = resample(noise(5), RATE, 32_000)
    assert places(fingerprint([samples], 32_000)) == places(
        fingerprint([resample(samples, 32_000, RATE)], RATE)
    )
    with pytest.raises(ValueError, match="rates must be positive"):
        fingerprint([samples], 0)


@pytest.mark.parametrize(
    ("suffix", "rate", "share"),
    [(".ogg", 32_000, 0.4), (".mp3", 44_100, 0.4), (".mp3", 22_050, 0.4), (".flac", 8_000, 0.15)],
)
def test_fingerprint_survives_another_encoding(
    song: tuple[np.ndarray, int], tmp_path: Path, suffix: str, rate: int, share: float
) -> None:
    samples = resample(song[0], song[1], rate)
    sf.write(tmp_path / f"song{suffix}", 0.3 * samples, rate)
    audio = decode(tmp_path / f"song{suffix}")
    original = fingerprint([song[0]], song[1])
    assert agreeing(fingerprint(audio.blocks(), audio.rate), original) > share * len(original)


@pytest.mark.parametrize(("snr_db", "expected"), [(20, 80), (10, 50), (5, 30)])
def test_fingerprint_survives_noise(
    song: tuple[np.ndarray, int], snr_db: float, expected: int
) -> None:
    samples = resample(*song, RATE)
    excerpt = samples[6 * RATE + 77 : 11 * RATE]
    band = butter(4, [1500, 8000], "bandpass", fs=RATE, output="sos")
    air = noise(60, seed=1)
    level = sosfilt(band, excerpt).std() / sosfilt(band, air).std() / 10 ** (snr_db / 20)
    mixed = air * np.float32(level)
    mixed[30 * RATE + 1 :][: len(excerpt)] += excerpt
    assert agreeing(fingerprint([mixed], RATE), fingerprint([song[0]], song[1])) > expected


LANDMARKS = st.lists(st.tuples(st.integers(0, 2**24 - 1), st.integers(0, 2**31 - 1)), max_size=6)


@pytest.mark.parametrize("rate", [100, 1_000, 384_000])
def test_duplicates_are_found_at_rates_beyond_hearing(rate: int) -> None:
    seconds = 60 if rate <= 1_000 else 12
    known = [chirps(rate, seconds, 0.1 * rate, 0.4 * rate, seed) for seed in range(3)]
    louder = np.round(known[1] * 20_000).astype(np.float32) / 32_768
    other = chirps(rate, seconds, 0.1 * rate, 0.4 * rate, seed=9)
    found = match(
        gather({"copy": fingerprint([louder], rate), "other": fingerprint([other], rate)}),
        gather({f"{i}": fingerprint([samples], rate) for i, samples in enumerate(known)}),
    )
    assert [(each.recording, each.same_as) for each in found] == [("copy", "1")]


def landmarks(rows: list[tuple[int, int]]) -> Fingerprint:
    hashes, frames = np.array(rows, np.int64).reshape(-1, 2).T
    return Fingerprint(hashes.astype(np.uint32), frames.astype(np.int32))


@given(rows=st.lists(LANDMARKS, max_size=5), first=st.integers(0, 5))
def test_read_fingerprints_gives_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[tuple[int, int]]], first: int
) -> None:
    folder = tmp_path_factory.mktemp("tables")
    known = {f"recordings/XC{i}.mp3": landmarks(each) for i, each in enumerate(rows)}
    names = list(known)
    for path, part in (("a", names[:first]), ("b", names[first:])):
        write_fingerprints(folder / path, gather({name: known[name] for name in part}))
    back, whole = read_fingerprints([folder / "a", folder / "b"]), gather(known)
    assert back.recordings == whole.recordings
    for field in ("bounds", "hashes", "frames"):
        found, expected = getattr(back, field), getattr(whole, field)
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)


def test_read_fingerprints_of_no_table_is_empty() -> None:
    none = read_fingerprints([])
    assert (none.recordings, none.bounds.tolist(), len(none.hashes)) == ((), [0], 0)


def test_read_fingerprints_refuses_duplicates_and_other_files(tmp_path: Path) -> None:
    one: Fingerprints = gather({"XC1.mp3": landmarks([(5, 7)])})
    for name in ("a", "b"):
        write_fingerprints(tmp_path / name, one)
    with pytest.raises(ValueError, match=r"'XC1\.mp3' is there twice"):
        read_fingerprints([tmp_path / "a", tmp_path / "b"])
    (tmp_path / "text").write_text("nothing")
    with pytest.raises(ValueError, match="can't be read as a table of fingerprints"):
        read_fingerprints([tmp_path / "text"])
    pq.write_table(pa.table({"recording": ["XC1.mp3"]}), tmp_path / "other")
    with pytest.raises(ValueError, match="is no table of fingerprints"):
        read_fingerprints([tmp_path / "other"])
