"""Matched events against sed_eval's numbers (0.2.1, written down here), and against trying all."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from birdcore.metrics.decisions import Counts, rates
from birdcore.metrics.events import TimedLabels, count_events, match_events, overlaps

Row = tuple[int, int, float, float]


def timed(rows: list[Row]) -> TimedLabels:
    recording, label, start, end = zip(*rows, strict=True) if rows else ((), (), (), ())
    return TimedLabels(
        np.array(recording, np.intp), np.array(label, np.intp), np.array(start), np.array(end)
    )


def alone(*times: tuple[float, float]) -> TimedLabels:
    """Events of one class in one recording."""
    return timed([(0, 0, start, end) for start, end in times])


def made() -> tuple[list[Row], list[Row]]:
    """True and found events of 3 classes in 6 recordings; found ones are right or 1.7 s off."""
    rng = np.random.default_rng(11)
    true, found = [], []
    for recording in range(6):
        for label in range(3):
            clock = 0.0
            for _ in range(rng.integers(2, 9)):
                clock += rng.uniform(4, 9)
                start, end = clock, clock + rng.uniform(1, 3)
                clock = end
                if rng.random() < 0.85:
                    true.append((recording, label, start, end))
                shift = rng.uniform(-0.05, 0.05, 2) if rng.random() < 0.6 else np.full(2, 1.7)
                if rng.random() < 0.8:
                    found.append((recording, label, start + shift[0], end + shift[1]))
    return true, found


def test_counts_equal_sed_eval_where_its_collars_say_the_same() -> None:
    """EventBasedMetrics(t_collar=.25, percentage_of_length=0, event_matching_type="optimal")."""
    true, found = (timed(rows) for rows in made())
    counts = count_events(true, found, (6, 3))
    tp, fp, fn = (part.sum(axis=0) for part in (counts.hits, counts.false, counts.missed))
    assert (tp + fn).tolist() == [25, 28, 27]
    assert (tp + fp).tolist() == [28, 21, 25]
    by_class = rates(tp, fp, fn)
    f1 = [0.4150943396226415, 0.5714285714285715, 0.4615384615384615]
    np.testing.assert_allclose(by_class.f1, f1, atol=1e-12)
    np.testing.assert_allclose(by_class.precision[0], 0.39285714285714285, atol=1e-12)
    assert rates(tp.sum(), fp.sum(), fn.sum()).f1 == pytest.approx(0.4805194805194805)


@pytest.mark.parametrize(("least", "pairs"), [(0.3, 71), (0.5, 58), (0.7, 39)])
def test_crowded_events_are_matched_as_by_sed_eval(least: float, pairs: int) -> None:
    """sed_eval.util.event_matching.bipartite_match on the same overlaps."""
    rng = np.random.default_rng(4)
    starts = np.sort(rng.uniform(0, 60, (80, 2)).round(1)[:, 0])
    true = alone(*zip(starts, starts + rng.uniform(0.5, 6, (80, 1)).round(1)[:, 0], strict=True))
    starts = rng.uniform(0, 60, (90, 1)).round(1)[:, 0]
    found = alone(*zip(starts, starts + rng.uniform(0.5, 6, (90, 1)).round(1)[:, 0], strict=True))
    ours, theirs = match_events(true, found, least)
    assert len(ours) == pairs
    assert len(set(ours)) == len(set(theirs)) == pairs


TIMES = st.tuples(st.integers(0, 1), st.integers(0, 1), st.integers(0, 12), st.integers(1, 6)).map(
    lambda row: (row[0], row[1], row[2] / 2, (row[2] + row[3]) / 2)
)


@settings(deadline=None)
@given(
    true=st.lists(TIMES, max_size=5),
    found=st.lists(TIMES, max_size=5),
    least=st.sampled_from([0.25, 0.5, 1.0]),
    of=st.sampled_from(["union", "event"]),
)
def test_no_other_matching_has_more_pairs(
    true: list[Row], found: list[Row], least: float, of: str
) -> None:
    def fits(one: Row, other: Row) -> bool:
        shared = min(one[3], other[3]) - max(one[2], other[2])
        whole = one[3] - one[2]
        if of == "union":
            whole += other[3] - other[2] - shared
        return one[:2] == other[:2] and shared > 0 and shared >= least * whole - 1e-9

    ours, theirs = match_events(timed(true), timed(found), least, of)
    assert all(fits(true[one], found[other]) for one, other in zip(ours, theirs, strict=True))
    few, many = sorted((range(len(true)), range(len(found))), key=len)
    swap = len(true) > len(found)
    most = max(
        sum(
            fits(true[b if swap else a], found[a if swap else b])
            for a, b in zip(few, order, strict=True)
        )
        for order in permutations(many, len(few))
    )
    assert len(ours) == most


@settings(deadline=None)
@given(true=st.lists(TIMES, max_size=12), found=st.lists(TIMES, max_size=12))
def test_overlaps_are_those_of_all_pairs(true: list[Row], found: list[Row]) -> None:
    ours, theirs, shared = overlaps(timed(true), timed(found))
    pairs = {
        (a, b): min(one[3], other[3]) - max(one[2], other[2])
        for a, one in enumerate(true)
        for b, other in enumerate(found)
        if one[:2] == other[:2] and min(one[3], other[3]) > max(one[2], other[2])
    }
    named = zip(zip(ours.tolist(), theirs.tolist(), strict=True), shared.tolist(), strict=True)
    assert dict(named) == pairs


def test_an_event_stands_for_one_other_at_most() -> None:
    whole, parts = alone((0, 12)), alone((0, 7), (1, 8), (20, 21))
    assert len(match_events(whole, parts)[0]) == 1
    counts = count_events(whole, parts, (1, 1))
    assert (counts.hits, counts.false, counts.missed) == (1, 2, 0)
    # greedily the first true event would take the found one that the second needs
    assert len(match_events(alone((0, 4), (1, 5)), alone((0.5, 4.5), (-3, 3)), 0.4)[0]) == 2


def test_the_least_overlap_counts_itself_and_has_a_kind() -> None:
    true, found = alone((0.1, 0.3)), alone((0.1, 0.5))
    assert len(match_events(true, found, 0.5)[0]) == 1
    assert len(match_events(true, found, 0.51)[0]) == 0
    assert len(match_events(true, found, 1, "event")[0]) == 1  # all of it was found
    for wrong in (0, 1.1, float("nan")):
        with pytest.raises(ValueError, match="above 0 and at most 1"):
            match_events(true, found, wrong)


def test_what_is_uncertain_is_no_error() -> None:
    found = alone((0, 2), (10, 12), (11.5, 13.5))
    counts = count_events(alone((0, 2)), found, (1, 1), uncertain=alone((9, 12)))
    assert counts == Counts(np.ones((1, 1)), np.ones((1, 1)), np.zeros((1, 1)))


def test_long_recordings_are_matched_in_seconds() -> None:
    starts = np.arange(0, 200_000, 2.0)
    zeros = np.zeros(len(starts), np.intp)
    true = TimedLabels(zeros, zeros, starts, starts + 1)
    found = TimedLabels(zeros, zeros, starts[::-1] + 0.2, starts[::-1] + 1.2)
    assert len(match_events(true, found)[0]) == len(starts)
