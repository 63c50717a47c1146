"""What is heard in crops of annotated recordings: events, and where nothing but these sounds.

Letters in names: B crops, E events, K classes, R recordings.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from birdcore.annotations.annotation import EVERY_CLASS
from birdcore.config.training import AnnotatedCrops
from birdcore.sources.annotated import AnnotatedRecordings
from birdcore.training.intervals import Intervals, intervals, rows_of_table, united

KINDS = {"present": 1, "absent": 0, "uncertain": -1}


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
        covered = self._complete_frames(rows, offsets, frames)
        # But for a frame at each end.
        whole = covered >= _nearly(torch.minimum(self.lengths[rows], frames), 2)
        known = whole[:, None].repeat(1, self.classes)
        which, event, overlap, held = self._touched(rows, offsets, frames)
        kind, column = self.kind[event], self.column[event]
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

    def judged(self, rows: Tensor, offsets: Tensor, frames: Tensor) -> Tensor:
        """Of which classes anybody says anything in crops, (B, K), for the arguments of `at`.

        Be it that they are not sure, or only of a part of the crop: of as much as labels it.
        """
        offsets = offsets.cpu()
        covered = self._complete_frames(rows, offsets, frames)
        part = (covered > 0) & (covered >= self.crop_share * frames)
        which, event, _, held = self._touched(rows, offsets, frames)
        which, column = which[held], self.column[event[held]]
        part[which[column < 0]] = True
        judged = part[:, None].repeat(1, self.classes)
        judged[which[column >= 0], column[column >= 0]] = True
        return judged | self.at(rows, offsets, frames)[1]

    def _touched(
        self, rows: Tensor, offsets: Tensor, frames: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Which crop, which event of it, how many frames of that, and whether these are enough to
        label the crop (all J,)."""
        which, event, overlap = self.events.overlap(rows, offsets, frames)
        inside = overlap > 0
        which, event, overlap = which[inside], event[inside], overlap[inside]
        length = self.events.end[event] - self.events.start[event]
        held = (overlap >= self.event_share * length) | (overlap >= self.crop_share * frames[which])
        return which, event, overlap, held

    def _complete_frames(self, rows: Tensor, offsets: Tensor, frames: Tensor) -> Tensor:
        """How many frames of crops (B,) lie where annotations are complete."""
        which, _, overlap = self.complete.overlap(rows, offsets, frames)
        covered = torch.zeros(len(rows), dtype=torch.float64)
        return covered.index_add_(0, which, overlap.clamp(min=0))


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


def event_labels(
    names: Sequence[str],
    lengths: Tensor,
    rate: float,
    annotated: AnnotatedRecordings,
    classes: Sequence[str],
    settings: AnnotatedCrops,
) -> EventLabels:
    """The events of annotated recordings.

    Args:
        names: R recordings.
        lengths: of each (R,), in frames, on the CPU.
        rate: frames a second.
        annotated: the tables; labels that are no classes are left out.
        classes: K labels.
        settings: what counts as held by a crop.
    """
    row_of = {name: row for row, name in enumerate(names)}
    column_of = {label: column for column, label in enumerate(classes)} | {EVERY_CLASS: -1}

    def labels_of(tables: AnnotatedRecordings) -> EventLabels:
        """Of tables of which no two stretches are complete at one time."""
        named = tables.annotations[tables.annotations["label"].isin(column_of)]
        annotations, rows = rows_of_table(named, row_of, lengths, rate)
        complete, complete_rows = rows_of_table(tables.complete, row_of, lengths, rate)
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

    people = annotated.by_person
    if len(people) == 1:
        return labels_of(people[0])
    together = replace(annotated, complete=united(annotated.complete))
    return replace(labels_of(together), people=tuple(map(labels_of, people)))
