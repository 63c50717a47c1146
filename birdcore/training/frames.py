"""Targets of the moments of crops: in which of a model's outputs an annotated event sounds.

A model answers a crop of T frames with C < T outputs, each for its C-th of the crop (as windows of
predictions are read: birdcore/inference/windows.py). An event is in each output of which it has a
frame, so that a click of a few hundredths of a second is not lost among those around it. Absence is
known of an output that lies all in it.

An event that is a labelled window has no times: it says that a class sounds somewhere in there. Its
moments are unknown, and recordings with no other events train no frames.

What is done to a crop in time (played backwards, rolled, cut) is done to the numbers of its frames
as well, which say where in the recording each one is from. Padding is from nowhere, so unknown. In
mixes a class counts in the moments in which it is known in both parts; of a part without times (a
clip, a teacher's chunk) these are all moments, of classes that are not in it. Masks, noise,
filters and background hide a sound or lie over it, as in the field, and change no target.

Letters in names: B crops, C outputs, J events in crops, K classes, T frames.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from birdcore.training.augment import LabelMix, mix_labels
from birdcore.training.event_labels import KINDS, EventLabels, shares

ABSENT = 0.1
"""A class of which a soft label is below is in no moment."""


class FrameTargets(NamedTuple):
    """What is known of the moments of B crops.

    present: (B, K, C) in 0 to 1.
    known: (B, K, C), which of these count.
    timed: (B,), whether events with times are known of the crop, or of a part of it: only such
        crops train frames.
    """

    present: Tensor
    known: Tensor
    timed: Tensor

    def at(self, crops: Tensor) -> "FrameTargets":
        return FrameTargets(self.present[crops], self.known[crops], self.timed[crops])

    def put(self, crops: Tensor, others: "FrameTargets") -> "FrameTargets":
        """These, with others in the place of some crops."""
        pairs = zip(self, others, strict=True)
        return FrameTargets(*(own.index_copy(0, crops, other) for own, other in pairs))

    def where(self, chosen: Tensor, others: "FrameTargets") -> "FrameTargets":
        """Others (B, ...) where chosen (B,), these elsewhere."""
        chosen_at = chosen[:, None, None]
        return FrameTargets(
            torch.where(chosen_at, others.present, self.present),
            torch.where(chosen_at, others.known, self.known),
            torch.where(chosen, others.timed, self.timed),
        )

    def to(self, device: torch.device) -> "FrameTargets":
        return FrameTargets(*(each.to(device) for each in self))


def untimed(labels: Tensor, mask: Tensor | None, cells: int) -> FrameTargets:
    """Of crops of which labels (B, K) and their mask are known, and no times."""
    known = labels < ABSENT if mask is None else (labels < ABSENT) & mask
    known = known[:, :, None].repeat(1, 1, cells)
    return FrameTargets(torch.zeros(known.shape), known, torch.zeros(len(labels), dtype=torch.bool))


def rendered(
    labels: EventLabels, rows: Tensor, offsets: Tensor, numbers: Tensor, cells: int
) -> FrameTargets:
    """Of crops of annotated recordings.

    Args:
        labels: the events.
        rows: recordings (B,).
        offsets: first frame of each crop as it was taken (B,).
        numbers: which frame of it each one of the crop is (B, T), from 0; -1 where it is of none.
        cells: C.
    """
    if labels.people:
        people = [rendered(each, rows, offsets, numbers, cells) for each in labels.people]
        present, known = shares([(each.present, each.known) for each in people])
        return FrameTargets(present, known, torch.stack([each.timed for each in people]).any(0))
    crops, frames = numbers.shape
    cell = ((torch.arange(frames) + 0.5) * cells / frames).long()
    size = torch.bincount(cell, minlength=cells)
    # A recording shorter than the crop is repeated (`Recordings.power`).
    position = (offsets[:, None] + numbers) % labels.lengths[rows][:, None]
    centre = torch.where(numbers < 0, -1, position) + 0.5
    stop = offsets + frames

    def inside(start: Tensor, end: Tensor, which: Tensor) -> Tensor:
        """How many frames (J, C) of each output lie in intervals (J,) of crops `which`."""
        at = centre[which]
        hit = ((start[:, None] <= at) & (at < end[:, None])).float()
        return torch.zeros(len(which), cells).index_add_(1, cell, hit)

    which, at = labels.complete.around(rows, offsets.double(), stop)
    covered = inside(labels.complete.start[at], labels.complete.end[at], which)
    covered = torch.zeros(crops, cells).index_add_(0, which, covered)
    known = (covered >= size)[:, None, :].repeat(1, labels.classes, 1)

    which, event = labels.events.around(rows, offsets.double(), stop)
    hits = inside(labels.events.start[event], labels.events.end[event], which)
    kind, column, touched = labels.kind[event], labels.column[event], hits > 0
    weak = (kind == KINDS["present"]) & labels.untimed[event]
    heard = (kind == KINDS["present"]) & ~weak
    absent = (kind == KINDS["absent"])[:, None] & (hits >= size)
    unsure = ((kind == KINDS["uncertain"]) | weak)[:, None] & touched
    of_all = (column < 0)[:, None]
    # As in `EventLabels.at`: a class before all, doubt before absence, presence before both.
    known |= _any(which, absent & of_all, crops)[:, None, :]
    known &= ~_any(which, unsure & of_all, crops)[:, None, :]
    pair, pairs = which * labels.classes + column.clamp(min=0), crops * labels.classes
    known |= _any(pair, absent & ~of_all, pairs).view_as(known)
    known &= ~_any(pair, unsure & ~of_all, pairs).view_as(known)
    present = _any(pair, heard[:, None] & touched, pairs).view_as(known)
    return FrameTargets(present.float(), known | present, labels.timed[rows])


def _any(index: Tensor, found: Tensor, count: int) -> Tensor:
    """Whether any of the rows (J, C) of each index is true: (count, C)."""
    return torch.zeros(count, found.shape[1]).index_add_(0, index, found.float()) > 0


def mixed(
    frames: FrameTargets, others: FrameTargets, lam: Tensor, how: LabelMix = "max"
) -> FrameTargets:
    """Of sounds mixed at weights lam (B,) and 1 - lam, as `mix_labels`; at lam = 1 as they were."""
    present = mix_labels(frames.present.flatten(1), others.present.flatten(1), lam, how)
    alone = lam == 1
    return FrameTargets(
        present.view_as(frames.present),
        frames.known & (others.known | alone[:, None, None]),
        frames.timed | (others.timed & ~alone),
    )


def frames_loss(logits: Tensor, frames: FrameTargets) -> Tensor:
    """Binary cross-entropy of framewise logits (B, K, C), over all moments of the batch, of which
    those that do not count are 0: so a moment weighs the same in each batch and each crop."""
    terms = binary_cross_entropy_with_logits(logits.float(), frames.present, reduction="none")
    counts = frames.known & frames.timed[:, None, None]
    return torch.where(counts, terms, 0.0).mean()
