"""Crops of recordings whose labels have a beginning and an end, and what each crop's labels are.

A clip's label says that a class sounds somewhere in it; an annotation says when. So such a
recording is trained on in segments: the windows or events that somebody annotated. A crop drawn
around a segment has the labels of all events that it holds, and where the recording is completely
annotated, all other classes are absent from it. Elsewhere they are unknown, and do not count.
Where several people annotated a recording, a label is the share of them that names the class.

Letters in names: B crops, E events, K classes, R recordings, S segments.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from birdcore.annotations.annotation import EVERY_CLASS
from birdcore.config.training import AnnotatedCrops
from birdcore.features.recordings import Recordings
from birdcore.sources.annotated import AnnotatedRecordings
from birdcore.training.intervals import Intervals, intervals, rows_of_table, united

KINDS = {"present": 1, "absent": 0, "uncertain": -1}
PIECE_S, WHOLE = 5.0, 1.5
"""Where annotations are complete for longer than `WHOLE` times a crop, or this many seconds if a
crop is shorter, each such piece is a segment."""


@dataclass(frozen=True)
class EventLabels:
    """E events of recordings, and where nothing but these sounds.

    Attributes:
        events: when.
        column: class of each (E,); -1 for all classes, of which none is present.
        kind: a value of `KINDS` (E,).
        complete: where what is not named is absent; they do not overlap.
        lengths: frames of each recording (R,).
        event_share: an event counts in a crop with at least this share of it,
        crop_share: or of which it fills this share.
        classes: K.
        people: what each person says of them, where people are told apart.
    """

    events: Intervals
    column: Tensor
    kind: Tensor
    complete: Intervals
    lengths: Tensor
    event_share: float
    crop_share: float
    classes: int
    people: tuple["EventLabels", ...] = ()

    @cached_property
    def voters(self) -> Tensor:
        """How many people annotated each recording (R,), 1 where they are not told apart."""
        voters = torch.zeros(len(self.lengths))
        for person in self.people:
            voters[torch.cat([person.events.rows, person.complete.rows]).unique()] += 1
        return voters.clamp(min=1)

    @cached_property
    def untimed(self) -> Tensor:
        """Which events (E,) are labels of a window: where annotations end with it, and are complete
        since it began or later (of windows that overlap, the second one from where the first ends).
        """
        events, complete = self.events, self.complete
        event, window = complete.around(events.rows, events.start, events.end)
        same_end = (complete.end[window] - events.end[event]).abs() < 2
        found = torch.zeros(len(events.rows), dtype=torch.bool)
        found[event[same_end & (events.start[event] <= complete.start[window] + 1)]] = True
        return found

    @cached_property
    def timed(self) -> Tensor:
        """Which recordings (R,) have events that begin and end when a class does."""
        found = torch.zeros(len(self.lengths), dtype=torch.bool)
        found[self.events.rows[(self.kind == KINDS["present"]) & ~self.untimed]] = True
        return found

    def at(self, rows: Tensor, offsets: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Labels of crops.

        Args:
            rows: recordings (B,).
            offsets: first frame of each crop (B,).
            frames: length of each (B,).

        Returns:
            Labels (B, K), 0 or 1, and which of them are known (B, K). A class of which a crop has
            too little of an event, or a person was not sure, is unknown. Of several people, the
            share that names a class among those who know of it.
        """
        if self.people:
            return shares([person.at(rows, offsets, frames) for person in self.people])
        offsets = offsets.cpu()
        labels = torch.zeros(len(rows), self.classes)
        known = self._covered(rows, offsets, frames)[:, None].repeat(1, self.classes)
        which, event, overlap = self.events.overlap(rows, offsets, frames)
        inside = overlap > 0
        which, event, overlap = which[inside], event[inside], overlap[inside]
        length = self.events.end[event] - self.events.start[event]
        kind, column = self.kind[event], self.column[event]
        held = (overlap >= self.event_share * length) | (overlap >= self.crop_share * frames[which])
        present = held & (kind == KINDS["present"])
        unsure = (kind != KINDS["absent"]) & ~present
        heard = torch.minimum(self.lengths[rows], frames)[which]
        absent = (kind == KINDS["absent"]) & (overlap >= _nearly(heard, 1))
        # What is said of a class goes before what is said of all, and doubt before absence.
        of_all = column < 0
        known[which[absent & of_all]] = True
        known[which[unsure & of_all]] = False
        absent, unsure = absent & ~of_all, unsure & ~of_all
        known[which[absent], column[absent]] = True
        known[which[unsure], column[unsure]] = False
        known[which[present], column[present]] = True
        labels[which[present], column[present]] = 1.0
        return labels, known

    def _covered(self, rows: Tensor, offsets: Tensor, frames: Tensor) -> Tensor:
        """Whether crops (B,) lie, but for a frame at each end, where annotations are complete."""
        which, _, overlap = self.complete.overlap(rows, offsets, frames)
        covered = torch.zeros(len(rows), dtype=torch.float64)
        covered.index_add_(0, which, overlap.clamp(min=0))
        return covered >= _nearly(torch.minimum(self.lengths[rows], frames), 2)


def shares(said: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """What people say together: of those who know, the share that names each; and if any knows.

    Args:
        said: what each of them names, 0 or 1, and knows, all of one shape.

    Example:
        >>> shares([(torch.ones(1), torch.ones(1).bool()), (torch.zeros(1), torch.ones(1).bool())])
        (tensor([0.5000]), tensor([True]))
    """
    known = torch.stack([known for _, known in said])
    named = torch.stack([present for present, _ in said]) * known
    return named.sum(0) / known.sum(0).clamp(min=1), known.any(0)


def _nearly(frames: Tensor, less: int) -> Tensor:
    """So many frames but for `less`, since times are rounded; at least half of the frames."""
    return torch.maximum(frames - less, frames / 2)


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
    people = annotated.by_person
    if len(people) == 1:
        labels = _event_labels(clips, people[0], classes, settings)
    else:
        together = replace(annotated, complete=united(annotated.complete))
        labels = replace(
            _event_labels(clips, together, classes, settings),
            people=tuple(_event_labels(clips, each, classes, settings) for each in people),
        )
    lengths = labels.lengths
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


def _event_labels(
    clips: Recordings,
    annotated: AnnotatedRecordings,
    classes: Sequence[str],
    settings: AnnotatedCrops,
) -> EventLabels:
    """The events of tables of which no two stretches are complete at one time."""
    row_of = {name: row for row, name in enumerate(clips.names)}
    column_of = {label: column for column, label in enumerate(classes)} | {EVERY_CLASS: -1}
    rate, lengths = clips.spec.frame_rate, clips.lengths.cpu()
    named = annotated.annotations[annotated.annotations["label"].isin(column_of)]
    annotations, rows = rows_of_table(named, row_of, lengths, rate)
    complete, complete_rows = rows_of_table(annotated.complete, row_of, lengths, rate)
    return EventLabels(
        events=intervals(rows, annotations, lengths, rate),
        column=torch.tensor(
            [column_of[label] for label in annotations["label"]], dtype=torch.int64
        ),
        kind=torch.tensor([KINDS[kind] for kind in annotations["kind"]], dtype=torch.int64),
        complete=intervals(complete_rows, complete, lengths, rate),
        lengths=lengths,
        event_share=settings.event_share,
        crop_share=settings.crop_share,
        classes=len(classes),
    )


def _segments(labels: EventLabels, piece: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Rows, first and last frames of segments, and whether they validate (all S,).

    Events that two annotators, or two classes, have at one time are one segment.
    """
    complete, events = labels.complete, labels.events
    length = complete.end - complete.start
    pieces = torch.where(length <= WHOLE * piece, 1, (length / piece).ceil()).long()
    which = torch.arange(len(pieces)).repeat_interleave(pieces)
    part = torch.arange(len(which)) - (pieces.cumsum(0) - pieces)[which]
    size = (length / pieces)[which]
    begin = complete.start[which] + part * size
    # A window that has a label is a piece already; an event in one is not judged a second time.
    near, at = complete.around(events.rows, events.start, events.end)
    early, late = events.start[near] - complete.start[at], complete.end[at] - events.end[near]
    window, inside = torch.zeros(2, len(events.rows), dtype=torch.bool)
    window[near[early.abs() + late.abs() < 2]] = True
    inside[near[(early >= -1) & (late >= -1)]] = True
    drawn = ~window & (labels.kind >= 0)
    table = torch.stack([
        torch.cat([complete.rows[which], events.rows[drawn]]),
        torch.cat([begin, events.start[drawn]]).round().long(),
        torch.cat([begin + size, events.end[drawn]]).round().long(),
    ])  # fmt: skip
    table[2] = table[2].maximum(table[1] + 1)
    validates = torch.cat([torch.ones_like(which, dtype=torch.bool), ~inside[drawn]])
    (rows, starts, ends), same = table.unique(dim=1, return_inverse=True)
    judged = torch.zeros(len(rows), dtype=torch.bool)
    judged[same[validates]] = True
    return rows, starts, ends, judged
