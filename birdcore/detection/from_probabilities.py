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


def cells_above(
    recordings: ArrayLike,
    start_s: ArrayLike,
    end_s: ArrayLike,
    probabilities: Floats,
    least: float,
) -> pd.DataFrame:
    """A row for each segment and class of this probability or more.

    Args:
        recordings: The recording of each segment (S,).
        start_s, end_s: Where segments begin and end (S,), seconds.
        probabilities: (S, K), 0 to 1.
        least: The least probability.

    Returns:
        The columns recording, start_s, end_s, label (the number of the class) and confidence, in
        the order of segments and classes.
    """
    segment, label = np.nonzero(probabilities >= least)
    return pd.DataFrame(
        {
            "recording": np.asarray(recordings, np.object_)[segment],
            "start_s": np.asarray(start_s, np.float64)[segment],
            "end_s": np.asarray(end_s, np.float64)[segment],
            "label": label,
            "confidence": probabilities[segment, label],
        }
    )


def detections_of(cells: pd.DataFrame, species: Sequence[Species]) -> pd.DataFrame:
    """Detections as `read_detections` has them, in the order of their cells.

    Of segments of a class that overlap, only the most probable is there; of two that are as
    probable, the first.

    Args:
        cells: As `cells_above` gives them.
        species: The classes (K,).
    """
    number, _ = pd.factorize(cells["recording"])
    group = number * len(species) + cells["label"].to_numpy()
    start, end = cells["start_s"].to_numpy(), cells["end_s"].to_numpy()
    order = np.argsort(-cells["confidence"].to_numpy(), kind="stable")
    kept = without_overlaps(group[order], start[order], end[order])
    taken = cells.iloc[np.sort(order[kept])]
    label = taken["label"].to_numpy()
    texts = {
        "file": taken["recording"].to_numpy(object),
        "scientific_name": _texts([one.scientific_name for one in species])[label],
        "common_name": _texts([one.common_name for one in species])[label],
        "class": _texts([one.code for one in species])[label],
    }
    frame = pd.DataFrame({name: _category(text) for name, text in texts.items()})
    for name in ("start_s", "end_s", "confidence"):
        frame[name] = taken[name].to_numpy()
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


def _texts(names: Sequence[str]) -> NDArray[np.object_]:
    return np.asarray(names, object)


def _category(texts: NDArray[np.object_]) -> "pd.Series[Any]":
    """Texts as a category; two classes may have one name."""
    return pd.Series(texts, dtype="str").astype("category")
