"""The nearest of a million embeddings, from two arrays on the disk.

The signs of an embedding's numbers about their medians are 128 bytes for 1,024 numbers: all of
them are compared in a fraction of a second, and the few thousand with the fewest signs that differ
are then ordered by the cosine of the embeddings themselves (signs for cosines: Charikar 2002).
There is no graph to build, the same embeddings give the same bytes, and only the signs and the rows
of the shortlist are read.

    embeddings.npy    (N, D) float16, of length 1
    medians.npy       (D,) float32, of a sample
    signs.npy         (N, D / 64 rounded up) uint64, of what lies above the medians
"""

from collections.abc import Iterable
from dataclasses import dataclass
from mmap import MADV_RANDOM, mmap
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Halves: TypeAlias = NDArray[np.float16]
Floats: TypeAlias = NDArray[np.float32]
Words: TypeAlias = NDArray[np.uint64]

EMBEDDINGS, MEDIANS, SIGNS = "embeddings.npy", "medians.npy", "signs.npy"
SAMPLE = 16_384
"""Embeddings of which medians are taken."""
ROWS = 1 << 16
"""Embeddings at a time."""
SHORTLIST = 4096
"""How many embeddings are compared number by number, at least."""
PER_ANSWER = 16
"""The same for each that is asked for."""


@dataclass(frozen=True)
class Nearest:
    """Embeddings (N, D) by their similarity to another one.

    Attributes:
        embeddings: (N, D), of length 1.
        medians: (D,).
        signs: (N, W), 64 signs in a word.
    """

    embeddings: Halves
    medians: Floats
    signs: Words

    @classmethod
    def open(cls, folder: Path) -> "Nearest":
        """Those that `write_nearest` wrote; nothing is read but what is asked for."""
        names = (EMBEDDINGS, MEDIANS, SIGNS)
        embeddings, medians, signs = (np.load(folder / name, mmap_mode="r") for name in names)
        if isinstance(embeddings.base, mmap):  # rows here and there: what lies between stays unread
            embeddings.base.madvise(MADV_RANDOM)
        return cls(embeddings, medians, signs)

    def __len__(self) -> int:
        return len(self.embeddings)

    def to(self, embedding: Floats, most: int) -> tuple[NDArray[np.int64], Floats]:
        """The nearest embeddings, the nearest first.

        Args:
            embedding: (D,), of any length.
            most: How many at most.

        Returns:
            Their numbers (M,), and their cosines with the embedding (M,).
        """
        wanted = unit(embedding[None])
        rows = self._shortlist(wanted, max(SHORTLIST, PER_ANSWER * most))
        cosines = self.embeddings[rows].astype(np.float32) @ wanted[0]
        order = np.argsort(-cosines, kind="stable")[:most]
        return rows[order], cosines[order]

    def _shortlist(self, wanted: Floats, count: int) -> NDArray[np.int64]:
        """Numbers of those whose signs differ least, in order of number."""
        if len(self) <= count:
            return np.arange(len(self))
        signs = _signs(wanted, self.medians)
        differ = np.empty(len(self), np.uint16)
        for first in range(0, len(self), ROWS):
            part = self.signs[first : first + ROWS]
            np.bitwise_count(part ^ signs).sum(axis=1, out=differ[first : first + ROWS])
        return np.sort(np.argpartition(differ, count)[:count])


def write_nearest(folder: Path, parts: Iterable[Halves], count: int, width: int) -> None:
    """Write embeddings so that the nearest can be found.

    Args:
        folder: Where the files go.
        parts: Embeddings (n, D) in order, N in all.
        count: N.
        width: D.
    """
    embeddings = _create(folder / EMBEDDINGS, np.float16, (count, width))
    first = 0
    for part in parts:
        for block in np.array_split(part, -(-len(part) // ROWS) or 1):
            embeddings[first : first + len(block)] = unit(block.astype(np.float32))
            first += len(block)
    assert first == count, (first, count)
    sample = embeddings[:: max(1, -(-count // SAMPLE))].astype(np.float32)
    medians = (np.median(sample, axis=0) if count else np.zeros(width)).astype(np.float32)
    np.save(folder / MEDIANS, medians)
    signs = _create(folder / SIGNS, np.uint64, (count, -(-width // 64)))
    for first in range(0, count, ROWS):
        whole = embeddings[first : first + ROWS].astype(np.float32)
        signs[first : first + ROWS] = _signs(whole, medians)
    for array in (embeddings, signs):
        getattr(array, "flush", lambda: None)()


def unit(embeddings: Floats) -> Floats:
    """Embeddings (N, D) of length 1; of zeros, zeros."""
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    return np.divide(embeddings, np.where(lengths > 0, lengths, 1), dtype=np.float32)


def _signs(embeddings: Floats, medians: Floats) -> Words:
    bits = np.packbits(embeddings > medians, axis=1)
    words = np.zeros((len(bits), -(-bits.shape[1] // 8) * 8), np.uint8)
    words[:, : bits.shape[1]] = bits
    return words.view(np.uint64)


def _create(path: Path, kind: type, shape: tuple[int, int]) -> NDArray[Any]:
    """An array in a file; a mapping of no bytes is refused by the system."""
    if not all(shape):
        np.save(path, np.empty(shape, kind))
        return np.empty(shape, kind)
    return np.lib.format.open_memmap(path, "w+", kind, shape)
