"""Blocks read from their front, and held where they are few."""

from collections.abc import Iterator

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from birdcore.audio.blocks import BLOCK, Block, Reader, held, in_blocks


@given(
    lengths=st.lists(st.integers(0, 9), max_size=6),
    steps=st.lists(st.tuples(st.booleans(), st.integers(0, 12)), max_size=8),
)
def test_a_reader_goes_through_the_joined_array(
    lengths: list[int], steps: list[tuple[bool, int]]
) -> None:
    whole = np.arange(3 * sum(lengths)).reshape(-1, 3)
    reader = Reader(np.split(whole, np.cumsum(lengths)[:-1]) if lengths else [])
    position = 0
    for taken, count in steps:
        if taken:
            rows = reader.take(count)
            assert rows.tolist() == whole[position : position + count].tolist()
        else:
            reader.skip(count)
        position = min(position + count, len(whole))
        assert reader.position == position


def test_samples_in_memory_come_in_views_as_often_as_asked() -> None:
    samples = np.arange(BLOCK + 5, dtype=np.float32)
    blocks = in_blocks(samples)
    for _ in range(2):
        first, second = blocks()
        assert (len(first), len(second)) == (BLOCK, 5)
        assert np.shares_memory(first, samples)


def test_blocks_are_computed_once_where_they_are_few_and_anew_where_they_are_many() -> None:
    passes = 0

    def blocks() -> Iterator[Block]:
        nonlocal passes
        passes += 1
        yield from (np.full(4, i, np.float32) for i in range(3))

    few = held(blocks, 12)
    assert [len(list(few())) for _ in range(2)] == [3, 3]
    assert passes == 1
    many = held(blocks, 11)
    assert [len(list(many())) for _ in range(2)] == [3, 3]
    assert passes == 4
