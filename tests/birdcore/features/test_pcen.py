"""PCEN: against librosa, over any blocks, and how much its codes lose."""

from pathlib import Path
from typing import Any

import librosa
import numpy as np
import pytest
import scipy.signal
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
from birdcore.features.mel import MelSpec
from birdcore.features.pcen import FULL_SCALE, PcenSpec
from birdcore.features.recordings import read_mels
from birdcore.features.scale import ValueScale, decode_values, encode
from birdcore.features.shard import ShardWriter
from birdcore.features.stacked import Stacked
from birdcore.models.input import InputSpec, model_input

RNG = np.random.default_rng(0)
SWELLING = (RNG.normal(size=20_000) * np.linspace(0.01, 1, 20_000) ** 3).astype(np.float32)
SETTINGS: list[dict[str, float]] = [
    {},
    {"pcen_gain": 0.98, "pcen_bias": 2.0, "pcen_power": 0.5, "pcen_time_s": 0.4},
    {"pcen_bias": 0.0, "pcen_gain": 1.0},
]


def values(spec: PcenSpec, *blocks: np.ndarray) -> np.ndarray:
    return np.concatenate(list(spec.energies(blocks)))


def librosas(spec: PcenSpec, samples: np.ndarray) -> np.ndarray:
    """librosa's PCEN (t, n_mels), whose past begins with the first frame instead of with 1."""
    mel = np.concatenate(list(spec.mel.energies([samples]))).astype(np.float64) * FULL_SCALE
    b = spec.smoothing
    found: np.ndarray = librosa.pcen(
        mel.T,
        sr=spec.sample_rate,
        hop_length=spec.hop_length,
        gain=spec.pcen_gain,
        bias=spec.pcen_bias,
        power=spec.pcen_power,
        time_constant=spec.pcen_time_s,
        zi=scipy.signal.lfilter_zi([b], [1, b - 1]) * mel[:1].T,
    )
    return found.T


@pytest.mark.parametrize("numbers", SETTINGS)
def test_values_are_librosas(numbers: dict[str, float]) -> None:
    spec = PcenSpec(n_mels=40, **numbers)
    found = values(spec, SWELLING)
    assert found.shape == (spec.frames(len(SWELLING)), spec.bins) == (40, 40)
    np.testing.assert_allclose(found, librosas(spec, SWELLING), rtol=1e-5)


def test_values_of_a_recording_are_librosas(shared_data: Path) -> None:
    path = sorted((shared_data / "birdclef-mini" / "train_audio").rglob("*.ogg"))[5]
    samples, rate = soundfile.read(path, dtype="float32", frames=10 * 32_000)
    assert rate == 32_000
    spec = PcenSpec(n_mels=64)
    found = values(spec, *np.array_split(samples, 7))
    np.testing.assert_allclose(found, librosas(spec, samples), rtol=1e-5, atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 20_000), max_size=5), st.sampled_from(SETTINGS))
def test_frames_do_not_depend_on_blocks(cuts: list[int], numbers: dict[str, float]) -> None:
    spec = PcenSpec(n_mels=20, hop_length=100, **numbers)
    found = values(spec, *np.split(SWELLING, sorted(cuts)))
    np.testing.assert_array_equal(found, values(spec, SWELLING))


def test_a_steady_sound_is_taken_away_at_any_level() -> None:
    tone = np.sin(2 * np.pi * 3000 / 32_000 * np.arange(64_000)).astype(np.float32)
    spec = PcenSpec(pcen_gain=1.0)
    loud, quiet = values(spec, tone), values(spec, 1e-3 * tone)
    middle = slice(10, -10)  # the ends are mirrored
    peak = loud[middle].mean(axis=0).argmax()
    np.testing.assert_allclose(loud[middle, peak], quiet[middle, peak], rtol=1e-3)
    assert loud[middle, peak].std() < 1e-3


@pytest.mark.parametrize("numbers", SETTINGS)
def test_no_sound_is_above_the_scale(numbers: dict[str, float]) -> None:
    spec = PcenSpec(**numbers)
    scale = spec.scale("uint8")
    click = np.zeros(32_000, np.float32)
    click[16_000:] = np.sin(2 * np.pi * 9000 / 32_000 * np.arange(16_000))
    assert 0.3 * scale.top < values(spec, click).max() < 1.0001 * scale.top
    silence = encode(values(spec, np.zeros(2_000, np.float32)), 1, scale)
    assert not silence.any()


@pytest.mark.parametrize(("dtype", "lost"), [("uint8", 0.05), ("float16", 0.002)])
def test_codes_lose_little_of_a_recording(dtype: Any, lost: float, shared_data: Path) -> None:
    path = sorted((shared_data / "birdclef-mini" / "train_audio").rglob("*.ogg"))[5]
    samples, _ = soundfile.read(path, dtype="float32", frames=10 * 32_000)
    spec = PcenSpec()
    scale = spec.scale(dtype)
    exact = values(spec, samples / np.abs(samples).max())
    found = decode_values(encode(exact, 1, scale), scale)
    assert np.abs(found - exact).mean() < lost * exact.std()


@pytest.mark.parametrize("dtype", ["uint8", "float16"])
def test_a_shard_gives_its_values_to_a_model(dtype: Any, tmp_path: Path) -> None:
    spec = PcenSpec(n_mels=40)
    assert from_settings(to_settings(spec)) == spec
    scale = spec.scale(dtype)
    _, peak = length_and_peak([SWELLING])
    with ShardWriter(tmp_path / "pcen.parquet", spec, scale) as shard:
        shard.write("a.wav", encode_recording([SWELLING], peak, spec, scale), peak)
    read = read_mels([tmp_path / "pcen.parquet"], torch.device("cpu"))
    assert (read.spec, read.scale) == (spec, scale)
    rows = torch.zeros(1, dtype=torch.long)
    crop = read.power(rows, rows, 40)
    exact = torch.from_numpy(values(spec, SWELLING / np.float32(peak)).T[None])
    torch.testing.assert_close(crop, exact, atol=scale.step / 2 + 1e-3, rtol=1e-3)

    reads = InputSpec(mel=spec, scale=scale, frames=40, normalise="none", top_db=80.0)
    assert InputSpec.model_validate_json(reads.model_dump_json()) == reads
    torch.testing.assert_close(model_input(crop, reads), crop[:, None])
    scaled = model_input(crop, reads.model_copy(update={"normalise": "zscore"}))
    torch.testing.assert_close(scaled, ((crop - crop.mean()) / crop.std(correction=0))[:, None])


def test_a_scale_of_decibels_comes_back_as_one() -> None:
    mel = MelSpec()
    reads = InputSpec(mel=mel, scale=mel.scale(), frames=9, normalise="zscore", top_db=None)
    assert InputSpec.model_validate_json(reads.model_dump_json()) == reads
    assert not isinstance(reads.scale, ValueScale)


def test_recipe_names_it() -> None:
    table = {"features": ["pcen"], "preset": "config_96", "pcen_time_s": 0.4}
    assert Mel.model_validate(table).spec() == PcenSpec(n_mels=96, pcen_time_s=0.4)


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"power": 2}, r'no effect under features = \["pcen"\]'),
        ({"pcen_gain": 1.5}, "less than or equal to 1"),
        ({"features": ["mel"], "pcen_gain": 0.5}, r'no effect under features = \["mel"\]'),
        ({"n_mels": 512, "n_fft": 512}, "of 512 mel bins are empty"),
        ({"features": ["pcen", "mel"]}, "differ in whether they keep power, False and True"),
    ],
)
def test_wrong_settings_are_refused(table: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        Mel.model_validate({"features": ["pcen"], **table})


def test_values_are_no_channel_beside_power() -> None:
    with pytest.raises(ValueError, match="whether they keep power"):
        Stacked((MelSpec(), PcenSpec()))
