"""Probabilities of segments as detections, so that what a run predicted is reviewed like any other.

Windows of a model overlap, and a person should hear a call once: of windows that overlap, the best
stands for the others.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from birdcore.detection.table import Species

Floats: TypeAlias = NDArray[np.floating[Any]]


def detections_of(
    recordings: Sequence[str],
    start_s: ArrayLike,
    end_s: ArrayLike,
    probabilities: Floats,
    species: Sequence[Species],
    least: float,
) -> pd.DataFrame:
    """A row for each segment and class of this probability or more, as `read_detections` has them.

    Of segments of a class that overlap, only the most probable is there.

    Args:
        recordings: The recording of each segment (S,).
        start_s, end_s: Where segments begin and end (S,), seconds.
        probabilities: (S, K), 0 to 1.
        species: The classes (K,).
        least: The least probability.
    """
    segment, label = np.nonzero(probabilities >= least)
    confidence = probabilities[segment, label]
    number, names = pd.factorize(np.asarray(recordings, object))
    start, end = np.asarray(start_s, np.float64)[segment], np.asarray(end_s, np.float64)[segment]
    group = number[segment] * len(species) + label
    order = np.argsort(-confidence, kind="stable")
    taken = np.sort(order[without_overlaps(group[order], start[order], end[order])])
    segment, label, confidence = segment[taken], label[taken], confidence[taken]
    texts = {
        "file": (number[segment], list(names)),
        "scientific_name": (label, [one.scientific_name for one in species]),
        "common_name": (label, [one.common_name for one in species]),
        "class": (label, [one.code for one in species]),
    }
    frame = pd.DataFrame({name: _category(*text) for name, text in texts.items()})
    frame["start_s"], frame["end_s"], frame["confidence"] = start[taken], end[taken], confidence
    return frame


def without_overlaps(
    group: NDArray[np.integer[Any]], start_s: NDArray[np.float64], end_s: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Which pieces (N,) overlap no earlier one of their group that was taken, in order.

    Pieces that only touch do not overlap.

    Example:
        >>> start_s = np.array([3.0, 1.5, 0.0, 1.5])
        >>> without_overlaps(np.array([0, 0, 0, 1]), start_s, start_s + 3).tolist()
        [0, 2, 3]
    """
    taken = defaultdict[int, list[tuple[float, float]]](list)
    kept = []
    pieces = zip(group.tolist(), start_s.tolist(), end_s.tolist(), strict=True)
    for at, (own, start, end) in enumerate(pieces):
        # Those taken do not overlap, so in order of time only the two beside it can meet it: a day
        # has more than ten thousand.
        others = taken[own]
        after = bisect_left(others, (start, end))
        before_ends = after == 0 or others[after - 1][1] <= start
        if before_ends and (after == len(others) or end <= others[after][0]):
            others.insert(after, (start, end))
            kept.append(at)
    return np.array(kept, np.int64)


def _category(codes: NDArray[np.integer[Any]], names: Sequence[str]) -> "pd.Series[Any]":
    """Texts as a category; two classes may have one name."""
    return pd.Series(np.asarray(names, object)[codes], dtype="str").astype("category")
