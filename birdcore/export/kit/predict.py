"""Predict a folder of soundscapes with the models beside this file, and write submission.csv.

    python predict.py SOUNDSCAPES [--out submission.csv] [--sample sample_submission.csv]

It runs where birdflow can't be installed, for instance in an offline notebook. It needs Python
3.10, NumPy, soundfile, and OpenVINO or ONNX Runtime, and nothing else: so what birdflow does in
several modules is written here once more, in NumPy. Tests hold that both compute the same: energies
to 1e-4 dB (one cell in 10,000, far below the loudest, to 3e-3), values of PCEN to 1e-5, and each
probability of a submission to 1e-3.

    config.json       front end, codes, windows, smoothing, blend, weights, classes
    front_end.npz     window, filters, power of each code, response of the resampler
    model/ROUND/BACKBONE/fold-N/    model.onnx, and the same for OpenVINO (model.xml, model.bin)
    model/ROUND/probe/fold-N/       a head on a teacher's embeddings: probe.json, probe.safetensors
    teacher/                        the teacher's own file, ONNX or TFLite

Several recordings are predicted at once, each by one thread from its first byte to its rows, so
that only probabilities are kept of a recording that is done. A recording is held in memory as a
whole: this is for soundscapes of minutes, not of days.
"""

import argparse
import csv
import hashlib
import json
import math
import os
import re
import sys
import threading
import time
import unicodedata
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, TypeVar

if __name__ == "__main__":
    # Threads work on recordings; threads of NumPy's within each of them would only get in the way.
    # It reads this when it is imported.
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(variable, "1")

import numpy as np
import soundfile
from numpy.typing import NDArray

FORMATS = (1, 2)  # 2: with a teacher, or with what is done after prediction
CONFIG_KEYS = {"blend", "cell_frames", "classes", "members", "power", "predict", "scale", "weights"}
TEACHER_KEYS = {"probes", "teacher"}
ARRAYS = {"window", "bank", "power_table", "response"}
FRONT_ENDS = ("mel", "stft", "pcen")
FULL_SCALE, EPS = 2.0**31, 1e-6  # of PCEN: samples count as 32-bit integers
BATCH = 64
SUFFIXES = {".ogg", ".flac", ".wav", ".mp3", ".oga", ".opus", ".aif", ".aiff"}
LOWEST_RATE, HIGHEST_RATE = 100, 1_000_000  # of a recording, Hz; others are damaged
MOST_CHUNKS, MOST_BYTES = 256, 1 << 20  # of a RIFF file that are looked at
EXPANSION = re.compile(rb"^TE *:(.*)$", re.MULTILINE)
CODEC_PADDING_S = 0.1  # lossy codecs append a little silence, which gets no row of its own
CANCELLED = 0.1  # of the energy that the sum of unrelated channels would have
BLOCK_SAMPLES = 1 << 18  # windowed samples at once: they stay in the processor's cache
BAND = 16  # filters multiplied at once: most of a filter is zero
NEIGHBOURS = (0.1, 0.2, 0.4, 0.2, 0.1)
TINY = 1e-5
LEAST_PROBABILITY = 1e-7  # of a teacher's that becomes a logit
TEACHER = "teacher"  # the folder of its file

Floats = NDArray[Any]
T = TypeVar("T")
Model = Callable[[Floats], tuple[Floats, Floats]]
"""From inputs (B, 1, F, T) to clipwise (B, K) and framewise (B, T', K) probabilities; of a teacher
from its windows to what it says of each of its classes, and their embeddings."""


class Refused(ValueError):
    """Something that can't be used; `str()` is the reason in one line."""


# --- samples ---------------------------------------------------------------------------------


def read_mono(path: Path, channels: str = "mean") -> tuple[Floats, int]:
    """Mono samples (n,) of a file, and their rate; of its channels the mean, first or loudest."""
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
    return to_mono(samples, channels), rate


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


# --- features --------------------------------------------------------------------------------


def features(samples: Floats, front_end: Mapping[str, Any], arrays: Mapping[str, Any]) -> Floats:
    """Energies (frames, bins) of mono samples at the front end's rate, or values of PCEN."""
    energies = band_energies(samples, front_end, arrays)
    return pcen(energies, front_end) if front_end["name"] == "pcen" else energies


def pcen(energies: Floats, front_end: Mapping[str, Any]) -> Floats:
    """Magnitudes (frames, bins), each over its own smoothed past (Wang et al. 2017)."""
    gain, bias, power = (front_end[f"pcen_{key}"] for key in ("gain", "bias", "power"))
    energies = energies.astype(np.float64) * FULL_SCALE
    smooth, past = np.empty_like(energies), energies[0]
    for frame, now in enumerate(energies):
        past = past + front_end["pcen_smoothing"] * (now - past)
        smooth[frame] = past
    values = energies / (EPS + smooth) ** gain
    if bias == 0:
        return np.asarray(values**power, np.float32)
    # Of small ratios a difference of powers would lose its digits.
    return np.asarray(np.expm1(power * np.log1p(values / bias)) * bias**power, np.float32)


def band_energies(
    samples: Floats, front_end: Mapping[str, Any], arrays: Mapping[str, Any]
) -> Floats:
    """Energies (frames, bins) of mono samples at the front end's rate under its filters."""
    n_fft, hop = front_end["n_fft"], front_end["hop_length"]
    window, bank = arrays["window"], arrays["bank"]
    bands = [_band(bank, first) for first in range(0, bank.shape[1], BAND)]
    padded = np.pad(samples, n_fft // 2, mode="reflect" if len(samples) > 1 else "edge")
    frames = np.lib.stride_tricks.sliding_window_view(padded, n_fft)[::hop]
    frames = frames[: 1 + len(samples) // hop]
    energies = np.empty((len(frames), bank.shape[1]), np.float32)
    step = max(1, BLOCK_SAMPLES // n_fft)
    for first in range(0, len(frames), step):
        bins = np.abs(np.fft.rfft(frames[first : first + step] * window)).astype(np.float32)
        if front_end["power"] == 2:
            np.square(bins, out=bins)
        for mels, touched, weights in bands:
            energies[first : first + step, mels] = bins[:, touched] @ weights
    return energies


def _band(bank: Floats, first: int) -> tuple[slice, slice, Floats]:
    """Some filters, the bins that they touch, and their weights there."""
    mels = slice(first, min(first + BAND, bank.shape[1]))
    touched = np.flatnonzero(bank[:, mels].any(axis=1))
    bins = slice(int(touched[0]), int(touched[-1]) + 1)
    return mels, bins, np.ascontiguousarray(bank[bins, mels])


def encode(energies: Floats, power: int, scale: Mapping[str, Any]) -> Floats:
    """Energies or values as codes of the type that the models were trained on."""
    small = scale["dtype"] == "uint8"
    if "top" in scale:  # of values
        codes = energies * np.float32(255 / scale["top"] if small else 1.0)
        return _as_codes(codes, 255.0 if small else scale["top"], small)
    height = scale["ceiling_db"] - scale["floor_db"]
    step, top = (height / 255, 255.0) if small else (1.0, height)
    codes = np.log(np.maximum(energies, np.float32(1e-30)))
    codes *= np.float32(20.0 / power / math.log(10.0) / step)
    codes -= np.float32(scale["floor_db"] / step)
    return _as_codes(codes, top, small)


def _as_codes(codes: Floats, top: float, small: bool) -> Floats:
    np.clip(codes, 0.0, top, out=codes)
    return np.rint(codes).astype(np.uint8) if small else codes.astype(np.float16)


def decode_power(codes: Floats, scale: Mapping[str, Any], table: Floats) -> Floats:
    """The power of codes, or their values; code 0 is none."""
    if codes.dtype == np.uint8:
        return np.asarray(table[codes])
    if "top" in scale:
        return codes.astype(np.float32)
    decibels = codes.astype(np.float32) + np.float32(scale["floor_db"])
    return np.where(codes > 0, 10 ** (decibels / 10), np.float32(0))


def lower_median(values: Floats, axis: int) -> Floats:
    """The median; of an even number the lower one of the two in the middle, as torch has it."""
    middle = (values.shape[axis] - 1) // 2
    return np.take(np.partition(values, middle, axis=axis), [middle], axis=axis)


def model_input(
    power: Floats, floor: Floats, model: Mapping[str, Any], values: bool = False
) -> Floats:
    """Inputs (B, 1, F, T) of power (B, F, T) and of a recording's steady noise (F, 1).

    values: what is given are values in place of power, which are scaled as decibels are.
    """
    how, top_db = model["normalise"], model["top_db"]
    if how == "floor":
        least = np.maximum(floor, np.maximum(1e-3 * floor.mean(), 1e-12))
        db = 10.0 * np.log10(np.clip(power / least, 0.1, 1e6))
        return np.asarray((db - 5.0) / 10.0, np.float32)[:, None]
    db = power if values else 10.0 * np.log10(np.maximum(power, np.float32(1e-10)))
    if top_db is not None and not values:
        db = np.maximum(db, db.max(axis=(1, 2), keepdims=True) - top_db)
    if how == "minmax":
        low, high = db.min(axis=(1, 2), keepdims=True), db.max(axis=(1, 2), keepdims=True)
        scaled = (db - low) / np.maximum(high - low, TINY)
    elif how == "none":
        scaled = db if values else (db + 40.0) / 40.0
    else:
        middle = db.mean(axis=(1, 2), keepdims=True) if how == "zscore" else lower_median(db, 2)
        centred = db - middle
        scaled = centred / np.maximum(centred.std(axis=(1, 2), keepdims=True), TINY)
    return np.asarray(scaled, np.float32)[:, None]


# --- windows and rows ------------------------------------------------------------------------


def window_starts(total: int, window: int, step: int) -> NDArray[np.int64]:
    """First frames of windows over a recording, evenly, the first and last at its ends."""
    room = max(total - window, 0)
    steps = max(math.ceil(room / step - 0.1), math.ceil(room / window))
    return np.linspace(0, room, steps + 1).round().astype(np.int64)


def cell_probabilities(
    codes: Floats, model: Mapping[str, Any], run: Model, config: Mapping[str, Any], table: Floats
) -> Floats:
    """Probabilities (cells, K) by one model: the mean over the windows that cover a cell."""
    predict, size = config["predict"], config["cell_frames"]
    total, window = len(codes), model["frames"]
    front_end = config["front_end"]
    frame_rate = front_end["sample_rate"] / front_end["hop_length"] / front_end.get("speed", 1.0)
    step = min(window, max(1, round(predict["step_s"] * frame_rate)))
    starts = window_starts(total, window, step)
    lower = np.arange(0, total, size)
    centres = (lower + np.minimum(lower + size, total)) / 2
    values = "top" in config["scale"]
    floor = decode_power(lower_median(codes, 0), config["scale"], table).T / math.log(2)
    sums = np.zeros((len(centres), len(config["classes"])), np.float32)
    coverage = np.zeros((len(centres), 1), np.float32)
    for first in range(0, len(starts), BATCH):
        batch = starts[first : first + BATCH]
        # A recording that is shorter than a window is repeated.
        frames = (batch[:, None] + np.arange(window)) % total
        power = decode_power(codes[frames], config["scale"], table).transpose(0, 2, 1)
        clipwise, framewise = run(model_input(power, floor, model, values))
        outputs = framewise if predict["output"] != "clipwise" else clipwise[:, None]
        if predict["output"] == "both":
            outputs = (clipwise[:, None] + framewise) / 2
        for start, output in zip(batch, outputs, strict=True):
            begin, end = np.searchsorted(centres, [start, start + window])
            moment = ((centres[begin:end] - start) * len(output) / window).astype(np.int64)
            sums[begin:end] += output[moment]
            coverage[begin:end] += 1
    return sums / coverage


def segment_maxima(cells: Floats, cell_rate: float, count: int, segment_s: float) -> Floats:
    """Maxima (S, K) in the segments of a recording; the last one takes all to the end."""
    starts = np.arange(count) * segment_s
    first = np.ceil(starts * cell_rate - 0.5 - 1e-6).clip(0, len(cells) - 1).astype(np.int64)
    last = np.append(first[1:], len(cells))
    return np.stack(
        [cells[a : max(b, a + 1)].max(axis=0) for a, b in zip(first, last, strict=True)]
    )


def smooth(rows: Floats, predict: Mapping[str, Any]) -> Floats:
    """All smoothing of a recording's rows (S, K), in the order of a birdflow recipe."""
    if sigma := predict["gaussian"]:
        reach = np.arange(-int(4 * sigma + 0.5), int(4 * sigma + 0.5) + 1)
        rows = _weighted(rows, np.exp(-0.5 * (reach / sigma) ** 2))
    if shift := predict["delta_shift"]:
        rows = _weighted(rows, np.array([shift / 2, 0.0, 1 - shift, 0.0, shift / 2]))
    if predict["neighbours"]:
        rows = _weighted(rows, np.array(NEIGHBOURS))
    share = predict["file_maximum"]
    return np.asarray((1 - share) * rows + share * rows.max(axis=0, keepdims=True))


def _weighted(rows: Floats, kernel: Floats) -> Floats:
    reach = len(kernel) // 2
    padded = np.pad(rows, ((reach, reach), (0, 0)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, len(kernel), axis=0)
    return np.asarray(windows @ (kernel / kernel.sum()))


def ranks(table: Floats) -> Floats:
    """Ranks within each column (N, K), ties averaged, from 0 to 1; .5 where there is one row."""
    if len(table) == 1:
        return np.full_like(table, 0.5)
    columns = []
    for column in table.T:
        _, inverse, counts = np.unique(column, return_inverse=True, return_counts=True)
        columns.append((np.cumsum(counts) - (counts + 1) / 2)[inverse] / (len(table) - 1))
    return np.stack(columns, axis=1)


def blend(members: Mapping[str, Floats], config: Mapping[str, Any]) -> Floats:
    """One table (N, K) from those of all members."""
    how, power = config["blend"], config["power"]
    shares = np.array([config["weights"][name] for name in members], np.float64)
    # A class whose whole weight belonged to members that are not here counts the others alike.
    shares = np.where(shares.sum(axis=0) > 0, shares, 1.0)
    shares = shares / shares.sum(axis=0)
    total = 0.0
    for share, table in zip(shares, members.values(), strict=True):
        total = total + share * (
            ranks(table) if how == "rank" else table**power if how == "power" else table
        )
    return np.asarray(total ** (1 / power) if how == "power" else total)


def after_prediction(
    rows: Floats, counts: Sequence[int], operations: Mapping[str, Any] | None
) -> Floats:
    """What a birdflow recipe does with the blend (N, K) of recordings of so many rows each."""
    if operations is None:
        return rows
    if (temperature := operations["temperature"]) != 1:
        rows = np.minimum(rows, 1.0)  # what weights and kernels sum to is at times a little more
        for_it, against = rows ** (1 / temperature), (1 - rows) ** (1 / temperature)
        rows = for_it / (for_it + against)
    rows = np.minimum(rows, operations["cap"])
    if (most := operations["max_sum"]) is not None:
        rows = rows * (most / np.maximum(rows.sum(axis=1, keepdims=True), most))
    for mixing in operations["mixings"]:
        before, rows, share = rows, rows.copy(), mixing["share"]
        for group in mixing["groups"]:
            mean = before[:, group].mean(axis=1, keepdims=True)
            rows[:, group] = (1 - share) * before[:, group] + share * mean
    parts = [part.copy() for part in np.split(rows, np.cumsum(counts)[:-1])]
    for part in parts:
        for smoothing in operations["smoothings"]:
            columns = smoothing["columns"]
            part[:, columns] = _weighted(part[:, columns], np.array(smoothing["weights"]))
        if power := operations["times_file_maximum"]:
            part *= part.max(axis=0, keepdims=True) ** power
    return np.concatenate(parts)


# --- a teacher, and heads on its embeddings --------------------------------------------------


class Head(NamedTuple):
    """A head: its arrays by their names in probe.safetensors, and the weights of its own logits and
    of the teacher's."""

    arrays: Mapping[str, Any]
    own: float
    prior: float

    def probabilities(self, embeddings: Floats, prior: Floats) -> Floats:
        """Probabilities (W, K) of windows, from (W, D) and the teacher's logits (W, K)."""
        arrays = self.arrays
        x = (embeddings - arrays["mean"][:, 0]) * arrays["scale"][:, 0]
        if "hidden.weight" in arrays:
            x = np.maximum(x @ arrays["hidden.weight"][:, :, 0].T + arrays["hidden.bias"], 0)
        own = x @ arrays["classifier.weight"][:, :, 0].T + arrays["classifier.bias"]
        both = np.float32(self.own) * own + np.float32(self.prior) * prior
        logits = np.where(arrays["known"][:, 0], both, own)
        return np.asarray(1 / (1 + np.exp(-logits.clip(-80, 80))), np.float32)


def hear(samples: Floats, teacher: Mapping[str, Any], run: Model) -> tuple[Floats, Floats, Floats]:
    """Starts (W,) of the teacher's windows over a recording, seconds, what it says of each (W, its
    classes), and their embeddings (W, D).

    samples: at the teacher's rate; a recording shorter than a window is repeated.
    """
    rate, window_s, hop_s = (teacher[key] for key in ("sample_rate", "window_s", "hop_s"))
    size, starts = round(rate * window_s), np.zeros(1)
    last = max(0.0, len(samples) / rate - window_s)
    if last >= 1e-6 * hop_s:
        starts = np.append(np.arange(math.ceil(last / hop_s - 1e-6)) * hop_s, last)
    first = np.minimum(np.rint(starts * rate), max(len(samples) - size, 0)).astype(np.int64)
    samples = np.resize(samples, max(size, len(samples)))
    at_once = math.prod(teacher["shape"]) // size
    found: list[list[Floats]] = []
    for begin in range(0, len(first), at_once):
        some = first[begin : begin + at_once]
        waves = np.zeros((at_once, size), np.float16 if teacher["half"] else np.float32)
        waves[: len(some)] = centred(samples[some[:, None] + np.arange(size)], teacher["peak"])
        outputs = run(waves.reshape(teacher["shape"]))
        found.append([each.reshape(at_once, -1)[: len(some)] for each in outputs])
    scores, embeddings = (np.concatenate(each) for each in zip(*found, strict=True))
    return starts, scores.astype(np.float32), embeddings.astype(np.float32)


def centred(waves: Floats, peak: float | None) -> Floats:
    """Windows without their mean, scaled to a peak; as they are, where there is none."""
    if peak is None:
        return waves
    away = waves - waves.mean(axis=1, keepdims=True)
    highest = np.abs(away).max(axis=1, keepdims=True)
    return np.asarray(away / np.where(highest > 0, highest, 1) * peak, np.float32)


def of_classes(scores: Floats, teacher: Mapping[str, Any]) -> Floats:
    """The teacher's probabilities (W, K) of our classes: the highest of those of its own that count
    for one, and 0 for a class that it does not know."""
    of_all = scores.clip(0, 1)
    if teacher["scores"] == "logits":
        mapped = teacher["slope"] * scores.astype(np.float64) + teacher["intercept"]
        of_all = 1 / (1 + np.exp(-mapped.clip(-teacher["limit"], teacher["limit"])))
    probabilities = np.zeros((len(scores), len(teacher["columns"])), np.float32)
    for own, columns in enumerate(teacher["columns"]):
        if columns:
            probabilities[:, own] = of_all[:, columns].max(axis=1)
    return halved(probabilities)


def halved(values: Floats) -> Floats:
    """As a run stores a teacher's outputs, in half precision."""
    return values.astype(np.float16).astype(np.float32)


def prior_logits(probabilities: Floats, teacher: Mapping[str, Any]) -> Floats:
    """The teacher's logits (W, K); 0 for a class that it does not know."""
    p = probabilities.clip(np.float32(LEAST_PROBABILITY), np.float32(1 - LEAST_PROBABILITY))
    known = np.array([bool(columns) for columns in teacher["columns"]])
    return np.asarray(np.where(known, np.log(p / (1 - p)), 0), np.float32)


def over_segments(
    values: Floats, starts: Floats, window_s: float, count: int, segment_s: float
) -> Floats:
    """Means (S, K) over the windows (W, K) that overlap each segment, by how long they do."""
    rows = []
    for begin in np.arange(count) * segment_s:
        end = begin + segment_s
        low = min(int(starts.searchsorted(begin - window_s, "right")), len(starts) - 1)
        own = slice(low, max(int(starts.searchsorted(end, "right")), low + 1))
        shared = np.minimum(starts[own] + window_s, end) - np.maximum(starts[own], begin)
        weights = shared.clip(1e-6)
        rows.append((weights / weights.sum()).astype(np.float32) @ values[own])
    return np.stack(rows)


def read_head(folder: Path) -> Head:
    """A head from its folder."""
    try:
        spec = json.loads((folder / "probe.json").read_text(encoding="utf-8"))
        content = (folder / "probe.safetensors").read_bytes()
        begin = 8 + int.from_bytes(content[:8], "little")
        arrays = {
            name: np.frombuffer(
                content[begin + one["data_offsets"][0] : begin + one["data_offsets"][1]],
                {"F32": np.float32, "BOOL": np.bool_}[one["dtype"]],
            ).reshape(one["shape"])
            for name, one in json.loads(content[8:begin]).items()
            if name != "__metadata__"
        }
        return Head(arrays, spec["own"], spec["prior"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Refused(f"{folder} holds no head that can be read ({error})") from error


# --- engines ---------------------------------------------------------------------------------


def open_openvino(folder: Path) -> Model:
    """A model by OpenVINO."""
    import openvino

    return _compiled(openvino.Core().read_model(folder / "model.xml"), ("clipwise", "framewise"))


def open_onnx(folder: Path) -> Model:
    """A model by ONNX Runtime."""
    return _session(folder / "model.onnx", ("clipwise", "framewise"))


def teacher_by_openvino(path: Path, teacher: Mapping[str, Any]) -> Model:
    """A teacher's file by OpenVINO, which reads TFLite too."""
    import openvino

    core = openvino.Core()
    try:
        model = core.read_model(path)
    except RuntimeError:
        if path.suffix.lower() != ".tflite":
            raise
        from openvino.frontend import ConversionExtension

        core.add_extension(ConversionExtension("RFFT2D", _real_spectrum))
        model = core.read_model(path)
    model.reshape(list(teacher["shape"]))
    given = {name for output in model.outputs for name in output.names}
    names = (teacher["label"], teacher["embedding"])
    for name in names:
        if name not in given:  # BirdNET's embedding is what its last layer reads
            model.add_outputs(name)
    return _compiled(model, names)


def teacher_by_onnx(path: Path, teacher: Mapping[str, Any]) -> Model:
    """A teacher's file by ONNX Runtime."""
    return _session(path, (teacher["label"], teacher["embedding"]))


def _real_spectrum(node: Any) -> Any:
    """TFLite's RFFT2D over one axis, which OpenVINO lacks, of models that read its real part alone:
    so does BirdNET. Whoever exports a bundle compares what comes out."""
    from openvino import opset13 as ops

    *others, length = node.get_input(1).get_node().data
    if any(other != 1 for other in others):
        raise ValueError("RFFT2D over two axes")
    spectrum = ops.rdft(node.get_input(0), ops.constant([-1]), ops.constant([int(length)]))
    return ops.gather(spectrum, ops.constant(0), ops.constant(-1)).outputs()


def _compiled(model: Any, names: Sequence[str]) -> Model:
    """A model that OpenVINO has read; each thread has a request of its own."""
    import openvino

    settings = {
        "PERFORMANCE_HINT": "THROUGHPUT",
        "INFERENCE_PRECISION_HINT": "f32",  # else bfloat16 where the CPU has it
        "ENABLE_CPU_PINNING": False,  # else several processes take the same cores
    }
    compiled = openvino.Core().compile_model(model, "CPU", settings)
    of_thread = threading.local()

    def run(batch: Floats) -> tuple[Floats, Floats]:
        if not hasattr(of_thread, "request"):
            of_thread.request = compiled.create_infer_request()
        outputs = of_thread.request.infer([batch])
        first, second = (outputs[name].copy() for name in names)
        return first, second

    return run


def _session(path: Path, names: Sequence[str]) -> Model:
    """A file by ONNX Runtime; threads share one session, in which each computes alone."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    reads = session.get_inputs()[0].name

    def run(batch: Floats) -> tuple[Floats, Floats]:
        first, second = session.run(list(names), {reads: batch})
        return first, second

    return run


ENGINES: dict[str, Callable[[Path], Model]] = {"openvino": open_openvino, "onnx": open_onnx}
TEACHER_ENGINES: dict[str, Callable[[Path, Mapping[str, Any]], Model]] = {
    "openvino": teacher_by_openvino,
    "onnx": teacher_by_onnx,
}
PACKAGES = {"openvino": "openvino", "onnx": "onnxruntime"}


def by_first_engine(names: Iterable[str], open_by: Callable[[str], T], where: Path) -> T:
    """What is opened by the first of some engines that is installed."""
    reasons: dict[str, str] = {}
    for name in names:
        try:
            return open_by(name)
        except ImportError as error:
            reasons[PACKAGES[name]] = str(error)
        except Exception as error:  # each engine has errors of its own
            reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
            raise Refused(f"{where}: {name} can't open its models: {reason.strip()}") from error
    raise Refused(f"no engine: install {' or '.join(reasons)} ({'; '.join(reasons.values())})")


def open_models(
    bundle: Path, config: Mapping[str, Any], bins: int, engine: str
) -> dict[str, Model]:
    """The models by folder, opened by the first engine that is installed, or the one named.

    bins: of their inputs.
    """
    described = [model for models in config["members"].values() for model in models]
    folders = [model["folder"] for model in described]

    def opened(name: str) -> dict[str, Model]:
        return {folder: ENGINES[name](bundle / folder) for folder in folders}

    models = by_first_engine(ENGINES if engine == "auto" else [engine], opened, bundle)
    for model in described:
        silence = np.zeros((1, 1, bins, model["frames"]), np.float32)
        found, classes = models[model["folder"]](silence)[0].shape[1], len(config["classes"])
        if found != classes:
            raise Refused(f"{model['folder']} has {found} classes, config.json {classes}")
    return models


def open_teacher(bundle: Path, teacher: Mapping[str, Any], engine: str) -> Model:
    """The teacher's file, which is the one that the heads were trained with, opened likewise."""
    for name, expected in teacher["files"].items():
        path = bundle / TEACHER / name
        if not path.is_file():
            raise Refused(
                f"{path} is not there: it is {teacher['name']}'s, and yours to bring (sha256 "
                f"{expected}; {teacher['url'] or teacher['author']})"
            )
        if (found := sha256(path)) != expected:
            raise Refused(
                f"{path} is not the file that the heads were trained with: its sha256 is {found}, "
                f"not {expected}"
            )
    names = [name for name in teacher["engines"] if engine in ("auto", name)]
    if not names:
        does = " or ".join(teacher["engines"])
        raise Refused(f"--engine {engine} does not run {teacher['name']}: leave it to {does}")
    path = bundle / TEACHER / teacher["file"]
    return by_first_engine(names, lambda name: TEACHER_ENGINES[name](path, teacher), bundle)


def sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


# --- a folder of soundscapes -----------------------------------------------------------------


def read_bundle(bundle: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """What config.json says, and the arrays; refused where the bundle is of another version."""
    path = bundle / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Refused(f"{bundle} is no bundle: config.json can't be read ({error})") from error
    found = config.get("format") if isinstance(config, dict) else None
    if found not in FORMATS:
        raise Refused(
            f"{path} has format {found}, this script reads {' and '.join(map(str, FORMATS))}: use "
            "the predict.py that was exported with it"
        )
    with_teacher = bool(TEACHER_KEYS & config.keys())
    front_end, heads_alone = config.get("front_end"), with_teacher and config.get("members") == {}
    name = front_end.get("name") if isinstance(front_end, dict) else None
    if name not in FRONT_ENDS and not heads_alone:
        known = ", ".join(map(repr, FRONT_ENDS))
        raise Refused(f"{path}: the front end {name!r} is unknown, this script computes {known}")
    needed = CONFIG_KEYS | (TEACHER_KEYS if with_teacher else set())
    if lacking := sorted(needed - config.keys()):
        raise Refused(f"{path} is damaged: it has no {', '.join(lacking)}")
    try:
        with np.load(bundle / "front_end.npz") as stored:
            arrays = dict(stored)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise Refused(f"{bundle}: front_end.npz can't be read ({error})") from error
    if lacking := sorted(({"response"} if heads_alone else ARRAYS) - arrays.keys()):
        raise Refused(f"{bundle}: front_end.npz is damaged: it has no {', '.join(lacking)}")
    return config, arrays


def recordings_of(folder: Path) -> list[Path]:
    """All recordings below a folder, in order."""
    if not folder.is_dir():
        raise Refused(f"{folder} is no folder")
    paths = sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix.lower() in SUFFIXES)
    if not paths:
        known = " ".join(sorted(SUFFIXES))
        raise Refused(f"{folder} holds no recording (files that end in {known})")
    return paths


def check_output(path: Path) -> None:
    """Refuse now what could not be written in the end."""
    if path.is_dir():
        raise Refused(f"{path} is a folder: name a file, such as {path / 'submission.csv'}")
    if not path.parent.is_dir():
        raise Refused(f"{path} can't be written: there is no folder {path.parent}")
    if not os.access(path.parent, os.W_OK):
        raise Refused(f"{path} can't be written: the folder {path.parent} is read-only")


class Bundle(NamedTuple):
    """A bundle that is open: what config.json says, the arrays, its models by their folders, heads
    by the members that they are folds of, and the teacher where there are any."""

    config: Mapping[str, Any]
    arrays: Mapping[str, Any]
    models: Mapping[str, Model]
    heads: Mapping[str, Sequence[Head]]
    teacher: Model | None


def open_bundle(
    folder: Path, config: Mapping[str, Any], arrays: Mapping[str, Any], engine: str
) -> Bundle:
    """All that predicts; refused where something of it is damaged or lacking."""
    models: dict[str, Model] = {}
    if config["members"]:
        models = open_models(folder, config, arrays["bank"].shape[1], engine)
    heads = {
        member: [read_head(folder / fold) for fold in folds]
        for member, folds in config.get("probes", {}).items()
    }
    if not heads:
        return Bundle(config, arrays, models, heads, None)
    described = config["teacher"]
    teacher = open_teacher(folder, described, engine)
    try:
        silence = np.zeros(round(described["sample_rate"] * described["window_s"]), np.float32)
        _, scores, embeddings = hear(silence, described, teacher)
        prior = prior_logits(of_classes(scores, described), described)
        for head in (head for folds in heads.values() for head in folds):
            if head.probabilities(embeddings, prior).shape[1] != len(config["classes"]):
                raise ValueError("other classes")
    except (ValueError, IndexError, KeyError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise Refused(
            f"{folder}: a head does not fit config.json or its teacher: {reason}"
        ) from error
    return Bundle(config, arrays, models, heads, teacher)


def predict_file(path: Path, bundle: Bundle) -> tuple[dict[str, Floats], float]:
    """Smoothed probabilities (S, K) of a recording by each member, and its seconds."""
    rows, seconds = rows_of_models(path, bundle) if bundle.models else ({}, 0.0)
    if bundle.teacher:
        of_heads, seconds = rows_of_heads(path, bundle, bundle.teacher, seconds)
        rows |= of_heads
    settings = bundle.config["predict"]
    smoothed = {
        member: smooth(table.astype(np.float64), settings) for member, table in rows.items()
    }
    return smoothed, seconds


def row_count(seconds: float, segment_s: float) -> int:
    """How many rows a recording has."""
    return max(math.ceil((seconds - CODEC_PADDING_S) / segment_s), 1)


def rows_of_models(path: Path, bundle: Bundle) -> tuple[dict[str, Floats], float]:
    """Probabilities (S, K) of a recording by each member of networks, and its seconds."""
    config, arrays = bundle.config, bundle.arrays
    front_end, segment_s = config["front_end"], config["predict"]["segment_s"]
    samples, rate = read_mono(path, front_end.get("channels", "mean"))
    speed = speed_of(path, front_end)
    rate = max(1, round(rate * speed))
    samples = resample(samples, rate, front_end["sample_rate"], arrays["response"])
    peak = float(np.abs(samples).max()) or 1.0
    energies = features(samples / np.float32(peak), front_end, arrays)
    codes = encode(energies, front_end["power"], config["scale"])
    frame_rate = front_end["sample_rate"] / front_end["hop_length"] / speed  # a file's second
    seconds = max(len(codes) - 1, 1) / frame_rate
    count, rows = row_count(seconds, segment_s), {}
    for member, folds in config["members"].items():
        cells = [
            cell_probabilities(
                codes, fold, bundle.models[fold["folder"]], config, arrays["power_table"]
            )
            for fold in folds
        ]
        mean = np.mean(cells, axis=0)
        rows[member] = segment_maxima(mean, frame_rate / config["cell_frames"], count, segment_s)
    return rows, seconds


def rows_of_heads(
    path: Path, bundle: Bundle, run: Model, seconds: float
) -> tuple[dict[str, Floats], float]:
    """Probabilities (S, K) of a recording by each member of heads, and by the teacher itself where
    it is one; and its seconds.

    seconds: as networks have counted them; 0 where there are none.
    """
    teacher = bundle.config["teacher"]
    samples, rate = read_mono(path)
    if not seconds:  # whole frames of the run's features
        frame_rate = teacher["frame_rate"]
        seconds = max(int(len(samples) / rate * frame_rate + 1e-6), 1) / frame_rate
    samples = resample(samples, rate, teacher["sample_rate"], bundle.arrays["response"])
    starts, scores, embeddings = hear(samples, teacher, run)
    own = of_classes(scores, teacher)
    prior, halves = prior_logits(own, teacher), halved(embeddings)
    of_windows = {
        member: np.mean([head.probabilities(halves, prior) for head in folds], axis=0)
        for member, folds in bundle.heads.items()
    }
    if teacher["member"]:
        of_windows[teacher["member"]] = own
    segment_s = bundle.config["predict"]["segment_s"]
    count = row_count(seconds, segment_s)
    rows = {
        member: over_segments(table, starts, teacher["window_s"], count, segment_s)
        for member, table in of_windows.items()
    }
    return rows, seconds


def row_names(paths: Sequence[str]) -> list[str]:
    """What rows are named after: stems; with the folder, then the suffix, where two are alike."""
    level = dict.fromkeys(paths, 0)

    def name(path: str) -> str:
        inner = PurePosixPath(path)
        called = (inner.stem, str(inner.with_suffix("")), str(inner))[level[path]]
        return unicodedata.normalize("NFC", called)

    while True:
        times = Counter(map(name, paths))
        alike = [path for path in paths if times[name(path)] > 1 and level[path] < 2]
        if not alike:
            return [name(path) for path in paths]
        for path in alike:
            level[path] += 1


def read_sample(path: Path, classes: Sequence[str]) -> tuple[list[str], list[str]]:
    """Row ids and columns of a sample_submission.csv, whose classes must be those of the models."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header, *rows = csv.reader(file)
    except (OSError, ValueError, csv.Error) as error:
        raise Refused(f"{path} can't be read as a table ({error})") from error
    missing, odd = set(classes) - set(header[1:]), set(header[1:]) - set(classes)
    if missing or odd:
        ways = [("it lacks", missing), ("the models don't know", odd)]
        said = "; ".join(f"{what} {shortened(names)}" for what, names in ways if names)
        raise Refused(f"{path} has other classes than the models: {said}")
    return [row[0] for row in rows if row], header[1:]


def shortened(names: Iterable[str]) -> str:
    """Some names in order, and how many there are more."""
    ordered = sorted(names)
    more = f" and {len(ordered) - 5} more" if len(ordered) > 5 else ""
    return ", ".join(ordered[:5]) + more


def predict_recordings(
    paths: Sequence[Path], folder: Path, bundle: Bundle, threads: int
) -> tuple[list[str], Floats, float]:
    """Row ids (N,), probabilities (N, K), and the seconds of all recordings."""

    def predict(path: Path) -> tuple[dict[str, Floats], float] | Refused:
        try:
            return predict_file(path, bundle)
        except Refused as error:
            return error

    with ThreadPoolExecutor(threads) as pool:
        found = list(pool.map(predict, paths))
    names = row_names([path.relative_to(folder).as_posix() for path in paths])
    config = bundle.config
    row_ids: list[str] = []
    members: dict[str, list[Floats]] = {name: [] for name in config["weights"]}
    counts, seconds = [], 0.0
    for name, result in zip(names, found, strict=True):
        if isinstance(result, Refused):
            print(f"left out: {result}", file=sys.stderr)
            continue
        rows, duration = result
        seconds += duration
        for member, table in rows.items():
            members[member].append(table)
        counts.append(count := len(next(iter(rows.values()))))
        row_ids += [f"{name}_{config['predict']['segment_s'] * (row + 1)}" for row in range(count)]
    if not row_ids:
        raise Refused(f"no recording in {folder} can be read")
    tables = {name: np.concatenate(parts) for name, parts in members.items()}
    blended = blend(tables, config)
    return row_ids, after_prediction(blended, counts, config.get("after_prediction")), seconds


def write_submission(
    path: Path,
    row_ids: Sequence[str],
    probabilities: Floats,
    classes: Sequence[str],
    sample: tuple[list[str], list[str]] | None = None,
) -> None:
    """Write a submission, in the rows and columns of a sample where there is one.

    Rows without a prediction have each class's mean, so that they rank in the middle. A sample
    that names no recording of the folder decides the columns alone. The file is there in full or
    not at all.
    """
    rows, columns = sample or ([], list(classes))
    there = {row.rpartition("_")[0] for row in row_ids}
    named = {unicodedata.normalize("NFC", row.rpartition("_")[0]) for row in rows}
    wanted = rows if there & named else row_ids
    order = [list(classes).index(name) for name in columns]
    mean, row_of = probabilities.mean(axis=0), {name: row for row, name in enumerate(row_ids)}

    def lines() -> Iterable[list[str]]:
        for name in wanted:
            row = row_of.get(unicodedata.normalize("NFC", name))
            values = mean if row is None else probabilities[row]
            yield [name, *(f"{values[k]:.8g}" for k in order)]

    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["row_id", *columns])
            writer.writerows(lines())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def predict_folder(given: argparse.Namespace) -> str:
    """Predict and write what the command line asks for; whatever is refused is so before work."""
    began = time.perf_counter()
    if given.threads < 0:
        raise Refused(f"--threads {given.threads}: give how many, or 0 for all cores")
    config, arrays = read_bundle(given.bundle)
    classes = config["classes"]
    paths = recordings_of(given.soundscapes)
    sample = read_sample(given.sample, classes) if given.sample else None
    for path in filter(None, (given.out, given.report)):
        check_output(path)
    bundle = open_bundle(given.bundle, config, arrays, given.engine)
    threads = given.threads or cores()
    ready = time.perf_counter()
    row_ids, probabilities, seconds = predict_recordings(paths, given.soundscapes, bundle, threads)
    write_submission(given.out, row_ids, probabilities, classes, sample)
    ended = time.perf_counter()
    if given.report:
        counts = {"recordings": len(paths), "rows": len(row_ids), "threads": threads}
        clock = {"audio_s": seconds, "predict_s": ended - ready, "peak_memory_mb": peak_memory()}
        given.report.write_text(json.dumps(counts | clock), encoding="utf-8")
    took = ended - began
    return f"{len(row_ids)} rows of {seconds:.0f} s of audio in {took:.1f} s: {given.out}"


def cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def peak_memory() -> float:
    """The most memory that this process has had, MB; 0 where the system does not say."""
    try:
        status = Path("/proc/self/status").read_text(encoding="utf-8")
    except OSError:
        return 0.0
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Predict a folder of soundscapes.")
    parser.add_argument("soundscapes", type=Path, help="folder of recordings")
    parser.add_argument("--out", type=Path, default=Path("submission.csv"))
    parser.add_argument("--sample", type=Path, help="a sample_submission.csv: its rows and columns")
    parser.add_argument("--bundle", type=Path, default=Path(__file__).resolve().parent)
    parser.add_argument("--engine", choices=["auto", *ENGINES], default="auto")
    parser.add_argument("--threads", type=int, default=0, help="recordings at once; 0: all cores")
    parser.add_argument("--report", type=Path, help="a JSON file for counts, seconds, memory")
    given = parser.parse_args(arguments)
    try:
        print(predict_folder(given))
    except (Refused, OSError) as error:
        print(f"predict.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
