"""A piece of a recording to see and to hear: a small spectrogram picture and a short sound file."""

import base64
import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import soundfile as sf
from numpy.typing import NDArray

from birdcore.audio.blocks import Block, Reader
from birdcore.audio.resample import resample
from birdcore.features.spectrogram import spectra
from birdcore.pages.picture import spectrogram_png

SOUND_RATE = 24_000
PEAK = 0.7
SOUNDS = "sounds"
WINDOW_S = 0.064
TINY = 1e-7


def picture(decibels: NDArray[np.float32]) -> str:
    """A spectrogram (frames, bins) as a `data:` URL."""
    return f"data:image/png;base64,{base64.b64encode(spectrogram_png(decibels)).decode()}"


def picture_of_samples(samples: NDArray[np.float32], rate: int) -> str:
    """A linear spectrogram of samples (n,) as a `data:` URL."""
    n_fft = 2 ** round(math.log2(WINDOW_S * rate))
    powers = [power.copy() for power in spectra([samples], n_fft, n_fft // 4, 2)]
    return picture(10 * np.log10(np.concatenate(powers) + np.float32(TINY)))


def excerpt(blocks: Iterable[Block], rate: int, start_s: float, end_s: float) -> Block:
    """Samples (n,) from `start_s` to `end_s`; a single zero where there are none."""
    reader = Reader(blocks)
    reader.skip(int(start_s * rate))
    samples = reader.take(round(end_s * rate) - reader.position)
    return samples if samples.size else np.zeros(1, np.float32)


def write_sound(folder: Path, samples: NDArray[np.float32], rate: int, stem: str) -> str:
    """Write an MP3 at 24 kHz, raised to one peak; returns its path relative to `folder`."""
    (folder / SOUNDS).mkdir(exist_ok=True)
    small = resample(samples, rate, SOUND_RATE)
    loudest = float(np.abs(small).max()) if small.size else 0.0
    sf.write(folder / SOUNDS / f"{stem}.mp3", small * (PEAK / max(loudest, 1e-6)), SOUND_RATE)
    return f"{SOUNDS}/{stem}.mp3"
