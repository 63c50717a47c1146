"""A sound to search for, as a teacher hears it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from birdcore.audio.blocks import Reader
from birdcore.audio.decode import decode
from birdcore.audio.resample import resample
from birdcore.audio.stream import Rejected
from birdcore.detection.events import window_starts_s
from birdcore.teachers.external_teacher import ExternalTeacher, windows

LONGEST_S = 600.0
"""What is searched for is a call or a song, not a day."""


@dataclass(frozen=True)
class HeardClip:
    """One window of a clip.

    Attributes:
        embedding: (D,).
        start_s, end_s: Where in the file it is.
        species: The class that the teacher is surest of there.
        probability: How sure.
        others: How many other windows the clip has, in which the teacher is less sure.
    """

    embedding: NDArray[np.float32]
    start_s: float
    end_s: float
    species: str
    probability: float
    others: int


def hear_clip(
    path: Path, teacher: ExternalTeacher, start_s: float = 0.0, end_s: float | None = None
) -> HeardClip:
    """The window of a clip, or of a part of it, in which a teacher is surest of any class.

    What is shorter than a window is repeated, as in training.

    Args:
        path: Any file that training reads.
        teacher: Who hears.
        start_s, end_s: The part, seconds; to its end by default.

    Raises:
        ValueError: It is not there, can't be read, or has no such part.
    """
    if not path.is_file():
        raise ValueError(f"{path}: there is no such file")
    try:
        audio = decode(path)
        end_s = audio.duration_s if end_s is None else min(end_s, audio.duration_s)
        if not 0 <= start_s < end_s:
            raise ValueError(
                f"{path}: lasts {audio.duration_s:.2f} s: give --start and --end within it, the "
                "start before the end"
            )
        if end_s - start_s > LONGEST_S:
            raise ValueError(
                f"{path}: {end_s - start_s:.0f} s are too much to search for: give --start and "
                "--end of a call"
            )
        reader = Reader(audio.blocks())
        reader.skip(round(start_s * audio.true_rate))
        samples = reader.take(max(round((end_s - start_s) * audio.true_rate), 1))
    except Rejected as error:
        raise ValueError(f"{path}: {error}") from error
    samples = resample(samples, audio.rate, teacher.sample_rate)
    seconds = len(samples) / teacher.sample_rate
    starts = window_starts_s(seconds, teacher.window_s, teacher.window_s / 2)
    infer, best, first = teacher.open(1), None, 0
    for batch in windows([samples], len(samples), starts, teacher):
        probabilities, embeddings = infer(batch)
        highest = probabilities.max(axis=1, initial=0)
        at = int(highest.argmax())
        if best is None or highest[at] > best[0]:
            species = teacher.classes[int(probabilities[at].argmax())] if teacher.classes else ""
            best = float(highest[at]), embeddings[at].astype(np.float32), first + at, species
        first += len(batch)
    assert best is not None, "a clip has at least one window"
    probability, embedding, number, species = best
    begin_s = start_s + min(float(starts[number]), max(seconds - teacher.window_s, 0.0))
    return HeardClip(
        embedding,
        begin_s,
        min(begin_s + teacher.window_s, end_s),
        species,
        probability,
        len(starts) - 1,
    )
