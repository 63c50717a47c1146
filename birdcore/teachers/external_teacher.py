"""What an outside teacher is: a model file with its own front end behind one small interface.

2026's winners began with one: a backbone that has first learnt the embeddings of a model that
knows ten thousand birds starts higher than one that has seen pictures. Such a model is somebody
else's work under terms of its own, so a teacher carries its credit with it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float32]
Infer: TypeAlias = Callable[[Floats], tuple[Floats, Floats]]
"""Windows (N, samples), each heard by itself, to probabilities (N, classes) and embeddings
(N, width)."""


@dataclass(frozen=True)
class Credit:
    """Whose work a teacher is, for the model card of whatever learns from it."""

    name: str
    author: str
    license: str
    url: str
    citation: str


@dataclass(frozen=True)
class ExternalTeacher:
    """A model that hears windows of `window_s` seconds, mono, at `sample_rate`.

    classes: scientific names, in the order of its probabilities. width: of its embeddings. files:
    sha256 of each file that decides what it hears. open: reads the model, for so many threads;
    what it returns is for one thread at a time.
    """

    name: str
    sample_rate: int
    window_s: float
    classes: tuple[str, ...]
    width: int
    files: Mapping[str, str]
    credit: Credit
    open: Callable[[int], Infer]

    @property
    def window(self) -> int:
        """Samples of a window."""
        return round(self.window_s * self.sample_rate)


def species_columns(classes: Sequence[str], species: Sequence[str]) -> NDArray[np.int64]:
    """Where each species is among a teacher's classes, by scientific name; -1 where it is not."""
    column = {name.casefold(): at for at, name in enumerate(classes)}
    return np.array([column.get(name.casefold(), -1) for name in species], np.int64)
