"""What of the labelled recordings trains and what validates one model.

An item is a clip, whose labels are of all of it, or a segment of an annotated recording. Items are
counted through: of R clips and S segments, the segments are R to R + S - 1.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from birdcore.config.training import AnnotatedCrops, TrainConfig
from birdcore.features.recordings import Recordings
from birdcore.sources.annotated import AnnotatedRecordings
from birdcore.sources.folds import EVERYWHERE
from birdcore.training.annotated import AnnotatedSegments, annotated_segments
from birdcore.training.data import hard_labels


@dataclass(frozen=True)
class Items:
    """R clips and S segments.

    Attributes:
        labels: annotators' labels (R + S, K).
        train, held_out: items that train, and that validate.
        known: which labels are known (R + S, K); None: all of them.
        annotated: the segments, if there are any.
        companions: numbers of the segments that other crops may be mixed with.
    """

    labels: Tensor
    train: Tensor
    held_out: Tensor
    known: Tensor | None = None
    annotated: AnnotatedSegments | None = None
    companions: Tensor | None = None


def clip_items(
    names: Sequence[str],
    count: int,
    recordings: pd.DataFrame,
    folds: npt.NDArray[np.float64],
    classes: tuple[str, ...],
    config: TrainConfig,
) -> Items:
    """The items of recordings whose labels are of all of them.

    Args:
        names: of R recordings; the first `count` may have such labels.
        count: see `names`.
        recordings: the catalogue, indexed by name.
        folds: fold of each clip (R,); NaN where it does not train.
        classes: K labels.
        config: the model's.
    """
    # A recording trains if it is usable and labelled, and cleaning did not reject it.
    rows = np.flatnonzero(~np.isnan(folds[:count]))
    trained = [names[row] for row in rows.tolist()]
    labels = torch.zeros(len(names), len(classes))
    labels[rows] = hard_labels(trained, recordings, classes, config.secondary_weight)
    held_out = (folds[rows] == config.fold) & (folds[rows] != EVERYWHERE)
    ratings = recordings["rating"].reindex(trained).to_numpy(float)
    if config.zero_is_unrated:
        ratings = np.where(ratings == 0, np.nan, ratings)
    # Both are true where there is no rating.
    trains = ~held_out & ~(ratings < config.min_rating)
    validates = held_out & ~(ratings < config.validate_min_rating)
    return Items(labels, torch.from_numpy(rows[trains]), torch.from_numpy(rows[validates]))


def kinds_that_validate(settings: AnnotatedCrops, counts: Mapping[str, int]) -> set[str]:
    """What of the held-out recordings validates, clips or annotated ones: what the settings say, or
    all where there are none of that.
    """
    kinds = {kind for kind in counts if settings.validate_on in (kind, "all")}
    return kinds if any(counts[kind] for kind in kinds) else set(counts)


def with_annotated(
    items: Items,
    clips: Recordings,
    annotated: AnnotatedRecordings,
    folds: npt.NDArray[np.float64],
    classes: tuple[str, ...],
    config: TrainConfig,
) -> Items:
    """The items with those of annotated recordings.

    Args:
        items: the R clips.
        clips: R recordings.
        annotated: the tables of the annotated ones.
        folds: fold of each clip (R,); NaN where it does not train.
        classes: K labels.
        config: the model's.
    """
    settings = config.annotated
    frames = clips.spec.fixed_length(config.crop_s)
    segments = annotated_segments(clips, annotated, classes, settings, frames)
    if not len(segments.rows):
        return items
    numbers = torch.arange(len(segments.rows))
    lengths = segments.end - segments.start
    named, known = segments.labels.at(segments.rows, segments.start, lengths)
    # Scores are of what most people say; a tie leaves open what is true.
    labels, known = (named > 0.5).float(), known & (named != 0.5)
    fold = torch.from_numpy(folds)[segments.rows]
    held_out = (fold == config.fold) & (fold != EVERYWHERE)
    may_train = ~held_out & ~fold.isnan()
    trains = may_train & settings.train
    first = len(clips.names)
    validating = {
        "clips": items.held_out,
        "annotated": first + numbers[held_out & segments.validates],
    }
    kinds = kinds_that_validate(settings, {kind: len(each) for kind, each in validating.items()})
    chosen = [each for kind, each in validating.items() if kind in kinds]
    return replace(
        items,
        labels=torch.cat([items.labels, labels]),
        known=torch.cat([torch.ones_like(items.labels, dtype=torch.bool), known]),
        train=torch.cat([items.train, first + numbers[trains]]),
        held_out=torch.cat(chosen),
        annotated=segments,
        companions=numbers[may_train] if settings.mix and may_train.any() else None,
    )
