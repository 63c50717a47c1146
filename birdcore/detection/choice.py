"""Which detections are listened to: at random, the surest, or as many of each confidence.

A random choice says what share of a species' detections is right; the surest say whether it is
there at all; as many of each confidence say from which one on it can be trusted. A species' choice
depends on the seed and on its own detections, so others may be added without changing it.
"""

import zlib
from typing import Literal, TypeAlias, cast, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Choice: TypeAlias = Literal["random", "confidence", "balanced"]
BANDS = 10
"""Bands of confidence, of equal width from 0 to 1."""

Rows: TypeAlias = NDArray[np.int64]


def check_choice(name: str) -> Choice:
    """The choice of this name.

    Raises:
        ValueError: There is none.
    """
    for known in get_args(Choice):
        if name == known:
            return cast(Choice, known)
    raise ValueError(f"--choose is {', '.join(get_args(Choice))}, not {name!r}")


def choose(detections: pd.DataFrame, how: Choice, most: int, seed: int) -> dict[str, Rows]:
    """Rows of each species, the surest first.

    Args:
        detections: As `read_detections` gives them.
        how: "random", "confidence" (the surest), or "balanced" over bands of confidence.
        most: Of one species at most.
        seed: Of what is random.
    """
    code = np.asarray(detections["class"].cat.codes, np.int64)
    confidence = detections["confidence"].to_numpy(np.float64)
    order = np.lexsort((-confidence, code))  # of equal ones the first
    counts = np.bincount(code, minlength=len(detections["class"].cat.categories))
    chosen = {}
    for name, rows in zip(
        detections["class"].cat.categories, np.split(order, np.cumsum(counts)[:-1]), strict=True
    ):
        if len(rows):
            generator = np.random.default_rng([seed, zlib.crc32(str(name).encode())])
            taken = _taken(confidence[rows], how, most, generator)
            chosen[str(name)] = rows[np.sort(taken)]
    return chosen


def _taken(
    confidence: NDArray[np.float64], how: Choice, most: int, generator: np.random.Generator
) -> Rows:
    """Indices into confidences (n,), which fall."""
    if how == "confidence":
        return np.arange(min(most, len(confidence)))
    if how == "random":
        return generator.permutation(len(confidence))[:most]
    return balanced(confidence, most, generator)


def balanced(confidence: NDArray[np.float64], most: int, generator: np.random.Generator) -> Rows:
    """Indices of at most `most` values, as many of each band as its count allows; at random within.

    Bands take turns, from the highest to the lowest, until there are enough.

    Example:
        >>> taken = balanced(np.array([.95, .94, .93, .92, .31]), 3, np.random.default_rng(0))
        >>> int((taken == 4).sum()), len(taken)
        (1, 3)
    """
    band = np.minimum((confidence * BANDS).astype(np.int64), BANDS - 1)
    mixed = generator.permutation(len(confidence))
    by_band = mixed[np.argsort(-band[mixed], kind="stable")]
    _, begin, counts = np.unique(-band[by_band], return_index=True, return_counts=True)
    turn = np.arange(len(by_band)) - np.repeat(begin, counts)
    return by_band[np.argsort(turn, kind="stable")][:most]
