"""The training set of a probe: an external teacher's embeddings of all windows, and their labels.

Clips have labels of their own, of which no one knows the window; windows of annotated recordings
have an annotator's, and those of unlabelled soundscapes the teacher's own probabilities.

Letters in names: B crops, T windows in a crop, D width, K classes, R recordings, S windows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import torch
from torch import Generator, Tensor

from birdcore.config.probe import ProbeConfig
from birdcore.inference.probe_predictions import class_prior
from birdcore.inference.teacher_predictions import TeacherPredictions, read_teacher_predictions
from birdcore.sources.annotated import AnnotatedRecordings
from birdcore.sources.folds import EVERYWHERE
from birdcore.training.annotated import PIECE_S, annotated_stretches
from birdcore.training.event_labels import EventLabels, event_labels
from birdcore.training.items import clip_items, kinds_that_validate

RATE = 100.0
"""Steps a second in which annotations are placed: 10 ms."""


@dataclass(frozen=True)
class ProbeFiles:
    """What a probe's training set is read from.

    Attributes:
        classes: K labels, in the order of the outputs.
        species: The catalogue's `species.parquet`.
        recordings: The catalogue of labelled recordings, indexed by name.
        folds: Validation fold of each labelled recording, indexed by name.
        clips, annotated, soundscapes: The teacher's outputs, each a file for every shard.
        annotations: The tables of the annotated recordings.
    """

    classes: tuple[str, ...]
    species: Path
    recordings: pd.DataFrame
    folds: pd.Series
    clips: Sequence[Path]
    annotated: Sequence[Path] = ()
    soundscapes: Sequence[Path] = ()
    annotations: AnnotatedRecordings | None = None


class Crops(NamedTuple):
    """Windows of B recordings.

    embeddings: (B, D, T). prior: (B, K, T), the teacher's logits. windows: (B, T), their numbers.
    """

    embeddings: Tensor
    prior: Tensor
    windows: Tensor


class HeldOutSegments(NamedTuple):
    """M stretches of annotated recordings: rows, begin and end in seconds (M,); labels (M, K), NaN
    where they are not known."""

    rows: Tensor
    start_s: Tensor
    end_s: Tensor
    labels: Tensor


@dataclass(frozen=True)
class ProbeSet:
    """What batches of a probe are made of, on the CPU.

    Attributes:
        names: R recordings: clips, then annotated recordings, then soundscapes.
        predictions: The teacher's outputs for them.
        prior: Logits of the teacher (S, K), float16; 0 for a class that it does not know.
        clip_labels: Of clips (R, K); 0 for others.
        labels: Of windows (S, K), float16.
        label_weights: What each of them counts (S, K), float32, since float16 has no weight above
            65,504: 0 where it is not known.
        clips, timed: Recordings that train by labels of clips, and by labels of windows.
        soundscapes: Recordings that train by the teacher's.
        held_out: Clips that validate.
        segments: Stretches of annotated recordings that validate.
        weights: How often recordings are drawn (R,), as the catalogue of several sources says it.
    """

    names: tuple[str, ...]
    predictions: TeacherPredictions
    prior: Tensor
    clip_labels: Tensor
    labels: Tensor
    label_weights: Tensor
    clips: Tensor
    timed: Tensor
    soundscapes: Tensor
    held_out: Tensor
    segments: HeldOutSegments
    weights: Tensor

    def crops(self, rows: Tensor, count: int, generator: Generator) -> Crops:
        """So many windows, one after the other, of each of B recordings, from a random one on; a
        recording that has fewer is repeated."""
        outputs = self.predictions.outputs
        of_row = outputs.count[rows]
        first = torch.rand(len(rows), generator=generator) * (of_row - count + 1).clamp(min=1)
        inside = (first.long()[:, None] + torch.arange(count)) % of_row[:, None]
        windows = outputs.first[rows][:, None] + inside
        return Crops(
            outputs.embeddings[windows].float().transpose(1, 2),
            self.prior[windows].float().transpose(1, 2),
            windows,
        )

    @property
    def trained_recordings(self) -> list[str]:
        """Names of the labelled recordings that train."""
        return [self.names[row] for row in torch.cat([self.clips, self.timed]).tolist()]


def read_probe_set(files: ProbeFiles, config: ProbeConfig) -> ProbeSet:
    """Read all that one probe is trained and validated on.

    Raises:
        ValueError: Fold and rating leave no recording to train on.
    """
    of_clips, of_annotated, of_soundscapes = (
        _recordings(paths) for paths in (files.clips, files.annotated, files.soundscapes)
    )
    names = (*of_clips, *of_annotated, *of_soundscapes)
    paths = [*files.clips, *files.annotated, *files.soundscapes]
    predictions = read_teacher_predictions(paths, files.species, names)
    folds = np.array([files.folds.get(name, np.nan) for name in names])
    items = clip_items(names, len(of_clips), files.recordings, folds, files.classes, config)
    annotated = torch.arange(len(of_clips), len(of_clips) + len(of_annotated))
    soundscapes = torch.arange(len(of_clips) + len(of_annotated), len(names))
    fold = torch.from_numpy(folds)
    held_out = (fold == config.fold) & (fold != EVERYWHERE)
    may_train = ~held_out & ~fold.isnan()
    timed = annotated[may_train[annotated]] if config.annotated.train else annotated[:0]
    if not len(items.train) and not len(timed):
        raise ValueError(
            f"fold {config.fold} and min_rating = {config.min_rating:g} leave no recording to "
            "train on"
        )
    shape = (len(predictions.outputs.starts), len(files.classes))
    labels, weights = torch.zeros(shape, dtype=torch.half), torch.zeros(shape)
    teacher_knows = torch.from_numpy(predictions.columns >= 0).float() * config.probe.soundscapes
    segments = _no_segments(len(files.classes))
    if files.annotations is not None and len(annotated):
        events = _events(predictions, names, files.annotations, files.classes, config)
        windows = predictions.outputs.windows_of(annotated)
        places = _places(predictions, annotated, windows)
        named, known = events.at(*places)
        labels[windows], weights[windows] = named.half(), known.float() * config.probe.annotated
        if config.probe.unannotated == "teacher":
            # What somebody is unsure of, or says of a part of a window, is open: not the teacher's.
            judged = events.judged(*places)
            of_teacher = predictions.by_class[windows].half()
            labels[windows] = torch.where(judged, labels[windows], of_teacher)
            weights[windows] = torch.where(judged, weights[windows], teacher_knows)
        segments = _held_out_segments(events, held_out)
    clips = items.held_out
    counts = {"clips": len(clips), "annotated": len(segments.rows)}
    kinds = kinds_that_validate(config.annotated, counts)
    if "clips" not in kinds:
        clips = clips[:0]
    if "annotated" not in kinds:
        segments = _no_segments(len(files.classes))
    windows = predictions.outputs.windows_of(soundscapes)
    labels[windows] = predictions.by_class[windows].half()
    weights[windows] = teacher_knows
    return ProbeSet(
        names=names,
        predictions=predictions,
        prior=class_prior(predictions).half(),
        clip_labels=items.labels,
        labels=labels,
        label_weights=weights,
        clips=items.train,
        timed=timed,
        soundscapes=soundscapes,
        held_out=clips,
        segments=segments,
        weights=_weights(files.recordings, names),
    )


def _weights(recordings: pd.DataFrame, names: Sequence[str]) -> Tensor:
    if "weight" not in recordings:
        return torch.ones(len(names))
    of_names = recordings["weight"].reindex(list(names)).fillna(1.0)
    return torch.from_numpy(of_names.to_numpy(np.float32, copy=True))


def _recordings(paths: Sequence[Path]) -> list[str]:
    """The recordings of outputs, in the order of the files."""
    columns = (pq.read_table(path, columns=["recording"])["recording"] for path in paths)
    return [name for column in columns for name in column.unique().to_pylist()]


def _events(
    predictions: TeacherPredictions,
    names: Sequence[str],
    annotated: AnnotatedRecordings,
    classes: Sequence[str],
    config: ProbeConfig,
) -> EventLabels:
    outputs = predictions.outputs
    last = outputs.starts[outputs.first + outputs.count - 1]
    lengths = ((last + outputs.info.window_s) * RATE).round().long()
    return event_labels(names, lengths, RATE, annotated, classes, config.annotated)


def _places(
    predictions: TeacherPredictions, rows: Tensor, windows: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Recording, first step and steps of all windows (S,) of these recordings."""
    outputs = predictions.outputs
    length = torch.full(windows.shape, round(outputs.info.window_s * RATE))
    first = (outputs.starts[windows] * RATE).round().long()
    return rows.repeat_interleave(outputs.count[rows]), first, length


def _held_out_segments(events: EventLabels, held_out: Tensor) -> HeldOutSegments:
    """The segments that validate, as those of other models do."""
    rows, start, end, validates = annotated_stretches(events, round(PIECE_S * RATE))
    chosen = validates & held_out[rows]
    rows, start, end = rows[chosen], start[chosen], end[chosen]
    labels, known = events.at(rows, start, end - start)
    # Scores are of what most people say; a tie leaves open what is true.
    labels = torch.where(known & (labels != 0.5), (labels > 0.5).float(), torch.nan)
    return HeldOutSegments(rows, start / RATE, end / RATE, labels)


def _no_segments(classes: int) -> HeldOutSegments:
    none = torch.zeros(0, dtype=torch.int64)
    return HeldOutSegments(none, none, none, torch.zeros(0, classes))
