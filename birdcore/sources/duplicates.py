"""Recordings of a collection that lie in the competition's audio as well, and how that is known.

Three ways, each a table of leaks: the same archive id in a file name or URL, the same content,
and the same sound. Sound is compared by landmarks (`birdcore.audio.fingerprints`): where two
recordings share a stretch, however encoded, cut or mixed into noise, many landmarks agree at one
lag; unlike recordings agree only by chance, a few at any lag.

Every landmark of the known recordings is one number, hash and place on a timeline on which the
recordings lie end to end. Sorted, they are the index: a hash is a range in it, found by bisection.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from birdcore.archives.record import archive_name

if TYPE_CHECKING:  # its module imports SciPy, and `by_id` and `by_content` need no sound
    from birdcore.audio.fingerprints import Fingerprints

MIN_AGREEING = 20
"""Of 120 real recordings and 220 of a competition, the same recording in another encoding has 119
or more and an excerpt in the noise of a soundscape up to 127. Other birds have 12 at most, and that
where a publisher laid the same background under both."""
CHANCES = 20
"""A steady sound agrees with its like at many lags: of two made-up crickets, 5 to 15 minutes long,
34 to 118 landmarks do at the best one, 12 to 22 times the mean over all lags."""
COMMONEST = 500
"""A hash that the known recordings hold more often tells none of them from another."""

SLOT_BITS = 8  # recordings begin at multiples of 256 frames, so that a place gives its recording
BATCH = 50_000
LAGS_AT_ONCE = 2
LAG_BITS = 25
LAG_ZERO = 1 << (LAG_BITS - 1)


class Leak(NamedTuple):
    """`recording` of the collection is `same_as` one of the competition; `evidence` in words."""

    recording: str
    same_as: str
    why: Literal["id", "content", "audio"]
    evidence: str


class Match(NamedTuple):
    """Two recordings with sound in common.

    agreeing: landmarks of `recording` that `same_as` has `lag_s` later (earlier where negative),
    of `landmarks` that it has in all. by_chance: the mean of agreeing over all lags.
    """

    recording: str
    same_as: str
    agreeing: int
    landmarks: int
    lag_s: float
    by_chance: float


def by_id(candidates: Mapping[str, str], known: Iterable[tuple[str, str]]) -> list[Leak]:
    """Leaks by an archive's id.

    candidates: what the archive calls it (XC7, iNat7) by recording. known: (recording, URL or "")
    of the competition; both may hold an id.
    """
    named: dict[str, str] = {}
    for recording, url in known:
        for text in (recording, url):
            if (name := archive_name(text)) is not None:
                named.setdefault(name, recording)
    return [
        Leak(recording, named[name], "id", name)
        for recording, name in candidates.items()
        if name in named
    ]


def by_content(candidates: Mapping[str, str], known: Mapping[str, str]) -> list[Leak]:
    """Leaks by the files' sha256, given by recording."""
    holder: dict[str, str] = {}
    for recording, sha in known.items():
        holder.setdefault(sha, recording)
    return [
        Leak(recording, holder[sha], "content", f"sha256 {sha}")
        for recording, sha in candidates.items()
        if sha in holder
    ]


def by_audio(
    candidates: "Fingerprints", known: "Fingerprints", *, min_agreeing: int = MIN_AGREEING
) -> list[Leak]:
    """Leaks by sound, see `match`."""
    return [
        Leak(
            found.recording,
            found.same_as,
            "audio",
            f"{found.agreeing} of {found.landmarks} landmarks agree at {found.lag_s:+.2f} s",
        )
        for found in match(candidates, known, min_agreeing=min_agreeing)
    ]


def match(
    candidates: "Fingerprints", known: "Fingerprints", *, min_agreeing: int = MIN_AGREEING
) -> list[Match]:
    """All pairs with sound in common, by candidate and then most agreeing first.

    A pair counts where `agreeing` is at least min_agreeing + CHANCES * by_chance. Frames between
    peaks may differ by one, and lags too, since frames of two recordings never lie alike.
    Memory: 8 bytes for each known landmark, and a few 100 MB.
    """
    from birdcore.audio.fingerprints import FRAMES_PER_S

    index = _index(known)
    spans, known_spans = _spans(candidates), _spans(known)
    lengths = np.diff(candidates.bounds)
    matches: list[Match] = []
    for first, last in _batches(candidates.bounds):
        votes = np.sort(_votes(index, candidates, first, last))
        keys, agreeing = _best(votes, min_agreeing)
        pairs = keys >> LAG_BITS
        sources, targets = np.divmod(pairs, max(1, len(known.recordings)))
        ends = np.searchsorted(votes, (np.stack([pairs, pairs + 1]) << LAG_BITS))
        by_chance = LAGS_AT_ONCE * (ends[1] - ends[0]) / (spans[sources] + known_spans[targets])
        lags_s = ((keys & (LAG_ZERO * 2 - 1)) - LAG_ZERO) / FRAMES_PER_S
        found = np.flatnonzero(agreeing >= min_agreeing + CHANCES * by_chance)
        for i in found[np.lexsort((-agreeing[found], sources[found]))]:
            matches.append(
                Match(
                    recording=candidates.recordings[sources[i]],
                    same_as=known.recordings[targets[i]],
                    agreeing=int(agreeing[i]),
                    landmarks=int(lengths[sources[i]]),
                    lag_s=float(lags_s[i]),
                    by_chance=float(by_chance[i]),
                )
            )
    return matches


@dataclass(frozen=True)
class _Index:
    """entries: sorted, hash << 32 | place. starts: recordings' first places. owner: by slot."""

    entries: NDArray[np.uint64]
    starts: NDArray[np.int64]
    owner: NDArray[np.int64]


def _index(known: "Fingerprints") -> _Index:
    slots = -(-_spans(known) >> SLOT_BITS)
    starts = (np.cumsum(slots) - slots) << SLOT_BITS
    assert slots.sum() << SLOT_BITS < 1 << 32, "more than 12,000 hours"
    entries = known.hashes.astype(np.uint64) << np.uint64(32)
    entries |= (np.repeat(starts, np.diff(known.bounds)) + known.frames).astype(np.uint64)
    entries.sort()
    return _Index(entries, starts, np.repeat(np.arange(len(slots)), slots))


def _spans(fingerprints: "Fingerprints") -> NDArray[np.int64]:
    """Frames of each recording up to its last landmark; 0 without any."""
    spans = np.zeros(len(fingerprints.recordings), np.int64)
    some = np.diff(fingerprints.bounds) > 0
    spans[some] = fingerprints.frames[fingerprints.bounds[1:][some] - 1] + 1
    return spans


def _batches(bounds: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Ranges of recordings, one or more each, with BATCH landmarks where one has no more."""
    first = 0
    while first < len(bounds) - 1:
        last = int(np.searchsorted(bounds, bounds[first] + BATCH, "right")) - 1
        last = max(first + 1, last)
        yield first, last
        first = last


def _votes(index: _Index, candidates: "Fingerprints", first: int, last: int) -> NDArray[np.int64]:
    """For each landmark in common pair << LAG_BITS | lag + LAG_ZERO, unsorted.

    A pair is candidate * (number of known recordings) + known recording, a lag is in frames.
    """
    bounds = candidates.bounds[first : last + 1]
    part = slice(bounds[0], bounds[-1])
    order = np.argsort(candidates.hashes[part])  # bisection in order stays in the cache
    hashes = candidates.hashes[part][order].astype(np.uint64)
    low = np.searchsorted(index.entries, (hashes - np.uint64(1)) << np.uint64(32))
    high = np.searchsorted(index.entries, (hashes + np.uint64(2)) << np.uint64(32))
    count = np.where(high - low > COMMONEST, 0, high - low)
    hits = np.arange(count.sum()) + np.repeat(low - (np.cumsum(count) - count), count)
    places = (index.entries[hits] & np.uint64(0xFFFFFFFF)).astype(np.int64)
    owner = index.owner[places >> SLOT_BITS]
    source = np.repeat(np.arange(first, last), np.diff(bounds))[order]
    pairs = np.repeat(source, count) * len(index.starts) + owner
    lags = places - index.starts[owner] - np.repeat(candidates.frames[part][order], count)
    votes: NDArray[np.int64] = pairs << LAG_BITS | lags + LAG_ZERO
    return votes


def _best(
    votes: NDArray[np.int64], min_agreeing: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Of sorted votes, for each pair with min_agreeing at a lag, the vote that most cast.

    Returns the votes (P,), sorted, and how many cast them; a lag and the next count as one.
    """
    first = np.flatnonzero(np.diff(votes, prepend=-1))
    keys, counts = votes[first], np.diff(first, append=len(votes))
    beside = np.diff(keys, append=-1) == 1
    agreeing = counts + np.where(beside, np.append(counts[1:], 0), 0)
    many = np.flatnonzero(agreeing >= min_agreeing)
    keys, agreeing = keys[many], agreeing[many]
    order = np.lexsort((-agreeing, keys >> LAG_BITS))
    _, best = np.unique(keys[order] >> LAG_BITS, return_index=True)
    return keys[order][best], agreeing[order][best]
