"""Arrays that come in blocks, so that memory does not grow with a recording's length.

A recording of a day at 48 kHz is 17 GB of samples. So no function of this package takes all of
one: it takes an iterable of blocks, arrays of consecutive samples, and gives an iterable of
blocks. How a recording is divided into blocks never changes the outcome. What needs more than one
pass takes `Blocks`, a function that starts again from the first block; what looks at several
blocks at once reads them through a `Reader`, as if they were one array.

Example:
    >>> reader = Reader([np.arange(3), np.arange(3, 5)])
    >>> reader.take(4).tolist(), reader.take(4).tolist()
    ([0, 1, 2, 3], [4])
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T", bound=np.generic)
Block: TypeAlias = NDArray[np.float32]
Blocks: TypeAlias = Callable[[], Iterator[Block]]
"""Mono samples (n,), block after block, from the start each time it is called."""

BLOCK = 1 << 18
"""Samples of a block where nothing else decides: 1 MiB, 5 s at 48 kHz."""
CACHED_SAMPLES = 1 << 25
"""128 MiB, 17 minutes at 32 kHz."""


class Reader(Generic[T]):
    """Blocks (n, ...) as one array that is read from its front; what was read is gone.

    position: how many rows were read or skipped so far.
    """

    def __init__(self, blocks: Iterable[NDArray[T]]) -> None:
        self.position = 0
        self._blocks = iter(blocks)
        self._rest: NDArray[T] | None = None

    def parts(self, count: int) -> Iterator[NDArray[T]]:
        """The next `count` rows, or as many as are left, in views of the blocks."""
        while count > 0:
            while self._rest is None or not len(self._rest):
                if (block := next(self._blocks, None)) is None:
                    return
                self._rest = block
            part, self._rest = self._rest[:count], self._rest[count:]
            count -= len(part)
            self.position += len(part)
            yield part

    def take(self, count: int) -> NDArray[T]:
        """The next `count` rows, or as many as are left, in one array."""
        parts = list(self.parts(count))
        if not parts:
            nothing: NDArray[Any] = np.empty(0) if self._rest is None else self._rest[:0]
            return nothing
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def skip(self, count: int) -> None:
        """Pass over the next `count` rows."""
        for _ in self.parts(count):
            pass


def cache_blocks(blocks: Blocks, max_samples: int = CACHED_SAMPLES) -> Blocks:
    """Keep what blocks compute where it is small.

    Args:
        blocks: gives blocks of samples, from the start each time it is called.
        max_samples: more samples than this are not kept.

    Returns:
        The same blocks, computed once where they have at most `max_samples`, else each time.
    """
    parts: list[Block] = []
    count = 0
    for block in blocks():
        count += len(block)
        if count > max_samples:
            return blocks
        parts.append(block)
    return lambda: iter(parts)
