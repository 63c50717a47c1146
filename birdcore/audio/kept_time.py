"""From the time axis of what cleaning kept back to that of the recording."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from birdcore.audio.trim import Interval

Floats = NDArray[np.float64]


def in_recording(
    kept: Sequence[Interval], starts: Floats, window_s: float
) -> tuple[Floats, Floats]:
    """Where windows over the kept pieces, one after another, lie in the recording.

    Of a window over a cut it is the part on that side of the cut on which its middle is; a window
    that is longer than all that is kept ends with it. Cross-fades, which make the joined pieces
    shorter by some hundredths of a second, are not counted.

    Args:
        kept: Pieces of the recording in order, seconds.
        starts: Where windows begin (S,), seconds from the first kept one.
        window_s: Their length.

    Returns:
        Where they begin and end in the recording (S,), (S,), seconds.

    Example:
        >>> begin, end = in_recording([(0, 4), (10, 20)], np.array([0.0, 2.0, 5.0]), 3.0)
        >>> begin.tolist(), end.tolist()
        ([0.0, 2.0, 11.0], [3.0, 4.0, 14.0])
    """
    begin, end = np.array(kept, np.float64).T
    after = np.cumsum(end - begin)
    before = after - (end - begin)
    piece = np.searchsorted(after, starts + window_s / 2, side="right").clip(max=len(kept) - 1)
    shift = begin[piece] - before[piece]
    first = np.maximum(starts, before[piece]) + shift
    return first, np.minimum(starts + window_s, after[piece]) + shift
