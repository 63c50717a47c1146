"""Detections to look at and to listen to: the surest and the least sure of each species.

Each is a picture and a sound of a few seconds in a file beside the page, whose name is made from
the piece of the recording: a page that is made again, such as every night, draws only what is new.
"""

import hashlib
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile as sf
from numpy.typing import NDArray
from scipy.signal import spectrogram

from birdcore.audio.piece import read_piece
from birdcore.audio.stream import Frames, Rejected
from birdcore.pages.picture import spectrogram_png
from birdcore.store.files import write_bytes

FOLDER = "page"
"""Beside the page, with pictures and sounds."""
EACH = 3
"""How many of the surest, and of the least sure, a species has at most."""
MOST = 240
"""How many pieces there are in all: about 60 MB."""
AROUND_S, SHORTEST_S, LONGEST_S = 1.0, 3.0, 10.0
"""Seconds before and after a detection, and of the whole piece."""
HIGHEST_HZ = 12_000.0
WINDOW_S = 0.023
SIZE = (480, 144)
PEAK = 0.7
FORMAT = 1
"""Raised where pictures or sounds of the same piece are made in another way."""


@dataclass(frozen=True)
class Example:
    """A detection with what is around it.

    Attributes:
        recording: Its name.
        start_s, end_s: The detection, seconds.
        time: When that was, by the recorder's clock; "" where that is not known.
        picture, sound: Paths relative to the page; "" where the recording can't be read.
        part: What of the picture is the detection, from and to in 0 to 1.
        highest_hz: The upper edge of the picture.
        reason: Why there is neither picture nor sound.
    """

    recording: str
    start_s: float
    end_s: float
    confidence: float
    time: str = ""
    picture: str = ""
    sound: str = ""
    part: tuple[float, float] = (0.0, 1.0)
    highest_hz: float = 0.0
    reason: str = ""


def choose_examples(
    detections: pd.DataFrame, codes: Sequence[str], each: int = EACH, most: int = MOST
) -> dict[str, tuple[list[int], list[int]]]:
    """Rows of the surest and of the least sure detections of each species.

    They are of as many recordings as there are. Where there are too many species for `each`, all
    have fewer; where there are too many for two, the last ones have none.

    Args:
        detections: As `read_detections` gives them.
        codes: Classes, the most important first.
        each: Rows of one kind of one species at most.
        most: All rows together, at most.
    """
    each = max(1, min(each, most // (2 * max(len(codes), 1))))
    confidence = detections["confidence"].to_numpy(np.float64)
    file = detections["file"].cat.codes.to_numpy()
    of_class = np.asarray(detections["class"].cat.codes)
    order = np.lexsort((-confidence, of_class))
    kinds = np.arange(len(detections["class"].cat.categories))
    begin = np.searchsorted(of_class[order], kinds)
    end = np.searchsorted(of_class[order], kinds, side="right")
    known = {str(name): kind for kind, name in enumerate(detections["class"].cat.categories)}
    found = {}
    for code in codes[: most // (2 * each)]:
        rows = order[begin[known[code]] : end[known[code]]]
        sure = _distinct(rows, file, min(each, (len(rows) + 1) // 2))
        rest = rows[~np.isin(rows, sure)][::-1]
        found[code] = sure.tolist(), _distinct(rest, file, each).tolist()
    return found


def _distinct(rows: NDArray[np.intp], file: NDArray[np.integer], count: int) -> NDArray[np.intp]:
    """The first rows, of as many files as there are."""
    _, first = np.unique(file[rows], return_index=True)
    of_a_file = np.sort(first)[:count]
    others = np.setdiff1d(np.arange(len(rows)), of_a_file)
    chosen = np.sort(np.append(of_a_file, others[: count - len(of_a_file)]))
    return np.asarray(rows[chosen])


@dataclass(frozen=True)
class Recording:
    """A recording of which pieces are drawn: where it is, its length in seconds and its rate."""

    name: str
    path: Path | None
    seconds: float
    rate: int


def draw_example(
    out: Path,
    recording: Recording,
    start_s: float,
    end_s: float,
    confidence: float,
    time: str = "",
) -> Example:
    """Picture and sound of one detection, written beside the page where they are not there yet.

    Args:
        out: Where the page is.
        recording: The recording; without a path there is nothing to draw.
        start_s: Where the detection begins.
        end_s: Where it ends.
        confidence: Of the detection.
        time: When it was.
    """
    first_s, last_s = _around(start_s, end_s)
    last_s = min(last_s, recording.seconds)
    example = Example(recording.name, start_s, end_s, confidence, time)
    if recording.path is None:
        return replace(example, reason="it is not known where the recordings are")
    identity = f"{FORMAT} {first_s:.3f} {last_s:.3f} {recording.name}"
    stem = f"{FOLDER}/{hashlib.sha256(identity.encode()).hexdigest()[:16]}"
    picture, sound = f"{stem}.png", f"{stem}.flac"
    if not ((out / picture).is_file() and (out / sound).is_file()):
        try:
            samples, rate = read_piece(recording.path, first_s, last_s)
        except Rejected as error:
            return replace(example, reason=str(error))
        write_bytes(out / picture, _picture(samples, rate))
        write_bytes(out / sound, _sound(samples, rate))
    part = _part(start_s, end_s, first_s, last_s)
    highest_hz = min(HIGHEST_HZ, recording.rate / 2)
    return replace(example, picture=picture, sound=sound, part=part, highest_hz=highest_hz)


@dataclass(frozen=True)
class Piece:
    """A detection with what is around it, in memory.

    Attributes:
        picture: A PNG.
        sound: A FLAC.
        part: What of the picture is the detection, from and to in 0 to 1.
        highest_hz: The upper edge of the picture.
    """

    picture: bytes
    sound: bytes
    part: tuple[float, float]
    highest_hz: float


def cut_piece(path: Path, start_s: float, end_s: float) -> Piece:
    """Picture and sound of a detection of which nothing but its place is known.

    Raises:
        Rejected: The recording can't be read.
    """
    first_s, last_s = _around(start_s, end_s)
    samples, rate = read_piece(path, first_s, last_s)
    part = _part(start_s, end_s, first_s, first_s + len(samples) / rate)
    return Piece(_picture(samples, rate), _sound(samples, rate), part, min(HIGHEST_HZ, rate / 2))


def _around(start_s: float, end_s: float) -> tuple[float, float]:
    """From and to when a detection is shown, in seconds of its recording."""
    around_s = max(AROUND_S, (SHORTEST_S - (end_s - start_s)) / 2)
    first_s = max(start_s - around_s, 0.0)
    return first_s, min(end_s + around_s, first_s + LONGEST_S)


def _part(start_s: float, end_s: float, first_s: float, last_s: float) -> tuple[float, float]:
    """What of a piece is its detection, from and to in 0 to 1."""
    length_s = max(last_s - first_s, 1e-3)
    return (start_s - first_s) / length_s, min((end_s - first_s) / length_s, 1.0)


def _picture(samples: Frames, rate: int) -> bytes:
    """The spectrogram of the loudest channel, up to `HIGHEST_HZ`."""
    loudest = samples[:, np.argmax(samples.var(axis=0))]
    length = 1 << max(round(math.log2(rate * WINDOW_S)), 4)
    whole = np.pad(loudest, (0, max(length - len(loudest), 0)))
    hz, _, power = spectrogram(whole, rate, nperseg=length, noverlap=length * 3 // 4)
    power = power[hz <= HIGHEST_HZ].T
    decibels = 10 * np.log10(np.maximum(power, max(float(power.max()) * 1e-12, 1e-30)))
    return spectrogram_png(decibels.astype(np.float32), SIZE)


def _sound(samples: Frames, rate: int) -> bytes:
    """FLAC, which browsers play at any rate, with two channels at most, raised to one peak."""
    few = samples[:, :2]
    file = io.BytesIO()
    raised = few * (PEAK / max(float(np.abs(few).max()), 1e-6))
    sf.write(file, raised, rate, format="FLAC", subtype="PCM_16")
    return file.getvalue()
