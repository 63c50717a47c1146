"""A teacher's windows, and heads on its embeddings."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from birdcore.export.kit.base import Floats, Model, Refused

LEAST_PROBABILITY = 1e-7  # of a teacher's that becomes a logit


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
