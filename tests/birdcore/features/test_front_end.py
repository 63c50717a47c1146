"""The door to front ends: one that is listed is stored, read back and told apart from mels."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import ClassVar, Literal, get_args

import numpy as np
import pytest
import torch
from pydantic import BaseModel, ConfigDict, ValidationError

from birdcore.audio.reading import Reading
from birdcore.config.mel import FrontEndName, Mel
from birdcore.features import FRONT_ENDS
from birdcore.features.front_end import (
    AnyFrontEnd,
    Floats,
    encode_recording,
    from_settings,
    length_and_peak,
    to_settings,
)
from birdcore.features.mel import MelSpec
from birdcore.features.recordings import read_mels
from birdcore.features.scale import Scale, decode_energy
from birdcore.features.shard import ShardWriter
from birdcore.features.shard_reader import read_shards

READING = set(Reading.model_fields)


class Loudness(Reading):
    """Mean squares of stretches of samples: the smallest front end there is."""

    model_config = ConfigDict(frozen=True)
    name: ClassVar[str] = "loudness"
    bins: ClassVar[int] = 1
    input_channels: ClassVar[int] = 1
    power: ClassVar[Literal[1, 2]] = 2
    recovers_power: ClassVar[bool] = False
    recovers_wave: ClassVar[bool] = False
    sample_rate: int = 8_000
    hop: int = 80

    @property
    def frame_rate(self) -> float:
        return self.sample_rate / self.hop

    def frames(self, samples: int) -> int:
        return max(1, samples // self.hop)

    def samples(self, frames: int) -> int:
        return frames * self.hop

    def fixed_length(self, seconds: float) -> int:
        return self.frames(round(seconds * self.sample_rate))

    def centres(self) -> Floats:
        return np.array([self.sample_rate / 4], np.float32)

    def bandwidths(self) -> Floats | None:
        return None

    def scale(self, dtype: Literal["uint8", "float16"]) -> Scale:
        return Scale(ceiling_db=0.0, dtype=dtype)

    def energies(self, blocks: Iterable[Floats]) -> Iterator[Floats]:
        samples = np.concatenate(list(blocks))
        whole = samples[: self.frames(len(samples)) * self.hop].reshape(-1, self.hop)
        yield np.square(whole).mean(axis=1, keepdims=True)


class Model(BaseModel):
    front_end: AnyFrontEnd


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> Loudness:
    monkeypatch.setitem(FRONT_ENDS, "loudness", f"{__name__}:Loudness")
    return Loudness(hop=100)


def test_settings_of_mel_name_no_front_end() -> None:
    spec = MelSpec(n_mels=96)
    assert to_settings(spec) == spec.model_dump(exclude=READING)
    assert to_settings(spec.at_speed(2.0)) == to_settings(spec) | {"speed": 2.0}
    assert from_settings(spec.model_dump()) == spec


def test_settings_of_another_front_end_name_it(listed: Loudness) -> None:
    settings = to_settings(listed)
    assert settings == {"front_end": "loudness", "sample_rate": 8_000, "hop": 100}
    assert type(from_settings(settings)).__name__ == "Loudness"
    assert from_settings(settings).model_dump() == listed.model_dump()
    model = Model(front_end=listed)
    assert Model.model_validate_json(model.model_dump_json()).model_dump() == model.model_dump()


def test_unknown_front_end_is_refused() -> None:
    with pytest.raises(
        ValueError, match="no front end 'cepstrum': there is cwt, mel, stft, pcen, superlet, wave"
    ):
        from_settings({"front_end": "cepstrum"})


def test_shard_of_another_front_end_is_read_back(tmp_path: Path, listed: Loudness) -> None:
    samples = np.repeat(np.float32([0.5, -0.25, 0.125]), 100)
    count, peak = length_and_peak([samples])
    assert (count, peak) == (300, 0.5)
    scale = listed.scale("uint8")
    path = tmp_path / "loudness.parquet"
    with ShardWriter(path, listed, scale) as shard:
        shard.write("a.wav", encode_recording([samples], peak, listed, scale), peak)
    read = read_shards([path])
    assert read.spec.model_dump() == listed.model_dump()
    power = decode_energy(read.codes, scale, 2)
    np.testing.assert_allclose(power[:, 0], [1, 1 / 4, 1 / 16], rtol=0.04)
    assert read_mels([path], torch.device("cpu")).spec.name == "loudness"


def test_peak_of_silence_is_one() -> None:
    assert length_and_peak([np.zeros(3, np.float32)]) == (3, 1.0)


def test_recipe_may_name_every_front_end() -> None:
    assert set(get_args(FrontEndName)) == FRONT_ENDS.keys()


def test_recipe_gives_a_front_end_its_settings_and_those_of_the_preset(listed: Loudness) -> None:
    class Table(Mel):
        features: tuple[Literal["mel", "loudness"], ...] = ("mel",)  # type: ignore[assignment]
        hop: int | None = None

    spec = Table(features=("loudness",), preset="config_128", hop=50).spec()
    assert spec.model_dump(exclude=READING) == {"sample_rate": 32_000, "hop": 50}
    with pytest.raises(ValidationError, match=r'no effect under features = \["loudness"\]'):
        Table(features=("loudness",), n_mels=64)
