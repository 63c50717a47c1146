"""Raw samples as a front end: nothing is lost of a recording but what codes lose."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from birdcore.config import Mel
from birdcore.features.front_end import (
    encode_recording,
    from_settings,
    length_and_peak,
    to_settings,
)
from birdcore.features.pcen import PcenSpec
from birdcore.features.recordings import StoredRecordings, read_mels
from birdcore.features.scale import WaveScale, decode_samples, encode
from birdcore.features.shard import ShardWriter
from birdcore.features.shard_reader import MelShard
from birdcore.features.stacked import Stacked
from birdcore.features.wave import MU, WaveSpec
from birdcore.models.input import InputSpec, model_input

RNG = np.random.default_rng(0)
NOISE = RNG.uniform(-1, 1, 20_000).astype(np.float32)
SPEC = WaveSpec(hop_length=100)
CPU = torch.device("cpu")


def frames_of(spec: WaveSpec, *blocks: np.ndarray) -> np.ndarray:
    return np.concatenate(list(spec.energies(blocks)))


@pytest.mark.parametrize("hop", [100, 99, 512])
def test_frames_laid_end_to_end_are_the_recording(hop: int) -> None:
    spec = WaveSpec(hop_length=hop)
    found = frames_of(spec, NOISE)
    assert found.shape == (spec.frames(len(NOISE)), hop)
    inside = found.ravel()[hop // 2 :][: len(NOISE)]
    np.testing.assert_array_equal(inside, NOISE[: len(inside)])
    assert len(NOISE) - len(inside) <= hop // 2
    # Frame t is around sample t * hop, as that of every other front end is.
    assert found[7, hop // 2] == NOISE[7 * hop]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 20_000), max_size=5))
def test_frames_do_not_depend_on_blocks(cuts: list[int]) -> None:
    found = frames_of(SPEC, *np.split(NOISE, sorted(cuts)))
    np.testing.assert_array_equal(found, frames_of(SPEC, NOISE))


@pytest.mark.parametrize("samples", [1, 2, 49, 50, 51, 101])
def test_the_shortest_recordings_have_frames(samples: int) -> None:
    found = frames_of(SPEC, NOISE[:samples])
    assert found.shape == (SPEC.frames(samples), 100)
    assert np.isin(found, NOISE[:samples]).all()
    assert SPEC.frames(SPEC.samples(3)) == 3


def test_codes_are_those_of_a_mu_law() -> None:
    """Against the formula in float64; each code stands for what it is the nearest of."""
    scale = WaveScale(MU)
    codes = encode(NOISE, 1, scale)
    law = np.sign(NOISE) * np.log1p(MU * np.abs(NOISE.astype(np.float64))) / np.log1p(MU)
    assert np.abs(codes.view(np.int8) - 127 * law).max() <= 0.5001
    every = np.arange(-127, 128).astype(np.int8).view(np.uint8)
    np.testing.assert_array_equal(encode(decode_samples(every, scale), 1, scale), every)
    np.testing.assert_array_equal(decode_samples(-every, scale), -decode_samples(every, scale))
    assert decode_samples(np.uint8([0]), scale) == 0.0
    assert decode_samples(np.uint8([127]), scale) == pytest.approx(1.0)


@pytest.mark.parametrize("dtype", ["uint8", "float16"])
def test_samples_beyond_the_peak_are_cut_and_silence_is_code_0(dtype: Any) -> None:
    scale = WaveScale(MU, dtype)
    ends = decode_samples(encode(np.float32([-3, 3]), 1, scale), scale)
    np.testing.assert_allclose(ends, [-1, 1], rtol=1e-6)
    assert not encode(np.zeros(3, np.float32), 1, scale).any()
    with pytest.raises(ValueError, match="not a number"):
        encode(np.float32([0, np.nan]), 1, scale)


@pytest.mark.parametrize(("dtype", "lost_db"), [("uint8", -27.0), ("float16", -66.0)])
@pytest.mark.parametrize("level_db", [0.0, -20.0, -40.0])
def test_codes_lose_as_little_of_quiet_recordings(
    dtype: Any, lost_db: float, level_db: float, shared_data: Path
) -> None:
    path = sorted((shared_data / "birdclef-mini" / "train_audio").rglob("*.ogg"))[5]
    samples, _ = soundfile.read(path, dtype="float32", frames=10 * 32_000)
    samples *= 10 ** (level_db / 20) / np.abs(samples).max()
    scale = WaveScale(MU, dtype)
    error = decode_samples(encode(samples, 1, scale), scale) - samples
    assert 10 * np.log10(np.square(error).mean() / np.square(samples).mean()) < lost_db


@pytest.mark.parametrize("dtype", ["uint8", "float16"])
def test_a_shard_gives_its_samples_to_a_model(dtype: Any, tmp_path: Path) -> None:
    assert from_settings(to_settings(SPEC)) == SPEC
    scale = SPEC.scale(dtype)
    _, peak = length_and_peak([NOISE])
    path = tmp_path / "wave.parquet"
    with ShardWriter(path, SPEC, scale) as shard:
        shard.write("a.wav", encode_recording([NOISE], peak, SPEC, scale), peak)
    read = read_mels([path], CPU)
    assert (read.spec, read.scale) == (SPEC, scale)
    rows = torch.zeros(1, dtype=torch.long)
    crop = read.power(rows, rows + 20, 30)
    exact = torch.from_numpy(frames_of(SPEC, NOISE / np.float32(peak))[20:50].T[None])
    torch.testing.assert_close(crop, exact, atol=1e-3, rtol=0.035)
    span = StoredRecordings(MelShard.open(path), CPU).span(0, 20, 50)
    torch.testing.assert_close(span.power(rows, rows, 30), crop)

    reads = InputSpec(mel=SPEC, scale=scale, frames=30, normalise="none", top_db=80.0)
    assert InputSpec.model_validate_json(reads.model_dump_json()) == reads
    torch.testing.assert_close(model_input(crop, reads), crop[:, None])
    scaled = model_input(crop, reads.model_copy(update={"normalise": "zscore"}))
    torch.testing.assert_close(scaled, ((crop - crop.mean()) / crop.std(correction=0))[:, None])


@pytest.mark.parametrize("dtype", ["uint8", "float16"])
def test_negative_samples_are_as_loud_as_positive_ones(dtype: Any, tmp_path: Path) -> None:
    loud = -np.abs(NOISE[:1_000])
    blocks = [np.concatenate([loud, 0.1 * loud])]
    scale = SPEC.scale(dtype)
    with ShardWriter(tmp_path / "wave.parquet", SPEC, scale) as shard:
        shard.write("a.wav", encode_recording(blocks, 1.0, SPEC, scale), 1.0)
    read = read_mels([tmp_path / "wave.parquet"], CPU)
    first, second = read.loudness(torch.tensor([[2, 3, 4], [14, 15, 16]])).tolist()
    assert first > 1.3 * second > 0


def test_recipe_names_it() -> None:
    table = {"features": ["wave"], "preset": "config_96", "hop_length": 320}
    assert Mel.model_validate(table).spec() == WaveSpec(hop_length=320)


@pytest.mark.parametrize("setting", [{"n_mels": 64}, {"f_min": 50.0}, {"n_fft": 1024}])
def test_settings_of_spectrograms_are_refused(setting: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=r'no effect under features = \["wave"\]'):
        Mel.model_validate({"features": ["wave"], **setting})


def test_samples_are_no_channel_of_a_spectrogram() -> None:
    with pytest.raises(ValueError, match="whether they are samples, False and True"):
        Stacked((PcenSpec(n_mels=128), WaveSpec(hop_length=128)))
