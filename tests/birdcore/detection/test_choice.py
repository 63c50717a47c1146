"""Which detections are chosen, for whatever confidences there are."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdcore.detection.choice import balanced, check_choice, choose
from tests.birdcore.detection.test_activity import tables

confidences = st.lists(st.floats(0, 1, width=32), min_size=1, max_size=80)


def band(confidence: float) -> int:
    return min(int(confidence * 10), 9)


@given(confidences, st.integers(1, 40), st.integers(0, 3))
def test_balanced_choice_has_as_many_of_each_band_as_there_are(
    confidences: list[float], most: int, seed: int
) -> None:
    values = np.array(confidences)
    taken = balanced(values, most, np.random.default_rng(seed))
    assert len(taken) == len(set(taken.tolist())) == min(most, len(values))
    there = Counter(map(band, confidences))
    chosen = Counter(band(confidences[index]) for index in taken)
    fullest = max(chosen.values())
    for name, count in there.items():
        # A band with fewer than the others has given all, or the last turn did not reach it.
        if chosen[name] < count:
            assert chosen[name] >= fullest - 1
    short = [name for name in there if chosen[name] < min(there[name], fullest)]
    last = [name for name in chosen if chosen[name] == fullest]
    assert not short or max(short) < min(last)


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 99)), min_size=1), st.integers(1, 9)
)
def test_choices_are_of_each_species_and_repeatable(rows: list[tuple[str, int]], most: int) -> None:
    detections, _ = tables([("", 60.0, [(n, code, c) for n, (code, c) in enumerate(rows)])])
    for how in ("random", "confidence", "balanced"):
        chosen = choose(detections, check_choice(how), most, 7)
        counts = Counter(code for code, _ in rows)
        assert {code: len(index) for code, index in chosen.items()} == {
            code: min(count, most) for code, count in counts.items()
        }
        for code, index in chosen.items():
            own = detections.loc[index]
            assert set(own["class"]) == {code}
            assert (own["confidence"].diff().dropna() <= 0).all()
            if how == "confidence":
                of_class = detections[detections["class"] == code]["confidence"]
                assert own["confidence"].tolist() == sorted(of_class, reverse=True)[:most]
        again = choose(detections, check_choice(how), most, 7)
        assert {code: index.tolist() for code, index in again.items()} == {
            code: index.tolist() for code, index in chosen.items()
        }


def test_other_species_change_no_choice_and_seeds_do() -> None:
    many = [(n, "a", n % 99 + 1) for n in range(200)]
    alone, _ = tables([("", 60.0, many)])
    among, _ = tables([("", 60.0, [*many, (0, "0", 50), (1, "z", 50)])])
    for how in ("random", "balanced"):
        first = choose(alone, check_choice(how), 20, 0)["a"].tolist()
        assert choose(among, check_choice(how), 20, 0)["a"].tolist() == first
        assert choose(alone, check_choice(how), 20, 1)["a"].tolist() != first


def test_random_choice_is_even() -> None:
    detections, _ = tables([("", 60.0, [(n, "a", n % 99 + 1) for n in range(50)])])
    counts = Counter(
        row for seed in range(400) for row in choose(detections, "random", 10, seed)["a"].tolist()
    )
    assert len(counts) == 50
    assert 40 < min(counts.values()) < max(counts.values()) < 130


def test_unknown_choice_is_refused() -> None:
    with pytest.raises(ValueError, match="--choose is random, confidence, balanced, not 'best'"):
        check_choice("best")
