"""A folder of soundscapes, each from its file to its rows."""

import sys
import unicodedata
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

import numpy as np

from birdcore.export.kit.base import Floats, Model, Refused
from birdcore.export.kit.bundle import Bundle
from birdcore.export.kit.codes import encode
from birdcore.export.kit.front_ends import FrontEnd
from birdcore.export.kit.heads import halved, hear, of_classes, over_segments, prior_logits
from birdcore.export.kit.rows import after_prediction, blend, smooth
from birdcore.export.kit.samples import read, resample, speed_of, to_mono
from birdcore.export.kit.windows import cell_probabilities, row_count, segment_maxima

SUFFIXES = {".ogg", ".flac", ".wav", ".mp3", ".oga", ".opus", ".aif", ".aiff"}


def recordings_of(folder: Path) -> list[Path]:
    """All recordings below a folder, in order."""
    if not folder.is_dir():
        raise Refused(f"{folder} is no folder")
    paths = sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix.lower() in SUFFIXES)
    if not paths:
        known = " ".join(sorted(SUFFIXES))
        raise Refused(f"{folder} holds no recording (files that end in {known})")
    return paths


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


def predict_file(path: Path, bundle: Bundle) -> tuple[dict[str, Floats], float]:
    """Smoothed probabilities (S, K) of a recording by each member, and its seconds."""
    samples, rate = read(path)
    rows: dict[str, Floats] = {}
    seconds = 0.0
    if bundle.models and bundle.front_end:
        speed = speed_of(path, bundle.config["front_end"])
        rows, seconds = rows_of_models(samples, rate, speed, bundle, bundle.front_end)
    if bundle.teacher:
        of_heads, seconds = rows_of_heads(samples, rate, bundle, bundle.teacher, seconds)
        rows |= of_heads
    settings = bundle.config["predict"]
    smoothed = {
        member: smooth(table.astype(np.float64), settings) for member, table in rows.items()
    }
    return smoothed, seconds


def rows_of_models(
    samples: Floats, rate: int, speed: float, bundle: Bundle, front_end: FrontEnd
) -> tuple[dict[str, Floats], float]:
    """Probabilities (S, K) of a recording (n, channels) by each member of networks, and its
    seconds; speed: how many times slower than life it is."""
    config, arrays = bundle.config, bundle.arrays
    settings, segment_s = config["front_end"], config["predict"]["segment_s"]
    mono = to_mono(samples, settings.get("channels", "mean"))
    rate = max(1, round(rate * speed))
    mono = resample(mono, rate, settings["sample_rate"], arrays["response"])
    peak = float(np.abs(mono).max()) or 1.0
    codes = encode(front_end.features(mono / np.float32(peak)), settings["power"], config["scale"])
    frame_rate = settings["sample_rate"] / settings["hop_length"] / speed  # a file's second
    seconds = max(len(codes) - 1, 1) / frame_rate
    count, rows = row_count(seconds, segment_s), {}
    for member, folds in config["members"].items():
        cells = [
            cell_probabilities(
                codes,
                fold,
                bundle.models[fold["folder"]],
                config,
                front_end.channels,
                arrays["power_table"],
            )
            for fold in folds
        ]
        mean = np.mean(cells, axis=0)
        rows[member] = segment_maxima(mean, frame_rate / config["cell_frames"], count, segment_s)
    return rows, seconds


def rows_of_heads(
    samples: Floats, rate: int, bundle: Bundle, run: Model, seconds: float
) -> tuple[dict[str, Floats], float]:
    """Probabilities (S, K) of a recording (n, channels) by each member of heads, and by the teacher
    itself where it is one; and its seconds.

    seconds: as networks have counted them; 0 where there are none.
    """
    teacher = bundle.config["teacher"]
    if not seconds:  # whole frames of the run's features
        frame_rate = teacher["frame_rate"]
        seconds = max(int(len(samples) / rate * frame_rate + 1e-6), 1) / frame_rate
    mono = resample(to_mono(samples), rate, teacher["sample_rate"], bundle.arrays["response"])
    starts, scores, embeddings = hear(mono, teacher, run)
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
