"""Acoustic fingerprints, which survive codecs, resampling, gain, cutting and noise.

Wang, "An industrial-strength audio search algorithm" (ISMIR 2003): a peak of the spectrogram is a
cell that is louder than all around it, and a landmark is a pair of peaks near each other, kept as
one number (the frequency of the first, and how far away the second lies) with the frame of the
first. Two recordings of the same sound share many landmarks at one and the same lag.

A landmark depends on about two seconds of sound, so an excerpt has the landmarks of the whole.
There is no threshold on loudness either: the neighbourhood alone decides how many peaks there are,
about 11 a second, in quiet recordings as in loud ones.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TypeAlias, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import scipy.fft
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d

from birdcore.audio.blocks import Block, Reader
from birdcore.audio.resample import resample_blocks
from birdcore.store.files import parquet_bytes, write_bytes

RATE = 24_000
WINDOW = 1024
HOP = 256
FRAMES_PER_S = RATE / HOP
LOW_BIN, HIGH_BIN = 43, 448
"""1.0 to 10.5 kHz: below is wind, traffic, and the background that editors lay under songs."""

AROUND_BINS, AROUND_FRAMES = 20, 30
"""A peak is the loudest cell within ± 470 Hz and ± 0.32 s."""
QUIETEST = 1e-6
"""Against the loudest cell of any frequency within ± 0.32 s: 60 dB below, codecs keep nothing."""

MAX_BINS = 100
MIN_FRAMES, MAX_FRAMES = 2, 126
"""How far apart the peaks of a pair may be: 2.3 kHz, and 21 ms to 1.3 s. The number holds the
frames in its last 7 bits, and 0, 1 and 127 are free: a neighbour's ± 1 never is another pair."""
PAIRS = 6
FOLLOWERS = 32
"""A peak is paired with at most 6 of the next 32 peaks, the nearest in time first."""

BLOCK = 4096
FFT_FRAMES = 256
PEAKS_AT_ONCE = 8192

TABLE = pa.schema(
    [
        ("recording", pa.string()),
        ("hash", pa.list_(pa.uint32())),
        ("frame", pa.list_(pa.int32())),
    ]
)

Frames: TypeAlias = NDArray[np.int32]
Bins: TypeAlias = NDArray[np.int32]
T = TypeVar("T", bound=np.generic)


@dataclass(frozen=True)
class Fingerprint:
    """The landmarks (pairs of peaks) of one recording, in the order of time.

    hashes: uint32 (n,), 24 bits each: bin of the first peak (9), bins to the second + 128 (8),
    frames to the second (7). frames: int32 (n,), of the first peak, FRAMES_PER_S a second.
    """

    hashes: NDArray[np.uint32]
    frames: Frames

    def __len__(self) -> int:
        return len(self.hashes)


def fingerprint(blocks: Iterable[Block], rate: int) -> Fingerprint:
    """The landmarks of a recording.

    Args:
        blocks: its mono samples (n,).
        rate: samples per second.

    Returns:
        About 50 landmarks a second; none of silence and of less than 43 ms.

    Raises:
        ValueError: for a rate below 1.

    Example:
        >>> len(fingerprint([np.zeros(48_000, np.float32)], 48_000))
        0
    """
    return pair(*peaks(resample_blocks(blocks, rate, RATE)))


def peaks(blocks: Iterable[Block]) -> tuple[Frames, Bins]:
    """Frames and bins (counted from LOW_BIN) of the peaks of samples at RATE, sorted by both.

    Works through BLOCK frames at a time, with as many around them as decide on a peak: memory does
    not grow with the recording, and the outcome does not depend on the blocks.
    """
    samples = Reader(blocks)
    around = np.empty(0, np.float32)
    found_frames, found_bins = [np.empty(0, np.int32)], [np.empty(0, np.int32)]
    for first in count(0, BLOCK):
        begin = max(0, first - AROUND_FRAMES)
        last = first + BLOCK + AROUND_FRAMES
        around = around[len(around) - (samples.position - begin * HOP) :]
        more = samples.take((last - 1) * HOP + WINDOW - samples.position)
        around = np.concatenate([around, more])
        if len(around) < WINDOW:
            break
        frames, bins = _peaks_of(_power(sliding_window_view(around, WINDOW)[::HOP]))
        frames += begin
        inside = (frames >= first) & (frames < first + BLOCK)
        found_frames.append(frames[inside])
        found_bins.append(bins[inside])
        if samples.position < (first + BLOCK) * HOP + WINDOW:
            break
    return np.concatenate(found_frames), np.concatenate(found_bins)


def pair(frames: Frames, bins: Bins) -> Fingerprint:
    """Pair each of n peaks, sorted by frame, with the nearest that follow."""
    beyond = np.iinfo(np.int32).max
    frames = np.pad(frames, (0, FOLLOWERS), constant_values=beyond)
    bins = np.pad(bins, (0, FOLLOWERS))
    hashes, firsts = [np.empty(0, np.uint32)], [np.empty(0, np.int32)]
    for first in range(0, len(frames) - FOLLOWERS, PEAKS_AT_ONCE):
        part = slice(first, first + PEAKS_AT_ONCE + FOLLOWERS)
        pairs = _paired(frames[part], bins[part])
        hashes.append(pairs.hashes)
        firsts.append(pairs.frames)
    return Fingerprint(np.concatenate(hashes), np.concatenate(firsts))


def _paired(frames: Frames, bins: Bins) -> Fingerprint:
    """The landmarks of n peaks, given n and the FOLLOWERS after them."""
    follower = np.arange(len(frames) - FOLLOWERS)[:, None] + np.arange(1, FOLLOWERS + 1)
    later = frames[follower] - frames[:-FOLLOWERS, None]
    higher = bins[follower] - bins[:-FOLLOWERS, None]
    near = (later >= MIN_FRAMES) & (later <= MAX_FRAMES) & (np.abs(higher) <= MAX_BINS)
    near &= np.cumsum(near, axis=1) <= PAIRS
    first = np.nonzero(near)[0]
    hashes = bins[first] << 15 | (higher[near] + 128) << 7 | later[near]
    return Fingerprint(hashes.astype(np.uint32), frames[first])


@dataclass(frozen=True)
class Fingerprints:
    """Fingerprints of many recordings: recording i has those from bounds[i] up to bounds[i + 1].

    hashes uint32 (n,), frames int32 (n,), bounds int64 (recordings + 1,).
    """

    recordings: tuple[str, ...]
    bounds: NDArray[np.int64]
    hashes: NDArray[np.uint32]
    frames: NDArray[np.int32]


def gather(fingerprints: Mapping[str, Fingerprint]) -> Fingerprints:
    """The fingerprints of recordings, by name, in one table."""
    return Fingerprints(
        recordings=tuple(fingerprints),
        bounds=np.cumsum([0, *map(len, fingerprints.values())], dtype=np.int64),
        hashes=_joined([each.hashes for each in fingerprints.values()], np.uint32),
        frames=_joined([each.frames for each in fingerprints.values()], np.int32),
    )


def write_fingerprints(path: Path, fingerprints: Fingerprints) -> None:
    """Write a Parquet table with a row for each recording: recording, hash and frame (lists)."""
    bounds = pa.array(fingerprints.bounds, pa.int32())
    columns = [
        pa.array(fingerprints.recordings, pa.string()),
        pa.ListArray.from_arrays(bounds, pa.array(fingerprints.hashes)),
        pa.ListArray.from_arrays(bounds, pa.array(fingerprints.frames)),
    ]
    table = pa.Table.from_arrays(columns, schema=TABLE)
    write_bytes(path, parquet_bytes(table, compression="zstd", use_dictionary=False))


def read_fingerprints(paths: Sequence[Path]) -> Fingerprints:
    """Read tables of fingerprints into one, in order.

    Raises ValueError where a file is no such table, and for a recording that is there twice.
    """
    tables = [_read(path) for path in paths]
    names = [name for table in tables for name in table["recording"].to_pylist()]
    if len(set(names)) < len(names):
        twice = next(name for name, count in Counter(names).items() if count > 1)
        raise ValueError(f"recording {twice!r} is there twice in {', '.join(map(str, paths))}")
    lists = [chunk for table in tables for chunk in table["hash"].chunks]
    lengths = _joined([np.diff(chunk.offsets.to_numpy()) for chunk in lists], np.int64)
    return Fingerprints(
        recordings=tuple(names),
        bounds=np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)]),
        hashes=_values(tables, "hash", np.uint32),
        frames=_values(tables, "frame", np.int32),
    )


def _read(path: Path) -> pa.Table:
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise ValueError(f"{path} can't be read as a table of fingerprints: {error}") from error
    if not table.schema.equals(TABLE):
        raise ValueError(f"{path} is no table of fingerprints: it has {table.schema.names}")
    return table


def _values(tables: Sequence[pa.Table], column: str, dtype: type[T]) -> NDArray[T]:
    chunks = [chunk for table in tables for chunk in table[column].chunks]
    return _joined([chunk.flatten().to_numpy() for chunk in chunks], dtype)


def _power(windows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Power (frames, bins) of windows (frames, WINDOW) under a Hann window."""
    hann = np.hanning(WINDOW + 1)[:-1].astype(np.float32)
    power = np.empty((len(windows), HIGH_BIN - LOW_BIN), np.float32)
    for i in range(0, len(windows), FFT_FRAMES):
        part = scipy.fft.rfft(windows[i : i + FFT_FRAMES] * hann, axis=1)[:, LOW_BIN:HIGH_BIN]
        power[i : i + FFT_FRAMES] = part.real**2 + part.imag**2
    return power


def _peaks_of(power: NDArray[np.float32]) -> tuple[Frames, Bins]:
    across = maximum_filter1d(power, 2 * AROUND_BINS + 1, axis=1, mode="constant")
    loudest = maximum_filter1d(across, 2 * AROUND_FRAMES + 1, axis=0, mode="constant")
    loud = maximum_filter1d(power.max(axis=1), 2 * AROUND_FRAMES + 1, mode="constant")
    frames, bins = np.nonzero((power == loudest) & (power > QUIETEST * loud[:, None]))
    # A tone that is the same in every frame would be one long peak: its first frame is.
    rises = (frames == 0) | (power[frames - 1, bins] < power[frames, bins])
    return frames[rises].astype(np.int32), bins[rises].astype(np.int32)


def _joined(parts: Sequence[NDArray[T]], dtype: type[T]) -> NDArray[T]:
    return np.concatenate([np.empty(0, dtype), *parts]).astype(dtype, copy=False)
