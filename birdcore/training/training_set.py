"""The training set of one model: mels, targets and pseudo-labels, read from files into arrays."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from birdcore.audio.channels import file_of
from birdcore.config.training import TrainConfig
from birdcore.features.recordings import Recordings, read_mels
from birdcore.features.shard_reader import MelShard
from birdcore.sources.folds import soundscape_fold
from birdcore.teachers.outputs import TeacherOutputs, read_outputs
from birdcore.training.annotated import AnnotatedSegments
from birdcore.training.background import quiet_segments, without_events
from birdcore.training.companions import Companions
from birdcore.training.items import Items, clip_items, with_annotated
from birdcore.training.segments import Segments, read_segments, with_annotations
from birdcore.training.targets import ClipTargets, read_clip_targets
from birdcore.training.training_files import TrainingFiles, of_channels


@dataclass(frozen=True)
class TrainingSet:
    """What batches are made of.

    What is drawn is an item: one of the R clips, or, from R on, one of S segments of annotated
    recordings, which are clips as well.

    Attributes:
        clips: R recordings that crops are taken from.
        labels: annotators' labels of the items (R + S, K).
        train: items that train.
        held_out: items that validate.
        annotated: the segments.
        known: which labels are known (R + S, K); None: all of them.
        segments: soundscapes that a teacher labelled.
        background: soundscapes that are laid under clips, without labels.
        clip_targets: a teacher's labels of the clips.
        quiet: rows and first frames of the background's quiet segments, where only those are used.
        teacher_outputs: an external teacher's outputs, where crops learn its embeddings (B, D).
        companions: segments of annotated recordings that crops are mixed with.
        labelled: how many of the clips, the first ones, are labelled recordings; the others are
            soundscapes.
        weights: how often items are drawn (R + S,), relative to each other; None: all alike.
    """

    clips: Recordings
    labels: Tensor
    train: Tensor
    held_out: Tensor
    annotated: AnnotatedSegments | None = None
    known: Tensor | None = None
    segments: Segments | None = None
    background: Recordings | None = None
    clip_targets: ClipTargets | None = None
    quiet: tuple[Tensor, Tensor] | None = None
    teacher_outputs: TeacherOutputs | None = None
    companions: Companions | None = None
    labelled: int | None = None
    weights: Tensor | None = None

    @property
    def trained_recordings(self) -> list[str]:
        """Names of the labelled recordings that train, also by being mixed into others."""
        count = len(self.clips.names) if self.labelled is None else self.labelled
        rows = dict.fromkeys(self.rows_of(self.train).tolist())
        if self.companions is not None:
            rows |= dict.fromkeys(self.companions.rows.tolist())
        names = [file_of(self.clips.names[row]) for row in rows if row < count]
        if self.segments is not None:
            labelled = set(self.clips.names[:count])
            taught = (self.segments.soundscapes.names[row] for row in self.segments.rows.unique())
            names += [file_of(name) for name in taught if name in labelled]
        return list(dict.fromkeys(names))

    def rows_of(self, items: Tensor) -> Tensor:
        """The clip (B,) of each item."""
        if self.annotated is None:
            return items
        is_segment, segments = self.segments_of(items)
        return torch.where(is_segment, self.annotated.rows[segments], items)

    def segments_of(self, items: Tensor) -> tuple[Tensor, Tensor]:
        """Which items are segments of annotated recordings, and which (0 for others), both (B,)."""
        segments = items - len(self.clips.names)
        return segments >= 0, segments.clamp(min=0)


def read_training_set(
    files: TrainingFiles, config: TrainConfig, device: torch.device
) -> TrainingSet:
    """Read all that one model is trained and validated on.

    Args:
        files: where it lies.
        config: the model's.
        device: where mels are kept; labels stay on the CPU.

    Raises:
        ValueError: fold and rating leave no recording to train on or to validate on, or no segment
            of a soundscape passed the teacher's threshold.
    """
    # Soundscapes are clips only where there are embeddings of them to learn.
    soundscapes = files.soundscapes if files.soundscape_outputs else ()
    clips = read_mels([*files.mels, *files.annotated, *soundscapes], device)
    with_clip_labels = _count(files.mels)
    labelled = with_clip_labels + _count(files.annotated)
    files = of_channels(files, clips.names)
    folds = np.array([files.folds.get(name, np.nan) for name in clips.names])
    names = clips.names
    items = clip_items(names, with_clip_labels, files.recordings, folds, files.classes, config)
    if files.annotations is not None:
        items = with_annotated(items, clips, files.annotations, folds, files.classes, config)
    train, outputs = items.train, None
    if config.objective == "embeddings":
        # No unlabelled soundscape is held out: its target is no annotator's label. What somebody
        # annotated validates later rounds.
        others = torch.arange(with_clip_labels, len(names), dtype=train.dtype)
        train = torch.cat([train, others[torch.from_numpy(folds)[others] != config.fold]])
        of_all = (files.clip_outputs, files.annotated_outputs, files.soundscape_outputs)
        outputs = read_outputs([path for paths in of_all for path in paths], names)
    if not len(train):
        raise ValueError(
            f"fold {config.fold} and min_rating = {config.min_rating:g} leave no recording to "
            "train on"
        )
    if config.validate_min_rating and not len(items.held_out):
        raise ValueError(
            f"validate_min_rating = {config.validate_min_rating:g} leaves no recording of fold "
            f"{config.fold} to choose the best epoch by: set it lower, or leave it out"
        )
    targets = None
    if files.clip_labels:
        targets = read_clip_targets(clips, files.clip_labels, with_clip_labels)
    segments, background, quiet = _read_soundscapes(files, config, clips, items)
    return TrainingSet(
        clips=clips,
        labels=items.labels,
        train=train,
        held_out=items.held_out,
        annotated=items.annotated,
        known=items.known,
        segments=segments,
        background=background,
        clip_targets=targets,
        quiet=quiet,
        teacher_outputs=outputs,
        companions=_companions(clips, items),
        labelled=labelled,
        weights=_weights(clips, items.annotated, files.recordings),
    )


def _weights(
    clips: Recordings, annotated: AnnotatedSegments | None, recordings: pd.DataFrame
) -> Tensor | None:
    """How often items are drawn, as the catalogue of several sources says it."""
    if "weight" not in recordings or (recordings["weight"] == 1.0).all():
        return None
    of_clips = recordings["weight"].reindex(clips.names).fillna(1.0).to_numpy(np.float32, copy=True)
    weights = torch.from_numpy(of_clips)
    return weights if annotated is None else torch.cat([weights, weights[annotated.rows]])


def _companions(clips: Recordings, items: Items) -> Companions | None:
    if items.annotated is None or items.companions is None:
        return None
    labels = items.labels[len(clips.names) + items.companions]
    return Companions(clips, items.annotated, items.companions, labels)


def _count(shards: Sequence[Path]) -> int:
    return sum(len(MelShard.open(path).recordings) for path in shards)


def _read_soundscapes(
    files: TrainingFiles, config: TrainConfig, clips: Recordings, items: Items
) -> tuple[Segments | None, Recordings | None, tuple[Tensor, Tensor] | None]:
    """Pseudo-labelled segments, background, and the background's quiet segments."""
    reads_annotated = files.annotated_labels or config.background.of_annotated
    annotated = files.annotated if reads_annotated else ()
    if not files.soundscapes and not annotated:
        return None, None, None
    soundscapes = read_mels([*files.soundscapes, *annotated], clips.device)
    unlabelled = _count(files.soundscapes)
    held_out = set(_held_out(files, config, soundscapes.names[unlabelled:]))
    row_of = {name: row for row, name in enumerate(clips.names)}
    rows = torch.tensor([row_of.get(name, -1) for name in soundscapes.names])
    events = None if items.annotated is None else items.annotated.labels
    segments = background = quiet = None
    if files.segment_labels or files.annotated_labels:
        labels = [*files.segment_labels, *files.annotated_labels]
        left_out = [*_of_fold(files, config, soundscapes.names[:unlabelled]), *held_out]
        segments = read_segments(soundscapes, labels, config.crop_s, config.label, left_out)
        if files.annotated_labels and events is not None:
            segments = with_annotations(segments, rows, events, config.crop_s)
    if config.background.probability:
        last = len(rows) if config.background.annotated else unlabelled
        kept = [row for row in range(last) if soundscapes.names[row] not in held_out]
        background = soundscapes.only(torch.tensor(kept, dtype=torch.int64))
        if config.background.source == "quiet" and background.names:
            frames = background.spec.fixed_length(config.crop_s)
            quiet = quiet_segments(background, frames)
            if events is not None:
                quiet = without_events(quiet, rows[kept], events, frames)
    return segments, background, quiet


def _of_fold(files: TrainingFiles, config: TrainConfig, soundscapes: Sequence[str]) -> list[str]:
    """The soundscapes that this model labels for the next round, and that don't train it."""
    return [
        name
        for name in soundscapes
        if config.out_of_fold and soundscape_fold(file_of(name), files.fold_count) == config.fold
    ]


def _held_out(files: TrainingFiles, config: TrainConfig, annotated: Sequence[str]) -> list[str]:
    """The annotated recordings that do not train this model."""
    folds = np.array([files.folds.get(name, np.nan) for name in annotated])
    judges = np.isnan(folds) | (folds == config.fold)
    return [name for name, out in zip(annotated, judges, strict=True) if out]
