"""Windows over what cleaning kept, in the recording's own seconds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdcore.audio.kept_time import in_recording


def test_a_recording_without_cuts_keeps_its_times() -> None:
    begin, end = in_recording([(0.0, 10.0)], np.array([0.0, 1.5, 7.0]), 3.0)
    assert (begin.tolist(), end.tolist()) == ([0, 1.5, 7], [3, 4.5, 10])


def test_a_short_recording_ends_before_its_window() -> None:
    begin, end = in_recording([(0.5, 1.75)], np.array([0.0]), 3.0)
    assert (begin.tolist(), end.tolist()) == ([0.5], [1.75])


lengths = st.lists(st.floats(0.1, 20), min_size=2, max_size=8)


@given(lengths, st.floats(0, 1), st.floats(0.1, 5))
def test_a_window_lies_in_one_kept_piece_that_holds_its_middle(
    given: list[float], share: float, window_s: float
) -> None:
    edges = np.cumsum(given)
    kept = [(float(a), float(b)) for a, b in zip(edges[::2], edges[1::2], strict=False)]
    total = sum(b - a for a, b in kept)
    start = share * max(total - window_s, 0)
    (begin,), (end,) = in_recording(kept, np.array([start]), window_s)
    middle = min(start + window_s / 2, total)
    before, found = 0.0, []
    for a, b in kept:
        if before - 1e-9 <= middle <= before + b - a + 1e-9:
            found.append((a, b))
        before += b - a
    assert any(a - 1e-6 <= begin <= end <= b + 1e-6 for a, b in found)
    assert end - begin <= window_s + 1e-6
    if len(kept) == 1 and total >= window_s:
        assert end - begin == pytest.approx(window_s)
