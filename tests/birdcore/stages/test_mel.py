"""The mel stage: frames of the kept audio, whatever the file, and shards that all can read."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
import torch
from torchaudio.transforms import MelSpectrogram

from birdcore.audio.decode import decode
from birdcore.audio.resample import resample
from birdcore.audio.trim import Override, trim
from birdcore.config import Clean, Mel
from birdcore.features.front_end import to_settings
from birdcore.features.recordings import read_mels
from birdcore.features.scale import Codes, decode_energy, encode
from birdcore.features.shard import BLOCK_FRAMES
from birdcore.features.shard_reader import Mels, read_shards
from birdcore.features.spectrogram import mel_energy
from birdcore.sources.shards import Shard
from birdcore.stages import clean, mel
from birdcore.store.artifact import Artifact
from birdcore.store.store import Store

MadeShard = Callable[..., Shard]
MadeMel = Callable[..., Artifact]
CPU = torch.device("cpu")


def frames_of(array: Mels, recording: str) -> Codes:
    """The codes (T, F) of one recording."""
    r = array.recordings.index(recording)
    return array.codes[array.starts[r] : array.starts[r + 1]]


def noise(seconds: float, rate: int = 32_000, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return 0.1 * rng.standard_normal(round(seconds * rate)).astype(np.float32)


def tone(hz: float, seconds: float, rate: int) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)


def test_mel_has_the_frames_of_the_kept_audio(
    store: Store, shared_data: Path, shard_of: MadeShard
) -> None:
    root = shared_data / "birdclef-mini"
    name = "train_audio/amered/XC551419.ogg"
    shard, cleaning, settings = shard_of(root, "train_audio", [name]), Clean(), Mel()
    overrides = {name: (Override("cut", 1.0, 1.5), Override("cut", 3.25, 4.0))}
    cleaned = store.make(clean.step(shard, cleaning, overrides, root), clean.run)
    step = mel.step(shard, cleaned.ref, settings, cleaning, root)
    artifact = store.make(step, mel.run)
    kept = pd.read_parquet(cleaned / "kept.parquet")
    assert len(kept) >= 3
    audio = decode(root / name)
    pieces = list(zip(kept["from"], kept["to"], strict=True))
    joined = list(trim([audio.samples], audio.frames, audio.rate, pieces, cleaning.fade_s))
    samples = resample(np.concatenate(joined), audio.rate, 32_000)
    peak = np.abs(samples).max()
    mels = read_shards([artifact / "mel.parquet"])
    spec = settings.spec()
    assert len(mels.codes) > BLOCK_FRAMES
    assert mels.peaks.tolist() == [peak]
    np.testing.assert_array_equal(
        frames_of(mels, name), encode(mel_energy(samples / peak, spec), spec.power, mels.scale)
    )
    reference = MelSpectrogram(
        sample_rate=32_000, n_fft=2048, hop_length=512, n_mels=128, f_max=16_000, normalized=True
    )
    expected = encode(
        reference(torch.from_numpy(samples / peak)).T.numpy().copy(), spec.power, mels.scale
    )
    difference = np.abs(frames_of(mels, name).astype(int) - expected)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.01


def test_mel_of_no_recordings_is_read_with_others(mel_of: MadeMel) -> None:
    empty = mel_of({}, "train_audio")
    silent = mel_of({"silent": np.zeros(32_000)}, "train_audio")
    full = mel_of({"a": noise(2), "b": noise(1, seed=1)}, "train_audio")
    assert (empty.metrics["recordings"], silent.metrics["recordings"]) == (0, 0)
    shards = [a / "mel.parquet" for a in (empty, full, silent)]
    together = read_mels(shards, CPU)
    assert together.names == ("train_audio/a.wav", "train_audio/b.wav")
    assert together.lengths.tolist() == [126, 63]
    alone = read_mels([full / "mel.parquet"], CPU)
    assert torch.equal(together.codes, alone.codes)
    assert read_mels([empty / "mel.parquet"], CPU).names == ()


@pytest.mark.parametrize("rate", [4_000, 44_100, 192_000])
def test_mel_puts_a_tone_in_its_bin_at_any_sample_rate(mel_of: MadeMel, rate: int) -> None:
    hz = 1_500.0
    artifact = mel_of({"a": tone(hz, 3, rate)}, rate=rate)
    at_32_kHz = mel_of({"b": tone(hz, 3, 32_000)})
    mels, expected = (read_shards([a / "mel.parquet"]) for a in (artifact, at_32_kHz))
    assert mels.spec.sample_rate == 32_000
    assert len(mels.codes) == len(expected.codes) == 188
    power = [decode_energy(m.codes, m.scale, 2)[10:-10].mean(axis=0) for m in (mels, expected)]
    assert power[0].argmax() == power[1].argmax()
    # Resampling rings at the ends, where the tone breaks off: the peak is a little higher.
    assert power[0].max() == pytest.approx(power[1].max(), rel=0.25)


@pytest.mark.parametrize("rate", [4_000, 32_000, 192_000])
def test_mel_of_one_sample_is_a_frame(mel_of: MadeMel, rate: int) -> None:
    artifact = mel_of({"one": np.array([0.5]), "three": noise(3, rate)}, rate=rate)
    mels = read_shards([artifact / "mel.parquet"])
    assert len(frames_of(mels, "test_soundscapes/one.wav")) == 1
    assert len(frames_of(mels, "test_soundscapes/three.wav")) == 188


def test_mel_of_silence_is_code_zero(mel_of: MadeMel) -> None:
    mels = read_shards([mel_of({"silent": np.zeros(64_000)}) / "mel.parquet"])
    assert not mels.codes.any()
    assert mels.peaks.tolist() == [1.0]


def test_mel_of_a_truncated_soundscape_has_its_frames(
    store: Store, tmp_path: Path, shard_of: MadeShard
) -> None:
    folder = tmp_path / "test_soundscapes"
    folder.mkdir()
    sf.write(folder / "half.wav", noise(4), 32_000)
    content = (folder / "half.wav").read_bytes()
    (folder / "half.wav").write_bytes(content[: len(content) // 2])
    shard = shard_of(tmp_path, "test_soundscapes")
    cleaned = store.make(clean.step(shard, Clean(), {}, tmp_path), clean.run)
    step = mel.step(shard, cleaned.ref, Mel(), Clean(), tmp_path)
    assert store.make(step, mel.run).metrics["frames"] == pytest.approx(2 * 62.5, abs=1)


def test_mel_of_a_long_soundscape_is_continuous(mel_of: MadeMel) -> None:
    seconds = 4 * 60 + 1.3
    samples = noise(seconds)
    artifact = mel_of({"long": samples})
    mels = read_shards([artifact / "mel.parquet"])
    assert len(mels.codes) == 1 + len(samples) // 512
    first = 200 * 62  # frames far from a start see only the samples around them
    part = samples[(first - 20) * 512 :][: 60 * 512] / np.abs(samples).max()
    expected = encode(mel_energy(part, mels.spec), 2, mels.scale)
    difference = mels.codes[first : first + 20].astype(int) - expected[20:40]
    assert np.abs(difference).max() <= 1
    assert artifact.metrics["hours"] == pytest.approx(seconds / 3600, abs=1e-4)


def test_mel_in_float16_gives_the_power_of_uint8(mel_of: MadeMel) -> None:
    waveforms = {"a": noise(3), "b": noise(1.5, seed=1)}
    small = Mel(n_mels=32)
    shards = [
        mel_of(waveforms, "train_audio", settings)
        for settings in (small, small.model_copy(update={"dtype": "float16"}))
    ]
    assert shards[0].ref != shards[1].ref
    bytes_, halves = (read_mels([a / "mel.parquet"], CPU) for a in shards)
    assert halves.codes.dtype == torch.float16
    where = torch.tensor([0, 1, 1]), torch.tensor([7, 0, 30])
    power = [recordings.power(*where, frames=120) for recordings in (bytes_, halves)]
    assert power[0].shape == power[1].shape == (3, 32, 120)
    assert (power[1] > 0).all()
    decibels = 10 * (power[0] / power[1]).log10()
    assert decibels.abs().max() < bytes_.scale.step_db / 2 + 0.05


def test_mel_key_depends_on_its_inputs(tmp_path: Path, mel_of: MadeMel) -> None:
    artifact = mel_of({"a": noise(1)})
    config = artifact.manifest.config
    assert config["spec"] == to_settings(Mel(n_mels=32).spec())
    assert config["fade_s"] == 0.0
    scale = read_shards([artifact / "mel.parquet"]).scale
    assert config["scale"] == asdict(scale)
    assert mel_of({"a": noise(1)}, settings=Mel(n_mels=40)).ref != artifact.ref


def test_mel_scale_holds_the_loudest_magnitude(mel_of: MadeMel) -> None:
    whistle = tone(2_000, 1, 32_000)
    mels = read_shards([mel_of({"a": whistle}, settings=Mel(n_mels=32, power=1)) / "mel.parquet"])
    assert 128 < mels.codes.max() < 255
