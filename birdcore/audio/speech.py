"""Where people speak: intervals of speech in many recordings, by Silero VAD.

The network runs over many recordings side by side (`silero.py`), and one that is too long to be
held runs by itself. Turning its probabilities into intervals is left to the package.
"""

import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from birdcore.audio.blocks import Block, Reader
from birdcore.audio.resample import SPEECH_RATE
from birdcore.audio.silero import (
    BATCH,
    CHUNK,
    Waveform,
    package,
    probabilities_of_blocks,
    speech_probabilities,
)

T = TypeVar("T")

BATCH_SAMPLES = 3600 * SPEECH_RATE
"""What runs side by side: 230 MB."""
ALONE = 1200 * SPEECH_RATE
"""Samples from which on a recording runs by itself."""


@dataclass(frozen=True)
class SpeechSettings:
    """The parameters of `silero_vad.get_speech_timestamps`, with its defaults.

    Speech begins at a probability of threshold and ends below neg_threshold (None: 0.15 less)
    for min_silence_duration_ms. `CleaningRules`, from which a recipe sets three of them, checks
    their values.
    """

    threshold: float = 0.5
    neg_threshold: float | None = None
    min_speech_duration_ms: int = 250
    max_speech_duration_s: float = math.inf
    min_silence_duration_ms: int = 100
    speech_pad_ms: int = 30


def detect_speech(
    recordings: Iterable[tuple[T, Iterable[Block]]],
) -> Iterator[tuple[T, NDArray[np.float32], int]]:
    """The probability of speech in recordings of any lengths and number.

    Recordings are collected, BATCH of them or an hour, and run side by side: see
    `speech_probabilities`. One of ALONE samples or more runs by itself, block by block, so that
    memory grows with neither the recordings' lengths nor their number.

    Args:
        recordings: anything that names a recording, and its mono samples at SPEECH_RATE in blocks.

    Yields:
        The name, the probabilities (chunks,) and the number of samples, in the order given.
    """
    waiting: list[tuple[T, Waveform]] = []
    for name, blocks in recordings:
        reader = Reader(blocks)
        waveform = reader.take(ALONE)
        if len(waveform) < ALONE:
            waiting.append((name, waveform))
            if len(waiting) == BATCH or sum(len(w) for _, w in waiting) >= BATCH_SAMPLES:
                yield from _side_by_side(waiting)
                waiting = []
        else:
            yield from _side_by_side(waiting)
            waiting = []
            probabilities = probabilities_of_blocks(chain([waveform], reader.parts(sys.maxsize)))
            yield name, probabilities, reader.position
    yield from _side_by_side(waiting)


def _side_by_side(
    recordings: Sequence[tuple[T, Waveform]],
) -> Iterator[tuple[T, NDArray[np.float32], int]]:
    found = speech_probabilities([waveform for _, waveform in recordings])
    for (name, waveform), probabilities in zip(recordings, found, strict=True):
        yield name, probabilities, len(waveform)


def speech_intervals(
    probabilities: NDArray[np.float32], samples: int, settings: SpeechSettings
) -> list[tuple[float, float]]:
    """Start and end of speech in seconds, from probabilities (ceil(samples / 512),).

    samples: the length of the waveform at 16 kHz. Equal to `silero_vad.get_speech_timestamps` on
    that waveform, not rounded. Raises ValueError if the two lengths don't fit.
    """
    if len(probabilities) != math.ceil(samples / CHUNK):
        raise ValueError(f"{len(probabilities)} probabilities don't fit {samples} samples")
    found = package().get_speech_timestamps_from_probs(
        probabilities.tolist(), SPEECH_RATE, audio_length_samples=samples, **asdict(settings)
    )
    return [(speech["start"] / SPEECH_RATE, speech["end"] / SPEECH_RATE) for speech in found]
