"""All that a model learns from, read from the artifacts of its step."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from birdcore.features.recordings import Recordings, read_mels
from birdcore.sources.catalog import read_recordings
from birdcore.stages.folds import EVERYWHERE, soundscape_fold
from birdcore.store.store import Job
from birdcore.teachers.outputs import TeacherOutputs, read_outputs
from birdcore.training.data import hard_labels
from birdcore.training.quiet_segments import quiet_pieces
from birdcore.training.segments import Segments, read_segments
from birdcore.training.targets import ClipLabels, read_clip_labels


@dataclass(frozen=True)
class TrainingSet:
    """All that batches are made of; labels (R, K) belong to the rows of `clips`.

    `segments` are there where a teacher labelled the soundscapes, `told` where it labelled the
    clips, `background` where soundscapes are laid under clips without labels, and `quiet` rows and
    first frames of its pieces, where only quiet ones are. `heard` is there where crops learn what
    an outside teacher heard in them, and then their labels are embeddings (B, D).
    """

    clips: Recordings
    labels: Tensor
    train: Tensor
    held_out: Tensor
    segments: Segments | None
    background: Recordings | None
    told: ClipLabels | None = None
    quiet: tuple[Tensor, Tensor] | None = None
    heard: TeacherOutputs | None = None


def training_set(job: Job, classes: tuple[str, ...], device: torch.device) -> TrainingSet:
    embeds = job.config["objective"] == "embeddings"
    # Soundscapes may be there as background alone, unheard.
    heard_too = job.inputs("soundscapes") if job.step.inputs.get("heard_soundscapes") else []
    clips = read_mels([m / "mel.parquet" for m in job.inputs("mel") + heard_too], device)
    recordings = read_recordings(job.input("catalog"))
    folds = pd.read_parquet(job.input("folds") / "folds.parquet").set_index("recording")["fold"]
    # A recording counts where it is usable, labelled, and was not rejected by cleaning.
    fold_of = np.array([folds.get(name, np.nan) for name in clips.names])
    rows = np.flatnonzero(~np.isnan(fold_of))
    labels = torch.zeros(len(clips.names), len(classes))
    labels[rows] = hard_labels(
        [clips.names[r] for r in rows], recordings, classes, job.config["secondary_weight"]
    )
    told = None
    if job.step.inputs.get("clip_labels"):
        told = read_clip_labels(clips, files_of(job, "labels.parquet", "clip_labels"))
    held = (fold_of[rows] == job.config["fold"]) & (fold_of[rows] != EVERYWHERE)
    ratings = recordings["rating"].reindex([clips.names[r] for r in rows]).to_numpy(float)
    good = ~(ratings < job.config["min_rating"])  # no rating is no reason
    train, held_out = torch.from_numpy(rows[~held & good]), torch.from_numpy(rows[held])
    if not len(train):
        raise ValueError(
            f"fold {job.config['fold']} and min_rating = {job.config['min_rating']:g} leave no "
            "recording to train on"
        )
    heard = None
    if embeds:
        # A soundscape has nothing to hold out: what it is to be is not what a person said of it.
        of_soundscapes = [r for r, name in enumerate(clips.names) if is_soundscape(name)]
        train = torch.cat([train, torch.tensor(of_soundscapes, dtype=train.dtype)])
        heard = read_outputs(
            files_of(job, "heard.parquet", "heard", "heard_soundscapes"), clips.names
        )
    soundscapes = job.inputs("soundscapes")
    background = segments = quiet = None
    if soundscapes:
        mels = read_mels([m / "mel.parquet" for m in soundscapes], device)
        if job.step.inputs.get("labels"):
            segments = read_segments(
                mels,
                files_of(job, "labels.parquet", "labels"),
                job.config["crop_s"],
                job.config["label"],
                _own_soundscapes(job, mels.names) if job.config["out_of_fold"] else (),
            )
        if job.config["background"]["probability"]:
            background = mels
            if job.config["background"]["source"] == "quiet" and mels.names:
                quiet = quiet_pieces(mels, mels.spec.fixed_length(job.config["crop_s"]))
    return TrainingSet(clips, labels, train, held_out, segments, background, told, quiet, heard)


def files_of(job: Job, file: str, *inputs: str) -> list[Path]:
    """One file of each artifact that a step reads under these names."""
    return [artifact / file for name in inputs for artifact in job.inputs(name)]


def is_soundscape(name: str) -> bool:
    return name.startswith("train_soundscapes/")


def _own_soundscapes(job: Job, names: Sequence[str]) -> list[str]:
    """Soundscapes of this model's fold: it is to label them for the next round, unseen."""
    count = job.input("folds").manifest.config["count"]
    return [name for name in names if soundscape_fold(name, count) == job.config["fold"]]
