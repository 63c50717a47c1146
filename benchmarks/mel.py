"""Mels against torchaudio's transform, and shards written, read and cropped; one thread.

python -m benchmarks.mel
"""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torchaudio.transforms import MelSpectrogram

from birdcore.features.mel import PRESETS
from birdcore.features.recordings import read_mels
from birdcore.features.scale import Scale, encode
from birdcore.features.shard import ShardWriter
from birdcore.features.shard_reader import read_shards
from birdcore.features.spectrogram import mel_energy

SECONDS = 30
ROUNDS = 12
RECORDINGS = 400


def best(*paths: Callable[[], object], rounds: int = ROUNDS) -> list[float]:
    """The shortest seconds of each path, taken in turns so that all meet the same machine."""
    took = [[_seconds(path) for path in paths] for _ in range(rounds)]
    return [min(times) for times in zip(*took, strict=True)]


def _seconds(path: Callable[[], object]) -> float:
    start = time.perf_counter()
    path()
    return time.perf_counter() - start


def transforms(rng: np.random.Generator) -> None:
    for name in ("config_128", "config_256"):
        spec = PRESETS[name]
        samples = rng.uniform(-1, 1, SECONDS * spec.sample_rate).astype(np.float32)
        waveform = torch.from_numpy(samples)
        transform = MelSpectrogram(**spec.model_dump(), normalized=True)
        energy = mel_energy(samples, spec)
        theirs, ours, coding = best(
            partial(transform, waveform),
            partial(mel_energy, samples, spec),
            partial(encode, energy, 2, Scale()),
        )
        print(
            f"{name}, {SECONDS} s: torchaudio {SECONDS / theirs:,.0f} x RT, "
            f"mel_energy {SECONDS / ours:,.0f} x RT, {theirs / ours:.1f} times as fast; "
            f"encode {SECONDS / coding:,.0f} x RT"
        )


def shards(rng: np.random.Generator, folder: Path) -> None:
    spec, scale, path = PRESETS["config_128"], Scale(), folder / "mel.parquet"
    length = spec.fixed_length(5.0)
    frames = rng.integers(length, 10 * length, RECORDINGS)
    mels = {
        f"XC{i}": rng.integers(0, 256, (n, spec.n_mels), np.uint8) for i, n in enumerate(frames)
    }

    def write() -> None:
        with ShardWriter(path, spec, scale) as shard:
            for recording, codes in mels.items():
                shard.write(recording, [codes], 1.0)

    write()
    read = read_shards([path])
    rows = rng.integers(0, RECORDINGS, 64)
    offsets = torch.from_numpy(rng.integers(0, frames[rows]))
    recordings = read_mels([path], torch.device("cpu"))
    writing, reading, cropping = best(
        write,
        lambda: read_shards([path]),
        lambda: recordings.power(torch.from_numpy(rows), offsets, length),
    )
    chunks = read.codes.shape[0] / length
    print(
        f"{RECORDINGS} recordings, {chunks:,.0f} chunks of 5 s, {read.codes.nbytes / 1e6:,.0f} MB: "
        f"write {chunks / writing:,.0f} chunks/s, read {chunks / reading:,.0f} chunks/s, "
        f"64 random chunks {1000 * cropping:.2f} ms; "
        f"file {path.stat().st_size / read.codes.nbytes:.3f} of the codes' bytes"
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    transforms(rng)
    with TemporaryDirectory() as folder:
        shards(rng, Path(folder))
