"""The training set of one model: mels, targets and pseudo-labels, read from files into arrays."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from birdcore.config.training import TrainConfig
from birdcore.features.recordings import Recordings, read_mels
from birdcore.features.shard_reader import MelShard
from birdcore.sources.folds import EVERYWHERE, soundscape_fold
from birdcore.teachers.outputs import TeacherOutputs, read_outputs
from birdcore.training.background import quiet_segments
from birdcore.training.data import hard_labels
from birdcore.training.segments import Segments, read_segments
from birdcore.training.targets import ClipTargets, read_clip_targets


@dataclass(frozen=True)
class TrainingFiles:
    """What a training set is read from.

    Attributes:
        classes: K labels, in the order of the model's outputs.
        recordings: the catalogue of labelled recordings, indexed by name.
        folds: validation fold of each labelled recording, indexed by name.
        fold_count: number of folds.
        mels: shards of labelled recordings.
        soundscapes: shards of unlabelled soundscapes.
        segment_labels: a teacher's labels of soundscapes.
        clip_labels: a teacher's labels of the labelled recordings.
        clip_outputs: an external teacher's outputs for the labelled recordings.
        soundscape_outputs: an external teacher's outputs for the soundscapes.
    """

    classes: tuple[str, ...]
    recordings: pd.DataFrame
    folds: pd.Series
    fold_count: int
    mels: Sequence[Path]
    soundscapes: Sequence[Path] = ()
    segment_labels: Sequence[Path] = ()
    clip_labels: Sequence[Path] = ()
    clip_outputs: Sequence[Path] = ()
    soundscape_outputs: Sequence[Path] = ()


@dataclass(frozen=True)
class TrainingSet:
    """What batches are made of.

    Attributes:
        clips: R recordings that crops are taken from.
        labels: annotators' labels of the clips (R, K).
        train: rows of the clips that train.
        held_out: rows of the clips that validate.
        segments: soundscapes that a teacher labelled.
        background: soundscapes that are laid under clips, without labels.
        clip_targets: a teacher's labels of the clips.
        quiet: rows and first frames of the background's quiet segments, where only those are used.
        teacher_outputs: an external teacher's outputs, where crops learn its embeddings (B, D).
        labelled: how many of the clips, the first ones, are labelled recordings; the others are
            soundscapes.
    """

    clips: Recordings
    labels: Tensor
    train: Tensor
    held_out: Tensor
    segments: Segments | None = None
    background: Recordings | None = None
    clip_targets: ClipTargets | None = None
    quiet: tuple[Tensor, Tensor] | None = None
    teacher_outputs: TeacherOutputs | None = None
    labelled: int | None = None

    @property
    def trained_recordings(self) -> list[str]:
        """Names of the labelled recordings that train."""
        count = len(self.clips.names) if self.labelled is None else self.labelled
        return [self.clips.names[row] for row in self.train.tolist() if row < count]


def read_training_set(
    files: TrainingFiles, config: TrainConfig, device: torch.device
) -> TrainingSet:
    """Read all that one model is trained and validated on.

    Args:
        files: where it lies.
        config: the model's.
        device: where mels are kept; labels stay on the CPU.

    Raises:
        ValueError: fold and rating leave no recording to train on, or no segment of a soundscape
            passed the teacher's threshold.
    """
    # Soundscapes are clips only where there are embeddings of them to learn.
    clips = read_mels(
        [*files.mels, *(files.soundscapes if files.soundscape_outputs else ())], device
    )
    # A recording trains if it is usable and labelled, and cleaning did not reject it.
    fold = np.array([files.folds.get(name, np.nan) for name in clips.names])
    rows = np.flatnonzero(~np.isnan(fold))
    names = [clips.names[row] for row in rows]
    labels = torch.zeros(len(clips.names), len(files.classes))
    labels[rows] = hard_labels(names, files.recordings, files.classes, config.secondary_weight)
    held_out = (fold[rows] == config.fold) & (fold[rows] != EVERYWHERE)
    ratings = files.recordings["rating"].reindex(names).to_numpy(float)
    if config.zero_is_unrated:
        ratings = np.where(ratings == 0, np.nan, ratings)
    rated_well = ~(ratings < config.min_rating)  # true where there is no rating
    train = torch.from_numpy(rows[~held_out & rated_well])
    if not len(train):
        raise ValueError(
            f"fold {config.fold} and min_rating = {config.min_rating:g} leave no recording to "
            "train on"
        )
    labelled = sum(len(MelShard.open(path).recordings) for path in files.mels)
    outputs = None
    if config.objective == "embeddings":
        # No soundscape is held out: its target is no annotator's label.
        soundscapes = torch.arange(labelled, len(clips.names), dtype=train.dtype)
        train = torch.cat([train, soundscapes])
        outputs = read_outputs([*files.clip_outputs, *files.soundscape_outputs], clips.names)
    segments, background, quiet = _read_soundscapes(files, config, device)
    return TrainingSet(
        clips=clips,
        labels=labels,
        train=train,
        held_out=torch.from_numpy(rows[held_out]),
        segments=segments,
        background=background,
        clip_targets=read_clip_targets(clips, files.clip_labels) if files.clip_labels else None,
        quiet=quiet,
        teacher_outputs=outputs,
        labelled=labelled,
    )


def _read_soundscapes(
    files: TrainingFiles, config: TrainConfig, device: torch.device
) -> tuple[Segments | None, Recordings | None, tuple[Tensor, Tensor] | None]:
    """Pseudo-labelled segments, background, and the background's quiet segments."""
    if not files.soundscapes:
        return None, None, None
    soundscapes = read_mels(files.soundscapes, device)
    segments = background = quiet = None
    if files.segment_labels:
        # This model labels the soundscapes of its fold for the next round, so they don't train it.
        left_out = [
            name
            for name in soundscapes.names
            if config.out_of_fold and soundscape_fold(name, files.fold_count) == config.fold
        ]
        segments = read_segments(
            soundscapes, files.segment_labels, config.crop_s, config.label, left_out
        )
    if config.background.probability:
        background = soundscapes
        if config.background.source == "quiet" and soundscapes.names:
            quiet = quiet_segments(soundscapes, soundscapes.spec.fixed_length(config.crop_s))
    return segments, background, quiet
