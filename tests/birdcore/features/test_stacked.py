"""Several front ends at once: their frames side by side, their settings, and what can't be one."""

from collections.abc import Iterator
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from birdcore.config import Mel
from birdcore.features.cwt import CwtSpec
from birdcore.features.front_end import (
    FrontEnd,
    default_settings,
    encode_recording,
    from_settings,
    to_settings,
)
from birdcore.features.mel import MelSpec
from birdcore.features.scale import decode_energy
from birdcore.features.shard import ShardWriter
from birdcore.features.shard_reader import read_shards
from birdcore.features.stacked import Stacked, bins_of_first
from birdcore.features.stft import StftSpec
from birdcore.models.input import InputSpec, model_input

NOISE = np.random.default_rng(0).normal(size=20_000).astype(np.float32)
MEL = MelSpec(n_mels=20, n_fft=1024)
BOTH = Stacked((MEL, StftSpec(n_mels=20, n_fft=512, f_min=500.0)))


def energies(spec: FrontEnd, *blocks: np.ndarray) -> np.ndarray:
    return np.concatenate(list(spec.energies(blocks)))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 20_000), max_size=5))
def test_frames_are_those_of_the_parts_side_by_side(cuts: list[int]) -> None:
    found = energies(BOTH, *np.split(NOISE, sorted(cuts)))
    assert found.shape == (BOTH.frames(len(NOISE)), BOTH.bins) == (40, 40)
    expected = [energies(part, NOISE) for part in BOTH.parts]
    np.testing.assert_array_equal(found, np.concatenate(expected, axis=1))


def test_a_long_recording_is_read_once_and_a_little_at_a_time() -> None:
    read = 0

    def blocks() -> Iterator[np.ndarray]:
        nonlocal read
        for _ in range(200):
            read += 1
            yield NOISE

    ahead = []
    frames = 0
    for block in BOTH.energies(blocks()):
        frames += len(block)
        ahead.append(read * len(NOISE) - frames * BOTH.parts[0].hop_length)
    assert read == 200
    assert frames == BOTH.frames(200 * len(NOISE))
    assert max(ahead) < 2**18


@pytest.mark.parametrize("order", list(permutations(BOTH.parts)))
def test_settings_come_back_in_order(order: Any, tmp_path: Path) -> None:
    spec = Stacked(order)
    said = to_settings(spec)
    assert said["front_end"] == spec.name == "+".join(part.name for part in order)
    assert from_settings(said) == spec
    assert said.keys() == {"front_end", "mel", "stft"}
    assert "channels" not in said["mel"]
    assert default_settings(spec)["mel"] == default_settings(MEL)
    assert spec.at_speed(10.0).parts[1].speed == 10.0
    scale = spec.scale("uint8")
    with ShardWriter(tmp_path / "both.parquet", spec, scale) as shard:
        shard.write("a.wav", encode_recording([NOISE], 4.0, spec, scale), 4.0)
    read = read_shards([tmp_path / "both.parquet"])
    assert read.spec == spec
    power = decode_energy(read.codes, read.scale, 2)
    np.testing.assert_allclose(power, energies(spec, NOISE / np.float32(4.0)), rtol=0.05, atol=1e-6)


def test_scale_and_widths_hold_for_all_parts() -> None:
    long = Stacked((MelSpec(), StftSpec(n_fft=2**15, n_mels=128)))
    assert long.scale("uint8").ceiling_db > MelSpec().scale().ceiling_db
    widths = BOTH.bandwidths()
    assert widths is not None
    np.testing.assert_array_equal(widths[:20], MEL.bandwidths())
    assert (widths[20:] == 1).all()
    assert Stacked((StftSpec(n_mels=20), MelSpec(n_mels=20, norm="slaney"))).bandwidths() is None


def test_bins_of_all_channels_name_the_nearest_of_the_first() -> None:
    assert bins_of_first(MEL) is None
    nearest, centres = bins_of_first(BOTH), BOTH.centres()
    assert nearest is not None
    assert nearest[:20].tolist() == list(range(20))
    distance = np.abs(centres - centres[nearest.numpy()])
    assert (distance[20:] <= np.abs(centres[20:, None] - centres[:20]).min(axis=1) + 1e-3).all()


@pytest.mark.parametrize("how", ["zscore", "minmax", "bins", "none", "floor"])
def test_each_channel_of_the_input_is_scaled_by_itself(how: Any) -> None:
    frames = 30
    floor = int(how == "floor")
    power = torch.rand(3, BOTH.bins, frames + floor, generator=torch.Generator().manual_seed(0))
    power[:, 20:] *= 1e-3

    def reads(spec: FrontEnd) -> InputSpec:
        scale = spec.scale("uint8")
        return InputSpec(mel=spec, scale=scale, frames=frames, normalise=how, top_db=80.0)

    both = reads(BOTH)
    assert both.shape == (2, 20, frames)
    assert InputSpec.model_validate_json(both.model_dump_json()) == both
    x = model_input(power, both)
    for channel, part in enumerate(BOTH.parts):
        alone = model_input(power[:, 20 * channel : 20 * channel + 20], reads(part))
        torch.testing.assert_close(x[:, channel : channel + 1], alone)


def test_recipe_names_several() -> None:
    table = {"features": ["mel", "stft"], "n_mels": 64, "mel_scale": "slaney", "f_min": 50.0}
    spec = Mel.model_validate(table).spec()
    mel, stft = MelSpec(n_mels=64, mel_scale="slaney", f_min=50), StftSpec(n_mels=64, f_min=50)
    assert spec == Stacked((mel, stft))
    auto = Mel.model_validate({**table, "speed": "auto"}).spec(8.0)
    assert [part.speed for part in auto.parts] == [8.0, 8.0]


def test_wavelets_have_as_many_scales_as_the_mel_has_bins() -> None:
    table = {"features": ["cwt", "mel"], "n_mels": 64, "n_fft": 4096, "cycles": 8.0, "f_min": 0.0}
    spec = Mel.model_validate(table).spec()
    assert spec == Stacked((CwtSpec(scales=64, cycles=8), MelSpec(n_mels=64, n_fft=4096)))
    found = energies(spec, *np.split(NOISE, [7_000]))
    np.testing.assert_array_equal(found[:, 64:], energies(spec.parts[1], NOISE))


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({}, "mel and stft can't be channels .* differ in bins, 128 and 1024: set n_mels"),
        ({"n_mels": 2000}, r"of 2000 mel bins are empty"),
        (
            {"cycles": 6.0},
            r'no effect under features = \["mel", "stft"\], which reads channels, f_',
        ),
        ({"features": ["mel", "mel"]}, "a front end is named twice"),
        ({"features": []}, "at least 1 item"),
    ],
)
def test_what_is_not_one_front_end_is_refused(table: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        Mel.model_validate({"features": ["mel", "stft"], **table})


@pytest.mark.parametrize("change", [{"hop_length": 256}, {"power": 1}, {"speed": 2.0}])
def test_parts_must_agree(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="can't be channels of one input: they differ in"):
        Stacked((MelSpec(), StftSpec(n_mels=128, **change)))
