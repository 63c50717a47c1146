"""Speech detection, chunk by chunk against lockstep, on one thread.

    python -m benchmarks.speech [FOLDER]

FOLDER is searched for ogg, mp3, flac and wav files; without it, noise with tones stands in. The
slow way runs on a few recordings only. Medians of three rounds in which the ways alternate.
"""

import math
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch

from birdcore.audio.decode import decode
from birdcore.audio.resample import SPEECH_RATE, resample
from birdcore.audio.silero import (
    CHUNK,
    SileroModel,
    Waveform,
    silero_model,
    speech_probabilities,
)

SUFFIXES = {".ogg", ".mp3", ".flac", ".wav"}
SLOW_RECORDINGS = 8
ROUNDS = 3


def load(folder: Path) -> list[Waveform]:
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise SystemExit(f"no recordings under {folder}")
    decoded = map(decode, paths)
    return [resample(audio.samples, audio.rate, SPEECH_RATE) for audio in decoded]


def make_up(generator: np.random.Generator, recordings: int = 128) -> list[Waveform]:
    lengths = generator.integers(5 * SPEECH_RATE, 60 * SPEECH_RATE, recordings)
    tones = generator.uniform(200, 7000, recordings)
    return [
        (
            0.1 * np.sin(2 * np.pi * tone / SPEECH_RATE * np.arange(length))
            + 0.02 * generator.standard_normal(length)
        ).astype(np.float32)
        for length, tone in zip(lengths, tones, strict=True)
    ]


def chunk_by_chunk(model: SileroModel, waveforms: list[Waveform]) -> list[Waveform]:
    found = []
    with torch.inference_mode():
        for waveform in waveforms:
            model.reset_states()
            padded = np.pad(waveform, (0, -len(waveform) % CHUNK)).reshape(-1, CHUNK)
            chunks = torch.from_numpy(padded).unbind()
            found.append(np.array([model(c, SPEECH_RATE).item() for c in chunks], np.float32))
    return found


def speed(
    score: Callable[[list[Waveform]], list[Waveform]], waveforms: list[Waveform]
) -> tuple[float, list[Waveform]]:
    """Seconds of audio per core-second, which other processes don't change much."""
    start = time.process_time()
    found = score(waveforms)
    return sum(map(len, waveforms)) / SPEECH_RATE / (time.process_time() - start), found


def main() -> None:
    torch.set_num_threads(1)
    folder = sys.argv[1] if len(sys.argv) > 1 else None
    waveforms = load(Path(folder)) if folder else make_up(np.random.default_rng(0))
    few = waveforms[:: math.ceil(len(waveforms) / SLOW_RECORDINGS)]
    slow = partial(chunk_by_chunk, silero_model())
    for score in (slow, speech_probabilities):
        score([few[0][: 10 * CHUNK]])

    speeds = []
    for _ in range(ROUNDS):
        slow_speed, expected = speed(slow, few)
        fast_speed, _ = speed(speech_probabilities, waveforms)
        speeds.append((slow_speed, fast_speed, fast_speed / slow_speed))
    slow_speed, fast_speed, ratio = np.median(speeds, axis=0)
    pairs = zip(expected, speech_probabilities(few), strict=True)
    apart = max(float(np.abs(a - b).max()) for a, b in pairs)
    minutes = sum(map(len, waveforms)) / SPEECH_RATE / 60
    print(f"{len(waveforms)} recordings, {minutes:.1f} min ({folder or 'made up'})")
    print(f"chunk by chunk {slow_speed:8.0f} x real time per core ({len(few)} of them)")
    print(f"lockstep       {fast_speed:8.0f} x real time per core (all)")
    print(f"ratio          {ratio:8.1f}   largest difference {apart:.1e}")


if __name__ == "__main__":
    main()
