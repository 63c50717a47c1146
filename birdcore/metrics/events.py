"""Found events against true ones: which of them are the same event.

Of one class in one recording, a found event may stand for a true one where the two overlap enough:
in intersection over union, as in DCASE's few-shot task (Nolasco et al. 2023, arXiv:2305.13210), or
in the share of the true event that is found, which asks nothing of windows of fixed length that are
longer than a call. Each event stands for one other at most, and the matching is a maximum one
(Hopcroft and Karp), as in sed_eval: a greedy one depends on the order of events. Precision, recall
and F1 count matched events (Mesaros et al. 2016, doi:10.3390/app6060162).
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import maximum_bipartite_matching

from birdcore.metrics.decisions import Counts

Ints: TypeAlias = NDArray[np.intp]
OverlapOf: TypeAlias = Literal["union", "event"]
"""What an overlap is a share of: what both events cover together, or the true event."""
ROUNDING = 1e-9
"""An overlap may miss the least one by so much: times in decimals are not exact."""


@dataclass(frozen=True)
class TimedLabels:
    """E events: recording and class of each, counted from 0, and its times in seconds (E,)."""

    recording: Ints
    label: Ints
    start_s: NDArray[np.float64]
    end_s: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.label)

    def where(self, kept: NDArray[np.bool_]) -> "TimedLabels":
        """Those that a mask (E,) keeps."""
        return TimedLabels(
            self.recording[kept], self.label[kept], self.start_s[kept], self.end_s[kept]
        )


def match_events(
    true: TimedLabels, found: TimedLabels, min_overlap: float = 0.5, of: OverlapOf = "union"
) -> tuple[Ints, Ints]:
    """The most pairs of a true and a found event, each event in one pair at most.

    Args:
        true: T events.
        found: F events.
        min_overlap: The least overlap of a pair, above 0 and at most 1; it counts itself.
        of: What overlaps are a share of.

    Returns:
        Of P pairs, indices into `true` and into `found`, (P,) each.

    Raises:
        ValueError: `min_overlap` is not in its range.
    """
    if not 0 < min_overlap <= 1:
        raise ValueError(f"the least overlap is {min_overlap:g}: give one above 0 and at most 1")
    ours, theirs, shared = overlaps(true, found)
    whole = true.end_s[ours] - true.start_s[ours]
    if of == "union":
        whole = whole + found.end_s[theirs] - found.start_s[theirs] - shared
    fits = shared >= (min_overlap - ROUNDING) * whole
    pairs = sparse.csr_array(
        (np.ones(np.count_nonzero(fits), np.int8), (ours[fits], theirs[fits])),
        shape=(len(true), len(found)),
    )
    partner = maximum_bipartite_matching(pairs, perm_type="column")
    matched = np.flatnonzero(partner >= 0)
    return matched, partner[matched].astype(np.intp)


def count_events(
    true: TimedLabels,
    found: TimedLabels,
    shape: tuple[int, int],
    *,
    uncertain: TimedLabels | None = None,
    min_overlap: float = 0.5,
    of: OverlapOf = "union",
) -> Counts:
    """Count matched, false and missed events by recording and class.

    Args:
        true: T events.
        found: F events.
        shape: (G, C), the number of recordings and of classes.
        uncertain: Stretches in which a class may or may not be there: a found event that stands for
            no true one and lies in them for `min_overlap` of its length is not counted.
        min_overlap: See `match_events`.
        of: See `match_events`.
    """
    pairs, matched = match_events(true, found, min_overlap, of)
    missed, false = np.ones(len(true), bool), np.ones(len(found), bool)
    missed[pairs], false[matched] = False, False
    if uncertain is not None:
        ours, _, shared = overlaps(found, uncertain)
        inside = np.zeros(len(found))
        np.maximum.at(inside, ours, shared)
        false &= inside < (min_overlap - ROUNDING) * (found.end_s - found.start_s)
    return Counts(
        _count(true.where(~missed), shape),
        _count(found.where(false), shape),
        _count(true.where(missed), shape),
    )


def overlaps(ours: TimedLabels, theirs: TimedLabels) -> tuple[Ints, Ints, NDArray[np.float64]]:
    """All pairs of events of one class in one recording that overlap.

    Returns:
        Of P pairs, indices into `ours` and into `theirs`, and the seconds in common, (P,) each.
    """
    times = np.unique(np.concatenate([ours.start_s, ours.end_s, theirs.start_s, theirs.end_s]))
    classes = 1 + max(ours.label.max(initial=0), theirs.label.max(initial=0))

    def place(events: TimedLabels, seconds: NDArray[np.float64]) -> Ints:
        """Order by recording, class and time, as one number each."""
        key: Ints = events.recording * classes + events.label
        placed: Ints = key * len(times) + times.searchsorted(seconds)
        return placed

    order = np.argsort(place(theirs, theirs.start_s), kind="stable")
    starts = place(theirs, theirs.start_s)[order]
    ends = np.maximum.accumulate(place(theirs, theirs.end_s)[order])
    first = ends.searchsorted(place(ours, ours.start_s), "right")
    count = np.maximum(starts.searchsorted(place(ours, ours.end_s), "left") - first, 0)
    left = np.repeat(np.arange(len(ours)), count)
    right = order[np.arange(count.sum()) - np.repeat(count.cumsum() - count, count) + first[left]]
    shared = np.minimum(ours.end_s[left], theirs.end_s[right])
    shared -= np.maximum(ours.start_s[left], theirs.start_s[right])
    there = shared > 0
    return left[there], right[there], shared[there]


def _count(events: TimedLabels, shape: tuple[int, int]) -> NDArray[np.float64]:
    cells = events.recording * shape[1] + events.label
    return np.bincount(cells, minlength=shape[0] * shape[1]).reshape(shape).astype(np.float64)
