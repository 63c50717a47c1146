"""What stays and how it is joined, against brute force and by properties."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdcore.audio.trim import Override, kept_intervals, trim

RATE = 1_000
seconds = st.integers(0, 60).map(lambda n: n / 4)
spans = st.tuples(seconds, st.integers(1, 20).map(lambda n: n / 4)).map(
    lambda span: (span[0], span[0] + span[1])
)
overrides_drawn = st.lists(
    st.builds(
        lambda action, span: Override(action, *span), st.sampled_from(["keep", "cut"]), spans
    ),
    max_size=4,
)


def trimmed(
    samples: np.ndarray, rate: int, kept: list[tuple[float, float]], fade_s: float, size: int = 0
) -> np.ndarray:
    """The joined samples, from blocks of a size (0: one block)."""
    blocks = np.split(samples, range(size, len(samples), size)) if size else [samples]
    joined = list(trim(blocks, len(samples), rate, kept, fade_s))
    assert all(len(block) for block in joined)
    return np.concatenate([samples[:0], *joined])


def test_kept_intervals_cuts_speech_with_its_margin() -> None:
    kept = kept_intervals(20, [(5, 6), (15, 17)], 0.5, [], 0)
    assert kept == [(0, 4.5), (6.5, 14.5), (17.5, 20)]


def test_kept_intervals_keeps_all_without_speech() -> None:
    assert kept_intervals(0.1, [], 0.5, [], 5) == [(0, 0.1)]
    assert kept_intervals(0, [], 0.5, [], 5) == []


def test_kept_intervals_cuts_short_pieces_that_are_left() -> None:
    speech = [(0.5, 4), (4.5, 8), (12, 19.5)]
    assert kept_intervals(20, speech, 0, [], 1) == [(8, 12)]


def test_kept_intervals_applies_overrides_in_order() -> None:
    speech = [(5.0, 10.0)]
    assert kept_intervals(20, speech, 1, [Override("keep", 4, 11)], 0) == [(0, 20)]
    assert kept_intervals(20, [], 1, [Override("cut", 3, math.inf)], 0) == [(0, 3)]
    both = [Override("cut", 0, 8), Override("keep", 6, 7)]
    assert kept_intervals(20, speech, 0, both, 0) == [(6, 7), (10, 20)]
    assert kept_intervals(20, speech, 0, both[::-1], 0) == [(10, 20)]


def test_kept_intervals_keeps_a_short_piece_of_an_override() -> None:
    assert kept_intervals(20, [(0, 20)], 0, [Override("keep", 5, 5.2)], 3) == [(5, 5.2)]


@given(
    duration=seconds,
    speech=st.lists(spans, max_size=6),
    margin=st.integers(0, 6).map(lambda n: n / 4),
    overrides=overrides_drawn,
    least=st.integers(0, 12).map(lambda n: n / 4),
)
def test_kept_intervals_matches_a_grid_of_quarter_seconds(
    duration: float,
    speech: list[tuple[float, float]],
    margin: float,
    overrides: list[Override],
    least: float,
) -> None:
    """All times are multiples of a quarter second, so a row of quarters says it all."""
    row = ["?"] * int(duration * 4)
    marks = [(a - margin, b + margin, "cut") for a, b in speech]
    marks += [(o.start_s, o.end_s, o.action) for o in overrides]
    for start, end, action in marks:
        for i in range(max(0, int(start * 4)), min(len(row), int(end * 4))):
            row[i] = action
    expected: list[tuple[float, float]] = []
    i = 0
    while i < len(row):
        j = i
        while j < len(row) and row[j] != "cut":
            j += 1
        piece = row[i:j]
        if piece and (len(piece) / 4 >= least or "keep" in piece or len(piece) == len(row)):
            expected.append((i / 4, j / 4))
        i = j + 1
    kept = kept_intervals(duration, speech, margin, overrides, least)
    assert kept == expected


@given(
    duration=st.floats(0.001, 100),
    speech=st.lists(st.tuples(st.floats(-5, 110), st.floats(-5, 110)), max_size=8),
    margin=st.floats(0, 3),
    least=st.floats(0, 3),
)
def test_kept_intervals_are_inside_sorted_and_disjoint(
    duration: float, speech: list[tuple[float, float]], margin: float, least: float
) -> None:
    kept = kept_intervals(duration, speech, margin, [], least)
    times = [t for interval in kept for t in interval]
    assert all(0 <= t <= duration for t in times)
    assert all(a < b for a, b in pairwise(times))
    for start, end in kept:
        assert not any(max(a - margin, start) < min(b + margin, end) for a, b in speech)


def test_kept_intervals_and_override_refuse_wrong_times() -> None:
    with pytest.raises(ValueError, match="must not be negative"):
        kept_intervals(20, [], -1, [], 0)
    with pytest.raises(ValueError, match="start < end"):
        Override("cut", 5, 5)
    with pytest.raises(ValueError, match="start < end"):
        Override("cut", math.nan, 5)
    with pytest.raises(ValueError, match="action must be one of"):
        Override("delete", 1, 5)  # type: ignore[arg-type]


def test_trim_to_one_interval_returns_its_samples() -> None:
    samples = np.arange(5_000, dtype=np.float32)
    whole = trimmed(samples, RATE, [(0, 5)], 0.1)
    np.testing.assert_array_equal(whole, samples)
    np.testing.assert_array_equal(trimmed(samples, RATE, [(1, 2)], 0.1), samples[1_000:2_000])
    assert trimmed(samples, RATE, [], 0.1).shape == (0,)
    assert trimmed(samples, RATE, [(2, 2)], 0.1).shape == (0,)


def test_trim_cross_fades_with_equal_power() -> None:
    samples = np.concatenate([np.full(1_000, 2), np.full(1_000, 9), np.full(1_000, 4)])
    joined = trimmed(samples.astype(np.float32), RATE, [(0, 1), (2, 3)], 0.1)
    assert joined.dtype == np.float32
    assert len(joined) == 1_900
    np.testing.assert_array_equal(joined[:900], 2)
    np.testing.assert_array_equal(joined[1_000:], 4)
    angle = (np.arange(100) + 0.5) / 100 * np.pi / 2
    np.testing.assert_allclose(joined[900:1_000], 2 * np.cos(angle) + 4 * np.sin(angle), rtol=1e-5)


def test_trim_keeps_the_power_of_noise_across_joints() -> None:
    noise = np.random.default_rng(0).standard_normal(400_000).astype(np.float32)
    kept = [(i, i + 0.5) for i in range(400)]
    joined = trimmed(noise, RATE, kept, 0.25)
    assert joined.std() == pytest.approx(1, abs=0.01)


def test_trim_without_fade_joins_end_to_end_and_leaves_its_input() -> None:
    samples = np.random.default_rng(0).standard_normal(5_000).astype(np.float32)
    before = samples.copy()
    joined = trimmed(samples, RATE, [(0, 1), (2, 4)], 0)
    np.testing.assert_array_equal(joined, np.concatenate([samples[:1_000], samples[2_000:4_000]]))
    trimmed(samples, RATE, [(0, 1), (2, 4)], 0.3)
    np.testing.assert_array_equal(samples, before)


@given(
    pieces=st.lists(st.tuples(st.integers(0, 300), st.integers(0, 300)), min_size=1, max_size=6),
    fade=st.integers(0, 400),
)
def test_trim_has_the_documented_length(pieces: list[tuple[int, int]], fade: int) -> None:
    position, kept = 0, []
    for gap, length in pieces:
        kept.append(((position + gap) / RATE, (position + gap + length) / RATE))
        position += gap + length
    samples = np.random.default_rng(0).standard_normal(position).astype(np.float32)
    lengths = [length for _, length in pieces if length]
    overlaps = [min(fade, a // 2, b // 2) for a, b in pairwise(lengths)]
    joined = trimmed(samples, RATE, kept, fade / RATE)
    assert len(joined) == sum(lengths) - sum(overlaps)
    assert np.isfinite(joined).all()


@given(
    pieces=st.lists(st.tuples(st.integers(0, 300), st.integers(0, 300)), min_size=1, max_size=6),
    fade=st.integers(0, 400),
    size=st.integers(1, 500),
)
def test_trim_does_not_depend_on_the_blocks(
    pieces: list[tuple[int, int]], fade: int, size: int
) -> None:
    edges = np.cumsum(pieces).reshape(-1, 2) / RATE
    samples = np.random.default_rng(0).standard_normal(sum(map(sum, pieces)) + 7)
    samples = samples.astype(np.float32)
    kept = [(start, end) for start, end in edges.tolist()]
    np.testing.assert_array_equal(
        trimmed(samples, RATE, kept, fade / RATE, size), trimmed(samples, RATE, kept, fade / RATE)
    )


def test_trim_refuses_intervals_out_of_order() -> None:
    samples = np.zeros(5_000, np.float32)
    for kept in ([(2, 3), (0, 1)], [(0, 2), (1, 3)], [(-1, 2)]):
        with pytest.raises(ValueError, match="in order"):
            trimmed(samples, RATE, kept, 0.1)
    with pytest.raises(ValueError, match="fade_s"):
        trimmed(samples, RATE, [(0, 1)], -0.1)
