"""The interface of an external teacher: a model file with its own front end.

2026's winners pretrained their backbones on the embeddings of one: a model of ten thousand bird
species is a better start than a model of photographs. Such a model is somebody else's work under
its own terms, so a teacher carries its credit.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from birdcore.audio.blocks import Block, Reader

Floats: TypeAlias = NDArray[np.float32]
Infer: TypeAlias = Callable[[Floats], tuple[Floats, Floats]]
"""From windows (N, samples), each by itself, to probabilities (N, classes) and embeddings
(N, width)."""


BATCH = 64


@dataclass(frozen=True)
class Credit:
    """Whose work a teacher is, for the model card of whatever learns from it."""

    name: str
    author: str
    license: str
    url: str
    citation: str


@dataclass(frozen=True)
class TeacherFile:
    """A teacher's model as a file, and how a runtime reads it: for whoever has no birdflow.

    Attributes:
        path: Of the model, ONNX or TFLite.
        weights: Files beside it that it names.
        shape: Of its input: (windows at once, ..., N), or (N,) where it has no axis of them.
        half: Whether its input is float16.
        peak: Each window is centred and scaled to this peak; as it is, where None.
        embedding: What the vector of each window is called in its graph.
        label: The same of the number for each window and class.
        scores: What these numbers are.
        slope, intercept, limit: Of logits x: the probability is
            sigmoid(max(-limit, min(limit, slope * x + intercept))).
    """

    path: Path
    shape: tuple[int, ...]
    embedding: str
    label: str
    scores: Literal["logits", "probabilities"]
    weights: tuple[Path, ...] = ()
    half: bool = False
    peak: float | None = None
    slope: float = 1.0
    intercept: float = 0.0
    limit: float = 60.0
    """exp(60) is far from float64's limit, and its inverse is 0 in float16."""


@dataclass(frozen=True)
class ExternalTeacher:
    """A model that reads windows of mono samples.

    Attributes:
        name: Its name in recipes.
        sample_rate: Samples a second, Hz.
        window_s: Length of a window, seconds.
        classes: Scientific names, in the order of its probabilities.
        width: Length of its embeddings.
        files: sha256 of each file that decides its outputs.
        credit: Whose work it is.
        open: Reads the model for a number of threads; its result is for one thread at a time.
        common_names: What the classes are called in English; empty where that is not known.
        places: Where its files lie on this machine, by role, if a package does not bring them.
        file: Its model as a file; None where it is code.
    """

    name: str
    sample_rate: int
    window_s: float
    classes: tuple[str, ...]
    width: int
    files: Mapping[str, str]
    credit: Credit
    open: Callable[[int], Infer]
    common_names: tuple[str, ...] = ()
    places: Mapping[str, str] = field(default_factory=dict)
    file: TeacherFile | None = None

    @property
    def window(self) -> int:
        """Samples of a window."""
        return round(self.window_s * self.sample_rate)


def species_columns(classes: Sequence[str], species: Sequence[str]) -> NDArray[np.int64]:
    """The column of each species among a teacher's classes, by scientific name; -1 for none."""
    column = {name.casefold(): index for index, name in enumerate(classes)}
    return np.array([column.get(name.casefold(), -1) for name in species], np.int64)


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
