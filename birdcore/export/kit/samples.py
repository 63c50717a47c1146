"""Files as mono samples at the rate that models read."""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from birdcore.export.kit.base import Floats, Refused

LOWEST_RATE, HIGHEST_RATE = 100, 1_000_000  # of a recording, Hz; others are damaged
MOST_CHUNKS, MOST_BYTES = 256, 1 << 20  # of a RIFF file that are looked at
EXPANSION = re.compile(rb"^TE *:(.*)$", re.MULTILINE)
CANCELLED = 0.1  # of the energy that the sum of unrelated channels would have


def read(path: Path) -> tuple[Floats, int]:
    """Samples (n, channels) of a file, and their rate."""
    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError, UnicodeError) as error:
        raise Refused(f"{path}: {error}") from error  # UnicodeError: of a name that is not UTF-8
    if not LOWEST_RATE <= rate <= HIGHEST_RATE:
        raise Refused(f"{path}: a rate of {rate} Hz")
    if not len(samples):
        raise Refused(f"{path}: no samples can be read from it")
    if not np.isfinite(samples).all():
        raise Refused(f"{path}: holds samples that are NaN or infinite")
    return samples, rate


def to_mono(samples: Floats, channels: str = "mean") -> Floats:
    """One of the channels (n, channels), or their mean, or the loudest where that cancels."""
    count = samples.shape[1]
    if count == 1 or channels == "first":
        return np.ascontiguousarray(samples[:, 0])
    energies = samples.var(axis=0, dtype=np.float64)
    of_sum = samples.sum(axis=1).var(dtype=np.float64)
    # Where they cancel, one channel is wired the wrong way round.
    if channels in ("loudest", "each") or of_sum < CANCELLED * energies.sum():
        return np.ascontiguousarray(samples[:, int(energies.argmax())])
    return samples @ np.full(count, 1 / count, np.float32)


def speed_of(path: Path, front_end: Mapping[str, Any]) -> float:
    """How many times slower than life a file is, by the models' setting or its GUANO chunk (TE)."""
    if front_end.get("speed_from", "setting") == "setting":
        return float(front_end.get("speed", 1.0))
    with path.open("rb") as file:
        head = file.read(12)
        if head[:4] not in (b"RIFF", b"RF64") or head[8:12] != b"WAVE":
            return 1.0
        for _ in range(MOST_CHUNKS):
            header = file.read(8)
            if len(header) < 8:
                break
            length = int.from_bytes(header[4:], "little")
            after = file.tell() + length + length % 2
            found = header[:4] == b"guan" and length <= MOST_BYTES
            if found and (said := EXPANSION.search(file.read(length))):
                return _positive(said[1])
            file.seek(after)
    return 1.0


def _positive(text: bytes) -> float:
    try:
        factor = float(text)
    except ValueError:
        return 1.0
    return factor if 0 < factor < math.inf else 1.0


def resample(samples: Floats, source: int, target: int, response: Floats) -> Floats:
    """Samples at another rate, by their spectrum.

    response: of birdflow's resampler, from 0.9 to 1 of the lower rate's highest frequency; below
    that it changes nothing, above nothing passes.
    """
    if source == target:
        return samples
    common = math.gcd(source, target)
    down, up = source // common, target // common
    count = max(1, round(len(samples) * up / down))
    # Silence behind the end keeps the end from reaching the beginning: a spectrum is circular.
    blocks = quick_length(-(-(len(samples) + 4096) // down))
    spectrum = np.fft.rfft(np.asarray(samples, np.float64), blocks * down)
    bins = blocks * up // 2 + 1
    kept = spectrum[:bins]
    nyquist = blocks * min(down, up) / 2
    kept = kept * np.interp(
        np.arange(len(kept)) / nyquist, np.linspace(0.9, 1.0, len(response)), response, 1.0, 0.0
    )
    resampled = np.fft.irfft(kept, blocks * up)[:count] * (up / down)
    return resampled.astype(np.float32)


def quick_length(least: int) -> int:
    """The next number of which no prime factor is above 5: others may take ten times as long to
    transform."""
    odd = (int(3**a * 5**b) for a in range(20) for b in range(14))
    return min(one << max(0, (-(-least // one) - 1).bit_length()) for one in odd)
