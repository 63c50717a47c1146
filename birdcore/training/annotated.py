"""Crops of recordings whose labels have a beginning and an end, and what each crop's labels are.

A clip's label says that a class sounds somewhere in it; an annotation says when. So such a
recording is trained on in segments: the windows or events that somebody annotated. A crop drawn
around a segment has the labels of all events that it holds, and where the recording is completely
annotated, all other classes are absent from it. Elsewhere they are unknown, and do not count.
Where several people annotated a recording, a label is the share of them that names the class.

Letters in names: B crops, E events, K classes, R recordings, S segments.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from birdcore.config.training import AnnotatedCrops
from birdcore.features.recordings import Recordings
from birdcore.sources.annotated import AnnotatedRecordings
from birdcore.training.event_labels import EventLabels, event_labels

PIECE_S, WHOLE = 5.0, 1.5
"""Where annotations are complete for longer than `WHOLE` times a crop, or this many seconds if a
crop is shorter, each such piece is a segment."""


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
    rate = clips.spec.frame_rate
    labels = event_labels(clips.names, clips.lengths.cpu(), rate, annotated, classes, settings)
    lengths = labels.lengths
    piece = max(frames, clips.spec.fixed_length(PIECE_S))
    rows, starts, ends, validates = annotated_stretches(labels, piece)
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


def annotated_stretches(labels: EventLabels, piece: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Rows, first and last frames of segments, and whether they validate (all S,).

    Where annotations are complete for longer than `WHOLE` times `piece` frames, they are cut there.
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
