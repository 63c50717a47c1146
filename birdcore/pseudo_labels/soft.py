"""Pseudo-labels from probabilities: thresholds, powers, masks, and weights of soundscapes.

Inputs are probabilities (S, C) of S segments, in 0 to 1. Logits are refused: a power or a threshold
would mean something else for them.

    >>> drop_small(np.array([[0.05, 0.8]]), 0.1)
    array([[0. , 0.8]])
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray


def high_low_mask(
    probabilities: NDArray[np.floating], high: float = 0.7, low: float = 0.3
) -> NDArray[np.bool_]:
    """Which classes of each pseudo-label count, (S, C): sure to sound or sure not to (10th 2025).

    True where p ≥ `high` or p ≤ `low`. Raises ValueError where low > high.
    """
    _check(probabilities)
    if low > high:
        raise ValueError(f"the low threshold {low:g} is above the high one {high:g}")
    return (probabilities >= high) | (probabilities <= low)


def power_transform(probabilities: NDArray[np.floating], power: float) -> NDArray[np.floating]:
    """p to `power` (1st place 2025: above 1 in later rounds, so that noise does not accumulate)."""
    _check(probabilities)
    if not power > 0:
        raise ValueError(f"power must be positive, not {power:g}")
    return probabilities**power


def keep_segments(probabilities: NDArray[np.floating], threshold: float = 0.5) -> NDArray[np.bool_]:
    """Which segments are kept, (S,): those with a class of at least `threshold`."""
    _check(probabilities)
    return np.asarray((probabilities >= threshold).any(axis=1))


def drop_small(probabilities: NDArray[np.floating], below: float = 0.1) -> NDArray[np.floating]:
    """Zero for what is under `below`, the rest stays soft (2nd place 2025)."""
    _check(probabilities)
    return np.where(probabilities < below, np.zeros_like(probabilities), probabilities)


def minmax_by_class(labels: NDArray[np.floating]) -> NDArray[np.floating]:
    """Labels (S, C) with each class stretched to 0 to 1 over all segments (4th place 2025).

    A class that is the same everywhere stays as it is.
    """
    _check(labels)
    low, high = labels.min(axis=0, initial=1.0), labels.max(axis=0, initial=0.0)
    stretch = np.where(high > low, high - low, 1.0)
    return np.asarray(np.where(high > low, (labels - low) / stretch, labels), labels.dtype)


def keep_top(labels: NDArray[np.floating], share: float) -> NDArray[np.bool_]:
    """Which segments are among this share with the highest label sums (4th place 2025: .8).

    Of equal sums the first; at least one where there are any.
    """
    _check(labels)
    if not 0 < share <= 1:
        raise ValueError(f"the share that is kept is above 0 and at most 1, not {share:g}")
    count = max(1, round(share * len(labels)))
    kept = np.zeros(len(labels), bool)
    kept[np.argsort(-labels.sum(axis=1, dtype=np.float64), kind="stable")[:count]] = True
    return kept


def cap_sum(labels: NDArray[np.floating], cap: float) -> NDArray[np.floating]:
    """Labels (S, C), those of a segment scaled down to sum to `cap` where they sum to more.

    2026's winners: .75, so that a teacher's labels weigh less than an annotator's.
    """
    _check(labels)
    if not cap > 0:
        raise ValueError(f"a cap of label sums is above 0, not {cap:g}")
    sums = labels.sum(axis=1, keepdims=True)
    return np.asarray(labels * (cap / np.maximum(sums, cap)), labels.dtype)


def soundscape_weights(
    probabilities: NDArray[np.floating], recording_index: ArrayLike
) -> NDArray[np.float64]:
    """How often to draw each recording, (R,): Σ over classes of its maximum (1st place 2025).

    `recording_index` (S,) numbers the recording of each segment from 0, in any order; R is the
    largest number + 1, and a number without segments weighs 0. Not scaled to sum 1.
    """
    _check(probabilities)
    index = np.asarray(recording_index)
    if index.shape != probabilities.shape[:1]:
        raise ValueError(f"{len(probabilities)} segments, but recordings of shape {index.shape}")
    if not index.size:
        return np.zeros(0)
    order = np.argsort(index, kind="stable")
    numbers, first = np.unique(index[order], return_index=True)
    peaks = np.maximum.reduceat(probabilities[order], first, axis=0)
    weights = np.zeros(numbers[-1] + 1)
    weights[numbers] = peaks.sum(axis=1, dtype=np.float64)
    return weights


def segment_starts(seconds: float, segment_s: float, hop_s: float) -> NDArray[np.float64]:
    """Starts of overlapping segments that reach the end of a recording, in seconds.

    Example:
        >>> segment_starts(12.0, 5.0, 5.0)
        array([0., 5., 7.])
    """
    last = max(0.0, seconds - segment_s)
    if last < 1e-6 * hop_s:  # no longer than a segment, up to rounding
        return np.zeros(1)
    return np.append(np.arange(math.ceil(last / hop_s - 1e-6)) * hop_s, last)


def _check(probabilities: NDArray[np.floating]) -> None:
    if probabilities.ndim != 2:
        raise ValueError(f"probabilities must be (segments, classes), not {probabilities.shape}")
    if not ((probabilities >= 0) & (probabilities <= 1)).all():
        raise ValueError("these are not probabilities in 0 to 1: apply the sigmoid to logits first")
