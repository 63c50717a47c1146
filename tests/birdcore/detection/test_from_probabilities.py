"""Probabilities become detections, each call once."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from birdcore.detection.from_probabilities import cells_above, detections_of, without_overlaps
from birdcore.detection.table import Species

WREN = Species("wren", "Troglodytes troglodytes", "Wren")
ROBIN = Species("robin", "Erithacus rubecula", "Robin")


def test_of_windows_that_overlap_the_best_stands_for_the_others() -> None:
    p = np.array([[0.2, 0.05], [0.9, 0.3], [0.4, 0.1], [0.9, 0.0]], np.float32)
    starts = np.array([0.0, 1.5, 3.0, 0.0])
    cells = cells_above(["a", "a", "a", "b"], starts, starts + 3, p, 0.1)
    table = detections_of(cells, [WREN, ROBIN])
    rows = zip(table["file"], table["class"], table["start_s"], table["end_s"], strict=True)
    assert list(rows) == [("a", "wren", 1.5, 4.5), ("a", "robin", 1.5, 4.5), ("b", "wren", 0, 3)]
    assert table["confidence"].tolist() == np.float32([0.9, 0.3, 0.9]).tolist()
    assert [table[name].dtype.name for name in ("file", "class", "common_name")] == ["category"] * 3


def test_nothing_that_is_probable_is_an_empty_table() -> None:
    assert not len(detections_of(cells_above(["a"], [0.0], [3.0], np.zeros((1, 1)), 0.1), [WREN]))


pieces = st.tuples(st.integers(0, 2), st.integers(0, 40), st.integers(1, 9))


@given(st.lists(pieces, max_size=40))
def test_what_is_left_out_overlaps_an_earlier_piece_and_what_is_taken_none(
    given: list[tuple[int, int, int]],
) -> None:
    group, start, length = (np.array([row[at] for row in given], float) for at in range(3))
    taken = without_overlaps(group.astype(int), start, start + length).tolist()
    for at in range(len(given)):
        meets = any(
            group[at] == group[other]
            and start[at] < start[other] + length[other]
            and start[other] < start[at] + length[at]
            for other in taken
            if other < at
        )
        assert meets == (at not in taken)


def test_a_bird_that_sings_for_days_is_no_more_work_an_hour() -> None:
    """Compared with all that were taken before, these would take minutes."""
    count = 40_000
    start = np.arange(count) * 5.0
    order = np.random.default_rng(0).permutation(count)
    taken = without_overlaps(np.zeros(count, int), start[order], start[order] + 5)
    assert len(taken) == count
