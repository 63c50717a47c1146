"""Windows over a recording, and rows from what models say of them."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from birdcore.export.kit.base import Floats, Model
from birdcore.export.kit.codes import decode_power, lower_median, model_input

BATCH = 64
CODEC_PADDING_S = 0.1  # lossy codecs append a little silence, which gets no row of its own


def window_starts(total: int, window: int, step: int) -> NDArray[np.int64]:
    """First frames of windows over a recording, evenly, the first and last at its ends."""
    room = max(total - window, 0)
    steps = max(math.ceil(room / step - 0.1), math.ceil(room / window))
    return np.linspace(0, room, steps + 1).round().astype(np.int64)


def cell_probabilities(
    codes: Floats,
    model: Mapping[str, Any],
    run: Model,
    config: Mapping[str, Any],
    channels: int,
    table: Floats,
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
    values = not {"top", "mu"}.isdisjoint(config["scale"])
    floor = decode_power(lower_median(codes, 0), config["scale"], table).T / math.log(2)
    sums = np.zeros((len(centres), len(config["classes"])), np.float32)
    coverage = np.zeros((len(centres), 1), np.float32)
    for first in range(0, len(starts), BATCH):
        batch = starts[first : first + BATCH]
        # A recording that is shorter than a window is repeated.
        frames = (batch[:, None] + np.arange(window)) % total
        power = decode_power(codes[frames], config["scale"], table).transpose(0, 2, 1)
        clipwise, framewise = run(model_input(power, floor, model, channels, values))
        outputs = framewise if predict["output"] != "clipwise" else clipwise[:, None]
        if predict["output"] == "both":
            outputs = (clipwise[:, None] + framewise) / 2
        for start, output in zip(batch, outputs, strict=True):
            begin, end = np.searchsorted(centres, [start, start + window])
            moment = ((centres[begin:end] - start) * len(output) / window).astype(np.int64)
            sums[begin:end] += output[moment]
            coverage[begin:end] += 1
    return sums / coverage


def row_count(seconds: float, segment_s: float) -> int:
    """How many rows a recording has."""
    return max(math.ceil((seconds - CODEC_PADDING_S) / segment_s), 1)


def segment_maxima(cells: Floats, cell_rate: float, count: int, segment_s: float) -> Floats:
    """Maxima (S, K) in the segments of a recording; the last one takes all to the end."""
    starts = np.arange(count) * segment_s
    first = np.ceil(starts * cell_rate - 0.5 - 1e-6).clip(0, len(cells) - 1).astype(np.int64)
    last = np.append(first[1:], len(cells))
    return np.stack(
        [cells[a : max(b, a + 1)].max(axis=0) for a, b in zip(first, last, strict=True)]
    )
