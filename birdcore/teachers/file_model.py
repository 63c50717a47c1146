"""A model's file, made to fit its description: windows in, probabilities and embeddings out.

What does not fit is refused as the file is opened, by a look at its graph and by a window of
silence. A run would else fail after hours.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from birdcore.config.validation_errors import nearest
from birdcore.teachers.description import Description
from birdcore.teachers.external_teacher import Floats, TeacherFile
from birdcore.teachers.graph import Array, Graph, open_graph
from birdcore.text import first_of, plain_text

BEYOND = 1e-3
"""By how much rounding may take a probability out of 0 to 1."""


class Form(NamedTuple):
    """How a model reads windows of N samples.

    Attributes:
        batch: Windows at once; None for any number, 0 where there is no axis of them.
        window: The shape of one, (N,) or (1, N).
    """

    batch: int | None
    window: tuple[int, ...]


@dataclass(frozen=True)
class FileModel:
    """A model that is ready to compute, for one thread at a time."""

    path: Path
    description: Description
    graph: Graph
    form: Form

    def __call__(self, waves: Floats) -> tuple[Floats, Floats]:
        """Probabilities (N, K) and embeddings (N, D) of windows (N, samples).

        Raises:
            ValueError: They are no numbers, or no probabilities.
        """
        prepared = centred(waves, self.description.peak)
        at_once = self.description.batch if self.form.batch is None else max(self.form.batch, 1)
        parts = (prepared[i : i + at_once] for i in range(0, len(waves), at_once))
        found = [self._outputs(part) for part in parts]
        scores, embeddings = (np.concatenate(each) for each in zip(*found, strict=True))
        return self._probabilities(scores), embeddings

    def _outputs(self, waves: Floats) -> tuple[Floats, Floats]:
        count, batch = len(waves), waves
        if self.form.batch:  # what is lacking of a fixed batch is silence
            batch = np.zeros((self.form.batch, waves.shape[1]), np.float32)
            batch[:count] = waves
        axes = () if self.form.batch == 0 else (len(batch),)
        batch = batch.reshape(*axes, *self.form.window)
        names = (self.description.label, self.description.embedding)
        try:
            found = self.graph.run(np.ascontiguousarray(batch, self.graph.dtype), names)
        except Exception as error:  # runtimes have no common base of their errors
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise ValueError(
                f"{self.path}: does not compute windows of {waves.shape[1]} samples: "
                f"{plain_text(reason)}"
            ) from error
        vectors = [
            self._vectors(array, name, (axes or (1,))[0])
            for array, name in zip(found, names, strict=True)
        ]
        scores, embeddings = (array[:count] for array in vectors)
        return scores, embeddings

    def _vectors(self, array: Array, name: str, windows: int) -> Floats:
        """An output as (windows, values), float32."""
        array = array[None] if self.form.batch == 0 and array.ndim == 1 else array
        if array.ndim != 2 or len(array) != windows:
            raise ValueError(
                f"{self.path}: its output {name!r} has the shape {array.shape} for {windows} "
                f"window{'s' * (windows > 1)}: one vector for each is needed"
            )
        if not np.isfinite(array).all():
            raise ValueError(f"{self.path}: its output {name!r} has values that are no numbers")
        return array.astype(np.float32, copy=False)

    def _probabilities(self, scores: Floats) -> Floats:
        if self.description.scores == "logits":
            return sigmoid(scores, self.description.slope, self.description.intercept)
        low, high = float(scores.min()), float(scores.max())
        if low < -BEYOND or high > 1 + BEYOND:
            raise ValueError(
                f"{self.path}: its output {self.description.label!r} has values from {low:.3g} to "
                f"{high:.3g}, which are no probabilities: has its description to say "
                'scores = "logits"?'
            )
        return scores.clip(0, 1)


def open_file(path: Path, description: Description, threads: int) -> FileModel:
    """The model of a file.

    Raises:
        ValueError: It is not there, damaged, or does not fit its description; in one line.
    """
    graph = open_graph(path, threads)
    model = FileModel(path, description, graph, _form(graph, description, path))
    for key, name in (("embedding", description.embedding), ("label", description.label)):
        if name not in graph.outputs:
            near = nearest(name, graph.outputs) or "."
            raise ValueError(
                f"{path}: has no output {name!r}, which is to be its {key}{near} There are "
                f"{first_of(graph.outputs, 12)}"
            )
    try:
        model(np.zeros((1, description.samples), np.float32))
    except ValueError as error:
        raise ValueError(f"{error} (of silence)") from error
    return model


def _form(graph: Graph, description: Description, path: Path) -> Form:
    (name, shape), *others = graph.inputs.items()
    samples = description.samples
    if others:
        raise ValueError(
            f"{path}: reads {first_of(list(graph.inputs), 12)}: a teacher reads samples alone"
        )
    if graph.dtype not in (np.float32, np.float16):
        raise ValueError(f"{path}: its input {name!r} is {graph.dtype}, not float32 or float16")
    if not 1 <= len(shape) <= 3 or (len(shape) == 3 and shape[1] not in (None, 1)):
        raise ValueError(
            f"{path}: its input {name!r} has the shape {_words(shape)}: a teacher reads windows "
            f"(batch, {samples}) or (batch, 1, {samples})"
        )
    if shape[-1] not in (None, samples):
        raise ValueError(
            f"{path}: reads windows of {shape[-1]} samples, not of {samples}, which are its "
            f"description's {description.window_s:g} s at {description.sample_rate} Hz"
        )
    if len(shape) == 1:
        return Form(0, (samples,))
    return Form(shape[0], (samples,) if len(shape) == 2 else (1, samples))


def _words(shape: Sequence[int | None]) -> str:
    return f"({', '.join('any' if n is None else str(n) for n in shape)})"


def centred(waves: Floats, peak: float | None) -> Floats:
    """Windows (N, samples) without their mean, scaled to a peak, as perch-hoplite prepares them
    (`zoo_interface.normalize_audio`); silence stays silence, and without a peak all is as it was.
    """
    if peak is None:
        return waves
    away = waves - waves.mean(axis=1, keepdims=True)
    highest = np.abs(away).max(axis=1, keepdims=True)
    # Divided first: the inverse of a denormal number would be infinite.
    return np.asarray(away / np.where(highest > 0, highest, 1) * peak, np.float32)


def sigmoid(logits: Floats, slope: float, intercept: float) -> Floats:
    """Probabilities 1 / (1 + exp(-(slope * x + intercept))): perch-hoplite maps logits x so
    (`TaxonomyModelOnnx.embed`).

    Example:
        >>> sigmoid(np.array([[10.0]], np.float32), 0.97, -10.0).round(3).tolist()
        [[0.4259999990463257]]
    """
    mapped = slope * logits.astype(np.float64) + intercept
    limit = TeacherFile.limit
    return np.asarray(1 / (1 + np.exp(-mapped.clip(-limit, limit))), np.float32)
