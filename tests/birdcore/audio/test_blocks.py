"""Blocks: reading from their front, and keeping small ones."""

from collections.abc import Iterator

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from birdcore.audio.blocks import Block, Reader, cache_blocks


@given(
    lengths=st.lists(st.integers(0, 9), max_size=6),
    steps=st.lists(st.tuples(st.booleans(), st.integers(0, 12)), max_size=8),
)
def test_reader_takes_rows_of_the_joined_array(
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


def test_cache_blocks_computes_small_recordings_once_and_large_ones_each_time() -> None:
    passes = 0

    def blocks() -> Iterator[Block]:
        nonlocal passes
        passes += 1
        yield from (np.full(4, i, np.float32) for i in range(3))

    few = cache_blocks(blocks, 12)
    assert [len(list(few())) for _ in range(2)] == [3, 3]
    assert passes == 1
    many = cache_blocks(blocks, 11)
    assert [len(list(many())) for _ in range(2)] == [3, 3]
    assert passes == 4
