"""A piece of a recording to see and to hear: a small spectrogram picture and a short sound file."""

import base64
import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import soundfile as sf
from numpy.typing import NDArray
from PIL import Image

from birdcore.audio.blocks import Block, Reader
from birdcore.audio.resample import resample

GREYS = 24
"""More shades of grey enlarge the file and are not visible."""
WIDTH, HEIGHT = 360, 96
"""Maximum size of a picture in pixels."""
SOUND_RATE = 24_000
PEAK = 0.7
SOUNDS = "sounds"


def picture(decibels: NDArray[np.float32]) -> str:
    """A PNG as a `data:` URL, dark on light with low frequencies at the bottom, as in field guides.

    White is the lower half of the recording's own cells, black its loudest thousandth.

    Args:
        decibels: mel spectrogram (frames, bins).
    """
    quiet, loud = np.quantile(decibels, [0.5, 0.999])
    shade = np.clip((decibels - quiet) / max(float(loud - quiet), 1e-6), 0, 1)
    steps = np.rint((1 - shade) * (GREYS - 1)) * (255 / (GREYS - 1))
    image = Image.fromarray(steps.astype(np.uint8).T[::-1])
    size = min(WIDTH, image.width), min(HEIGHT, image.height)
    if size != image.size:
        image = image.resize(size, Image.Resampling.BOX)
    file = io.BytesIO()
    image.quantize(GREYS).save(file, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


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
