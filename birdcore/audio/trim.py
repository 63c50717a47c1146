"""Trimming: speech is cut out of a recording, and nothing else.

What goes is decided in seconds, so that it can be overruled in a table, and is carried out on the
samples at the recording's own rate.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from birdcore.audio.blocks import Block, Reader

Action = Literal["keep", "cut"]
Interval: TypeAlias = tuple[float, float]
"""Start and end in seconds."""
UNDECIDED, CUT, KEEP = 0, 1, 2


@dataclass(frozen=True)
class Override:
    """A decision made by hand on start_s to end_s of a recording; end_s may be infinite.

    Raises ValueError for another action and unless 0 <= start_s < end_s.
    """

    action: Action
    start_s: float
    end_s: float

    def __post_init__(self) -> None:
        if self.action not in get_args(Action):
            raise ValueError(f"action must be one of {get_args(Action)}, got {self.action!r}")
        if not 0 <= self.start_s < self.end_s:
            raise ValueError(
                f"an override needs 0 <= start < end, got {self.start_s} to {self.end_s} s"
            )


def kept_intervals(
    duration_s: float,
    speech: Sequence[Interval],
    margin_s: float,
    overrides: Sequence[Override],
    min_kept_s: float,
) -> list[Interval]:
    """What stays of 0 to duration_s when speech is cut.

    Args:
        duration_s: the recording's length in seconds.
        speech: intervals of speech in seconds.
        margin_s: what is cut before and after each of them.
        overrides: decisions made by hand, which win over speech, later ones over earlier.
        min_kept_s: a shorter piece that a cut left over goes too, unless an override keeps part
            of it; a recording without cuts stays whole, however short.

    Returns:
        Sorted, disjoint intervals in seconds.

    Raises:
        ValueError: for a negative duration_s, margin_s or min_kept_s.

    Example:
        >>> kept_intervals(20, [(5, 6)], 0.5, [], 0)
        [(0.0, 4.5), (6.5, 20.0)]
    """
    if not min(duration_s, margin_s, min_kept_s) >= 0:
        raise ValueError(
            "duration, margin and shortest kept piece must not be negative, "
            f"got {duration_s}, {margin_s} and {min_kept_s} s"
        )
    marks = [(start - margin_s, end + margin_s, CUT) for start, end in speech]
    marks += [(o.start_s, o.end_s, KEEP if o.action == "keep" else CUT) for o in overrides]
    bounds = [min(max(t, 0.0), duration_s) for start, end, _ in marks for t in (start, end)]
    edges = np.unique([0.0, *bounds, duration_s])
    verdict = np.full(len(edges) - 1, UNDECIDED)
    for (start, end), (_, _, value) in zip(
        zip(bounds[::2], bounds[1::2], strict=True), marks, strict=True
    ):
        verdict[np.searchsorted(edges, start) : np.searchsorted(edges, end)] = value

    kept = []
    for first, last in _runs(verdict != CUT):
        start, end = float(edges[first]), float(edges[last])
        whole = (start, end) == (0.0, duration_s)
        if whole or end - start >= min_kept_s or KEEP in verdict[first:last]:
            kept.append((start, end))
    return kept


def trim(
    blocks: Iterable[Block],
    frames: int,
    rate: int,
    kept: Sequence[Interval],
    fade_s: float,
) -> Iterator[Block]:
    """Join the kept intervals of a recording, cross-fading at every joint.

    An interval is samples round(start * rate) up to round(end * rate), ends beyond `frames` cut
    off, empty ones dropped. At a joint of pieces with a and b samples, the last f of one and the
    first f of the next overlap, f = min(round(fade_s * rate), a // 2, b // 2). Gains are cosine
    and sine: the two sides are uncorrelated sounds, whose powers add.

    Args:
        blocks: mono samples (n,) of the whole recording.
        frames: how many samples there are in all.
        rate: samples per second.
        kept: intervals in seconds, in order and apart.
        fade_s: the length of a cross-fade in seconds.

    Returns:
        sum(lengths) - sum(f) samples, in blocks that are not empty.

    Raises:
        ValueError: if intervals overlap or aren't in order, and for a negative fade_s.

    Example:
        >>> joined = trim([np.zeros(10, np.float32)], 10, 1, [(0, 2), (5, 9)], 0.0)
        >>> sum(len(block) for block in joined)
        6
    """
    if not fade_s >= 0:
        raise ValueError(f"fade_s must not be negative, got {fade_s}")
    times = [t for interval in kept for t in interval]
    if any(earlier > later for earlier, later in pairwise([0.0, *times])):
        raise ValueError(f"kept intervals must be in order and apart, got {list(kept)}")
    bounds = [(round(start * rate), min(round(end * rate), frames)) for start, end in kept]
    pieces = [(start, end) for start, end in bounds if end > start]
    lengths = [end - start for start, end in pieces]
    longest = round(fade_s * rate)
    fades = [min(longest, a // 2, b // 2) for a, b in pairwise(lengths)]
    return _joined(Reader(blocks), pieces, [0, *fades, 0])


def _joined(
    samples: Reader[np.float32], pieces: Sequence[tuple[int, int]], fades: Sequence[int]
) -> Iterator[Block]:
    """The pieces one after another, where piece i overlaps the one before it by fades[i]."""
    tail = np.empty(0, np.float32)
    for (start, end), fade, next_fade in zip(pieces, fades[:-1], fades[1:], strict=False):
        samples.skip(start - samples.position)
        if fade:
            gain_in, gain_out = _equal_power(fade)
            yield tail * gain_out + samples.take(fade) * gain_in
        yield from samples.parts(end - next_fade - samples.position)
        tail = samples.take(next_fade)


def _equal_power(fade: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Gains (fade,) of the sound that comes and the one that goes; their squares add up to 1."""
    angle = (np.arange(fade, dtype=np.float32) + 0.5) * np.float32(math.pi / 2 / max(fade, 1))
    return np.sin(angle), np.cos(angle)


def _runs(true: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First index and one past the last of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], true, [False]]).astype(np.int8)))
    return [(int(first), int(last)) for first, last in zip(edges[::2], edges[1::2], strict=True)]
