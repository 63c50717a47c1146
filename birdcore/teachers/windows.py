"""A teacher's outputs for the windows of a recording, batch by batch."""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from birdcore.audio.blocks import Block, Reader
from birdcore.teachers.external_teacher import ExternalTeacher, Floats

BATCH = 64


def windows(
    blocks: Iterable[Block], count: int, starts: NDArray[np.float64], teacher: ExternalTeacher
) -> Iterator[Floats]:
    """Windows (N, samples) of a recording, in batches.

    A recording shorter than a window is repeated, as crops of its mel are.

    Args:
        blocks: Samples at the teacher's rate, mono.
        count: How many samples there are in all.
        starts: Where the windows begin, seconds, in order.
        teacher: Whose windows they are.
    """
    first = np.rint(starts * teacher.sample_rate).astype(np.int64)
    first = np.minimum(first, max(count - teacher.window, 0))
    reader, near = Reader(blocks), np.empty(0, np.float32)
    for batch in np.array_split(first, -(-len(first) // BATCH)):
        begin, end = batch[0], batch[-1] + teacher.window
        near = near[len(near) - (reader.position - begin) :]
        reader.skip(begin - reader.position)
        near = np.concatenate([near, reader.take(end - reader.position)])
        if count < teacher.window:
            near = np.resize(near, teacher.window)
        yield np.stack([near[start : start + teacher.window] for start in batch - begin])
