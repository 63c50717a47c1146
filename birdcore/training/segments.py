"""Pseudo-labelled segments of soundscapes as arrays, and how often each is drawn.

Letters in names: B crops, K classes, S segments.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from birdcore.config.training import LabelSelection
from birdcore.features.columns import stacked
from birdcore.features.recordings import Recordings
from birdcore.pseudo_labels.soft import cap_sum, keep_top, minmax_by_class, soundscape_weights
from birdcore.training.event_labels import EventLabels

TOLERANCE_S = 0.1
"""A segment that sticks out of a crop by less lies in it: frames round times."""


@dataclass(frozen=True)
class Segments:
    """S pseudo-labelled segments of soundscapes.

    Attributes:
        soundscapes: the recordings.
        rows: recording of each segment (S,).
        offsets: first frame of each (S,).
        labels: soft labels (S, K).
        mask: which labels count (S, K).
        weights: relative frequency of drawing each (S,).
    """

    soundscapes: Recordings
    rows: Tensor
    offsets: Tensor
    labels: Tensor
    mask: Tensor
    weights: Tensor

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        return torch.multinomial(self.weights, count, replacement=True, generator=generator)

    def draw_same(self, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw for each clip a segment in which the teacher found the clip's class.

        Args:
            labels: of the clips (B, K).
            generator: on the CPU.

        Returns:
            Segments (B,), drawn in proportion to the class's probability, and whether the class has
            any (B,).
        """
        return draw_same_class(self.labels, self.weights, labels, generator)


def draw_same_class(
    of_segments: Tensor, weights: Tensor, labels: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """`Segments.draw_same` among segments with these labels (S, K) and weights (S,)."""
    classes = labels.argmax(dim=1)
    certain = torch.where(of_segments >= 0.5, of_segments, 0.0).double() * weights[:, None]
    by_crop = certain.T[classes]
    found = by_crop.sum(dim=1) > 0
    by_crop[~found] = 1.0
    return torch.multinomial(by_crop, 1, generator=generator)[:, 0], found


def read_segments(
    soundscapes: Recordings,
    labels: Sequence[Path],
    crop_s: float,
    selection: LabelSelection | None = None,
    left_out: Collection[str] = (),
) -> Segments:
    """Segments of label artifacts; soundscapes are drawn by their certainty (1st place 2025).

    A crop that is longer than its segment has, class by class, the maximum of the segments that
    lie in it.

    Args:
        soundscapes: recordings, in the order of the result's rows.
        labels: `labels.parquet` of label artifacts.
        crop_s: seconds of a crop.
        selection: what is done to the labels of all segments at once.
        left_out: soundscapes that take part in the selection and are not drawn.

    Raises:
        ValueError: no segment passed the teacher's threshold, or all are left out.
    """
    table = pd.concat([pd.read_parquet(path) for path in labels], ignore_index=True)
    if selection is not None:
        table = _select(table, selection)
    table = table[table["kept"]]
    if len(table) and table["recording"].isin(left_out).all():
        raise ValueError(
            "all soundscapes are held out from this model, so that there is none for it to learn "
            "from: add some, or take more folds"
        )
    table = table[~table["recording"].isin(left_out)]
    table = table.sort_values(["recording", "start"]).reset_index(drop=True)
    if table.empty:
        raise ValueError(
            "no soundscape segment passed round.label.threshold: set it lower, or train the "
            "teacher longer"
        )
    row_of = {name: r for r, name in enumerate(soundscapes.names)}
    rows = torch.tensor([row_of[name] for name in table["recording"]])
    probabilities = stacked(table["probabilities"], np.float32)
    by_soundscape = soundscape_weights(probabilities, rows.numpy())
    weights = (
        torch.from_numpy(np.asarray(by_soundscape, np.float64))[rows] / torch.bincount(rows)[rows]
    )
    frames = torch.from_numpy(np.rint(table["start"].to_numpy() * soundscapes.spec.frame_rate))
    last = soundscapes.lengths.cpu()[rows] - soundscapes.spec.fixed_length(crop_s)
    offsets = torch.minimum(frames.long(), last.clamp(min=0))
    loudest = _loudest_in_crop(table, offsets.numpy() / soundscapes.spec.frame_rate, crop_s)
    return Segments(
        soundscapes,
        rows.to(soundscapes.device),
        offsets.to(soundscapes.device),
        torch.from_numpy(np.take_along_axis(stacked(table["labels"], np.float32), loudest, 0)),
        torch.from_numpy(np.take_along_axis(stacked(table["mask"], np.bool_), loudest, 0)),
        weights + 1e-12,
    )


def with_annotations(
    segments: Segments, rows: Tensor, events: EventLabels, crop_s: float
) -> Segments:
    """Segments with what people said in the place of the teacher's labels.

    A class of which somebody says something in a segment's crop is known there or left open, as in
    other crops of annotated recordings. Segments of which people have judged every class are left
    out: nothing in them is the teacher's.

    Args:
        segments: S segments.
        rows: of each soundscape its recording among those of the events, or -1 (R,).
        events: what people said.
        crop_s: seconds of a crop.

    Raises:
        ValueError: no segment is left.
    """
    of_events = rows[segments.rows.cpu()]
    at = (of_events >= 0).nonzero()[:, 0]
    frames = segments.soundscapes.spec.fixed_length(crop_s)
    place = of_events[at], segments.offsets.cpu()[at], torch.full_like(at, frames)
    (named, known), judged = events.at(*place), events.judged(*place)
    labels, mask, left = segments.labels.clone(), segments.mask.clone(), torch.ones(len(of_events))
    labels[at] = torch.where(judged, torch.where(known, named, 0.0), labels[at])
    mask[at] = torch.where(judged, known, mask[at])
    left[at] = (~judged.all(dim=1)).float()
    kept = left.nonzero()[:, 0]
    if not len(kept):
        raise ValueError(
            "people have judged every class of all soundscapes, so that nothing is left for the "
            "teacher: leave out label.unannotated, or the round"
        )
    on_device = kept.to(segments.rows.device)
    return Segments(
        segments.soundscapes,
        segments.rows[on_device],
        segments.offsets[on_device],
        labels[kept],
        mask[kept],
        segments.weights[kept],
    )


def _select(table: pd.DataFrame, selection: LabelSelection) -> pd.DataFrame:
    if table.empty:
        return table
    labels = stacked(table["labels"], np.float32)
    if selection.minmax:
        labels = minmax_by_class(labels)
    kept = table["kept"].to_numpy() & keep_top(labels, selection.keep_fraction)
    if selection.max_label_sum is not None:
        labels = cap_sum(labels, selection.max_label_sum)
    return table.assign(labels=list(labels), kept=kept)


def _loudest_in_crop(
    table: pd.DataFrame, crop_starts: npt.NDArray[np.float64], crop_s: float
) -> npt.NDArray[np.int64]:
    """For each crop and class (S, K) the row of the most certain segment that lies in the crop.

    The table is sorted by recording and start; row i is the segment that crop i was drawn for.
    """
    probabilities = stacked(table["probabilities"], np.float32)
    starts, ends = table["start"].to_numpy(), table["end"].to_numpy()
    loudest = np.empty(probabilities.shape, np.int64)
    for rows in table.groupby("recording", sort=False).indices.values():
        base = int(rows[0])
        inside = slice(base, base + len(rows))
        begin = crop_starts[inside]
        first = base + np.searchsorted(starts[inside], begin - TOLERANCE_S)
        after = base + np.searchsorted(ends[inside], begin + crop_s + TOLERANCE_S, "right")
        for row, a, b in zip(range(base, base + len(rows)), first, after, strict=True):
            a, b = min(a, row), max(b, row + 1)
            loudest[row] = a + probabilities[a:b].argmax(axis=0)
    return loudest
