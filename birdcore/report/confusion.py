"""Which species are taken for which.

Multi-label probabilities give no confusion matrix of counts. Measured is the mean probability of
class y where x is present and y is not, against the mean of y wherever y is absent: a class that is
high everywhere is confused with no species in particular.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FEW = 3
"""Number of rows at which an excess counts half, so that single rows rank low."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Confusion:
    """mean: (C, C), the mean probability of class y over rows where x is true and y is not, with
    that of x where it is true on the diagonal; NaN where there are no such rows. rows: (C, C),
    how many those are. elsewhere: (C,), the mean of y over all rows where it is not true."""

    mean: Floats
    rows: NDArray[np.int64]
    elsewhere: Floats


@dataclass(frozen=True)
class Pair:
    """Class `true` (its position) is taken for class `taken_for` in `rows` rows.

    `excess` is by how much `mean` is above `elsewhere`, the less the fewer rows there are.
    """

    true: int
    taken_for: int
    rows: int
    mean: float
    elsewhere: float
    excess: float


def confusion(truth: NDArray[np.bool_], probabilities: Floats) -> Confusion:
    """Mean probabilities by true and predicted class, from truth and probabilities (N, C)."""
    true, false = truth.astype(np.float64), (~truth).astype(np.float64)
    wrong = probabilities * false
    rows, sums = true.T @ false, true.T @ wrong
    np.fill_diagonal(rows, true.sum(axis=0))
    np.fill_diagonal(sums, (true * probabilities).sum(axis=0))
    with np.errstate(invalid="ignore"):
        return Confusion(
            mean=sums / rows,
            rows=rows.round().astype(np.int64),
            elsewhere=wrong.sum(axis=0) / false.sum(axis=0),
        )


def confused_pairs(found: Confusion, count: int) -> list[Pair]:
    """The pairs with the highest excess, at most `count`; only positive ones."""
    with np.errstate(invalid="ignore"):
        excess = (found.mean - found.elsewhere) * found.rows / (found.rows + FEW)
    np.fill_diagonal(excess, 0)
    excess = np.nan_to_num(excess)
    order = np.argsort(-excess, axis=None, kind="stable")[:count]
    return [
        Pair(
            int(x),
            int(y),
            int(found.rows[x, y]),
            float(found.mean[x, y]),
            float(found.elsewhere[y]),
            float(excess[x, y]),
        )
        for x, y in zip(*np.unravel_index(order, excess.shape), strict=True)
        if excess[x, y] > 0
    ]


def most_confused(pairs: list[Pair], count: int) -> list[int]:
    """At most `count` classes, those of the worst pairs, both of a pair next to each other."""
    chosen: dict[int, None] = {}
    for pair in pairs:
        both = dict.fromkeys((pair.true, pair.taken_for))
        if len(chosen | both) <= count:
            chosen |= both
    return list(chosen)
