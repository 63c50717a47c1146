"""The files that a training set is read from, and their tables."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from birdcore.audio.channels import file_of
from birdcore.sources.annotated import AnnotatedRecordings


@dataclass(frozen=True)
class TrainingFiles:
    """What a training set is read from.

    Attributes:
        classes: K labels, in the order of the model's outputs.
        recordings: the catalogue of labelled recordings, indexed by name.
        folds: validation fold of each labelled recording, indexed by name.
        fold_count: number of folds.
        mels: shards of labelled recordings.
        annotated: shards of annotated recordings.
        annotations: the tables of these.
        soundscapes: shards of unlabelled soundscapes.
        segment_labels: a teacher's labels of soundscapes.
        clip_labels: a teacher's labels of the labelled recordings.
        annotated_labels: a teacher's labels of the annotated recordings.
        clip_outputs: an external teacher's outputs for the labelled recordings.
        annotated_outputs: the same for the annotated recordings, whose labels are not read then.
        soundscape_outputs: an external teacher's outputs for the soundscapes.
    """

    classes: tuple[str, ...]
    recordings: pd.DataFrame
    folds: pd.Series
    fold_count: int
    mels: Sequence[Path]
    annotated: Sequence[Path] = ()
    annotations: AnnotatedRecordings | None = None
    soundscapes: Sequence[Path] = ()
    segment_labels: Sequence[Path] = ()
    clip_labels: Sequence[Path] = ()
    annotated_labels: Sequence[Path] = ()
    clip_outputs: Sequence[Path] = ()
    annotated_outputs: Sequence[Path] = ()
    soundscape_outputs: Sequence[Path] = ()


def of_channels(files: TrainingFiles, names: Sequence[str]) -> TrainingFiles:
    """The same, with tables by the names of clips, where some are channels of recordings.

    A channel has the labels, the fold and the weight of its recording.
    """
    parents = [file_of(name) for name in names]
    if parents == list(names):
        return files
    channels = pd.DataFrame({"recording": parents, "channel": names})

    def by_channel(table: pd.DataFrame) -> pd.DataFrame:
        both = table.merge(channels, on="recording")
        return both.assign(recording=both["channel"])[table.columns]

    described = channels[channels["recording"].isin(files.recordings.index)]
    in_fold = channels[channels["recording"].isin(files.folds.index)]
    annotations = files.annotations
    if annotations is not None:
        annotations = AnnotatedRecordings(*map(by_channel, annotations.tables))
    return replace(
        files,
        recordings=files.recordings.loc[described["recording"]].set_axis(described["channel"]),
        folds=files.folds.loc[in_fold["recording"]].set_axis(in_fold["channel"]),
        annotations=annotations,
    )
