"""Crops of recordings whose labels have a beginning and an end, and what each crop's labels are.

A clip's label says that a class sounds somewhere in it; an annotation says when. So such a
recording is trained on in segments: the windows or events that somebody annotated. A crop drawn
around a segment has the labels of all events that it holds, and where the recording is completely
annotated, all other classes are absent from it. Elsewhere they are unknown, and do not count.

Letters in names: B crops, E events, I intervals, K classes, R recordings, S segments.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from birdcore.annotations.annotation import EVERY_CLASS
from birdcore.config.training import AnnotatedCrops
from birdcore.features.recordings import Recordings
from birdcore.sources.annotated import AnnotatedRecordings

KINDS = {"present": 1, "absent": 0, "uncertain": -1}
PIECE_S, WHOLE = 5.0, 1.5
"""Where annotations are complete for longer than `WHOLE` times a crop, or this many seconds if a
crop is shorter, each such piece is a segment."""


@dataclass(frozen=True)
class Intervals:
    """I stretches of R recordings, sorted by recording and beginning.

    Recording r has the count[r] that begin at first[r] (both int64, R); start and end (I,) are in
    frames, float64.
    """

    first: Tensor
    count: Tensor
    start: Tensor
    end: Tensor

    def of(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """All intervals of recordings (B,): which of the B, and which interval (both J,)."""
        count = self.count[rows]
        which = torch.arange(len(rows)).repeat_interleave(count)
        within = torch.arange(len(which)) - (count.cumsum(0) - count)[which]
        return which, self.first[rows][which] + within

    def overlap(
        self, rows: Tensor, offsets: Tensor, frames: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Which crop, which interval, and how many frames of it are in the crop (all J,)."""
        which, interval = self.of(rows)
        begin = offsets[which].double()
        stop = torch.minimum(self.end[interval], begin + frames[which])
        return which, interval, stop - torch.maximum(self.start[interval], begin)


@dataclass(frozen=True)
class EventLabels:
    """E events of recordings, and where nothing but these sounds.

    Attributes:
        events: when.
        column: class of each (E,); -1 for all classes, where kind is uncertain.
        kind: a value of `KINDS` (E,).
        complete: where what is not named is absent; they do not overlap.
        lengths: frames of each recording (R,).
        event_share: an event counts in a crop with at least this share of it,
        crop_share: or of which it fills this share.
        classes: K.
    """

    events: Intervals
    column: Tensor
    kind: Tensor
    complete: Intervals
    lengths: Tensor
    event_share: float
    crop_share: float
    classes: int

    def at(self, rows: Tensor, offsets: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Labels of crops.

        Args:
            rows: recordings (B,).
            offsets: first frame of each crop (B,).
            frames: length of each (B,).

        Returns:
            Labels (B, K), 0 or 1, and which of them are known (B, K). A class of which a crop has
            too little of an event, or a person was not sure, is unknown.
        """
        offsets = offsets.cpu()
        labels = torch.zeros(len(rows), self.classes)
        known = self._covered(rows, offsets, frames)[:, None].repeat(1, self.classes)
        which, event, overlap = self.events.overlap(rows, offsets, frames)
        length = self.events.end[event] - self.events.start[event]
        kind, column = self.kind[event], self.column[event]
        touched = overlap > 0
        filled = overlap >= self.crop_share * frames[which]
        held = (overlap >= self.event_share * length) | filled
        present = touched & held & (kind == KINDS["present"])
        unsure = touched & (kind != KINDS["absent"]) & ~present
        # Absence is known where the crop, or the recording if shorter, lies in its interval.
        heard = torch.minimum(self.lengths[rows], frames)[which]
        absent = (kind == KINDS["absent"]) & (overlap >= heard - 1)
        of_all = unsure & (column < 0)
        known[which[of_all]] = False
        unsure &= ~of_all
        known[which[unsure], column[unsure]] = False
        known[which[absent], column[absent]] = True
        known[which[present], column[present]] = True
        labels[which[present], column[present]] = 1.0
        return labels, known

    def _covered(self, rows: Tensor, offsets: Tensor, frames: Tensor) -> Tensor:
        """Whether crops (B,) lie, but for a frame at each end, where annotations are complete."""
        which, _, overlap = self.complete.overlap(rows, offsets, frames)
        heard = torch.zeros(len(rows), dtype=torch.float64)
        heard.index_add_(0, which, overlap.clamp(min=0))
        return heard >= torch.minimum(self.lengths[rows], frames) - 2


@dataclass(frozen=True)
class AnnotatedSegments:
    """S segments of annotated recordings that crops are drawn around.

    Attributes:
        rows: recording of each (S,).
        start, end: where it is, in frames (S,).
        first, last: a crop of a segment begins in these frames or between them (S,).
        validates: whether it is a window of validation (S,): an event that lies where annotations
            are complete is in such a window already.
        labels: the events.
    """

    rows: Tensor
    start: Tensor
    end: Tensor
    first: Tensor
    last: Tensor
    validates: Tensor
    labels: EventLabels

    def draw(self, segments: Tensor, generator: torch.Generator) -> Tensor:
        """A random first frame (B,) for a crop of each segment."""
        first, last = self.first[segments], self.last[segments]
        draws = torch.rand(len(segments), generator=generator)
        return torch.minimum(first + (draws * (last - first + 1)).long(), last)

    def windows(self, segment: int, frames: int) -> Tensor:
        """First frames of windows of so many frames that cover a segment."""
        start, end = int(self.start[segment]), int(self.end[segment])
        room = max(0, int(self.labels.lengths[self.rows[segment]]) - frames)
        if end - start <= frames:
            return torch.tensor([min(max((start + end - frames) // 2, 0), room)])
        count = -(-(end - start) // frames)
        return torch.linspace(start, end - frames, count).round().long().clamp(max=room)


def annotated_segments(
    clips: Recordings,
    annotated: AnnotatedRecordings,
    classes: Sequence[str],
    settings: AnnotatedCrops,
    frames: int,
) -> AnnotatedSegments:
    """The segments of annotated recordings, and their events.

    Args:
        clips: R recordings; those that have no annotation have no segment.
        annotated: the tables; labels that are no classes are left out.
        classes: K labels.
        settings: what counts as held by a crop.
        frames: length of a crop.
    """
    row_of = {name: row for row, name in enumerate(clips.names)}
    column_of = {label: column for column, label in enumerate(classes)}
    table, complete = annotated.annotations, annotated.complete
    column_of[EVERY_CLASS] = -1
    annotations = table[table["recording"].isin(row_of) & table["label"].isin(column_of)]
    complete = complete[complete["recording"].isin(row_of)]
    rate, lengths = clips.spec.frame_rate, clips.lengths.cpu()
    events, order = _intervals(annotations, row_of, lengths, rate)
    column = torch.tensor([column_of[label] for label in annotations["label"]], dtype=torch.int64)
    kind = torch.tensor([KINDS[kind] for kind in annotations["kind"]], dtype=torch.int64)
    everywhere, _ = _intervals(complete, row_of, lengths, rate)
    labels = EventLabels(
        events=events,
        column=column[order],
        kind=kind[order],
        complete=everywhere,
        lengths=lengths,
        event_share=settings.event_share,
        crop_share=settings.crop_share,
        classes=len(classes),
    )
    piece = max(frames, clips.spec.fixed_length(PIECE_S))
    rows, starts, ends, validates = _segments(labels, piece)
    last_frame = (lengths[rows] - frames).clamp(min=0)
    first, last = torch.minimum(starts, ends - frames), torch.maximum(starts, ends - frames)
    return AnnotatedSegments(
        rows,
        starts,
        ends,
        first.clamp(min=0).minimum(last_frame),
        last.clamp(min=0).minimum(last_frame),
        validates,
        labels,
    )


def _intervals(
    table: pd.DataFrame, row_of: dict[str, int], lengths: Tensor, rate: float
) -> tuple[Intervals, Tensor]:
    """The table's stretches in frames, at least one long, and the order of its rows in them."""
    row = table["recording"].map(row_of).to_numpy(np.int64)
    start = table["start_s"].to_numpy(np.float64) * rate
    length = lengths.numpy()[row].astype(np.float64)
    end = np.minimum(table["end_s"].to_numpy(np.float64) * rate, length)
    start = np.clip(start, 0, np.maximum(length - 1, 0))
    end = np.maximum(end, start + 1)
    order = np.lexsort([start, row])
    count = torch.bincount(torch.tensor(row), minlength=len(lengths))
    intervals = Intervals(
        count.cumsum(0) - count,
        count,
        torch.from_numpy(start[order]),
        torch.from_numpy(end[order]),
    )
    return intervals, torch.from_numpy(order)


def _segments(labels: EventLabels, piece: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Rows, first and last frames of segments, and whether they validate (all S,)."""
    found: list[tuple[int, float, float, bool]] = []
    for row in (labels.complete.count + labels.events.count).nonzero()[:, 0].tolist():
        one = torch.tensor([row])
        _, complete = labels.complete.of(one)
        begins, stops = labels.complete.start[complete], labels.complete.end[complete]
        for start, end in zip(begins.tolist(), stops.tolist(), strict=True):
            pieces = 1 if end - start <= WHOLE * piece else -(-int(end - start) // piece)
            edges = np.linspace(start, end, pieces + 1)
            found += [(row, a, b, True) for a, b in pairwise(edges.tolist())]
        _, events = labels.events.of(one)
        for event in events.tolist():
            start, end = labels.events.start[event], labels.events.end[event]
            alone = not bool(((begins <= start + 1) & (end <= stops + 1)).any())
            window = bool(((begins - start).abs() + (stops - end).abs() < 2).any())
            if not window and labels.kind[event] >= 0:
                found.append((row, float(start), float(end), alone))
    rows, starts, ends, validates = zip(*found, strict=True) if found else ((), (), (), ())
    return (
        torch.tensor(rows, dtype=torch.int64),
        torch.tensor(starts, dtype=torch.float64).round().long(),
        torch.tensor(ends, dtype=torch.float64).round().long(),
        torch.tensor(validates, dtype=torch.bool),
    )
