"""Segments of annotated recordings that other crops are mixed with, as with a teacher's chunks.

Labelled soundscapes are few, and the only labels from where the test recordings are from. Mixed
into clips, they bring the sound of the place to each class, with labels that no teacher guessed.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from birdcore.features.recordings import Recordings
from birdcore.training.annotated import AnnotatedSegments
from birdcore.training.data import CropSampling
from birdcore.training.frames import FrameTargets, rendered, untimed
from birdcore.training.segments import Segments, draw_same_class


class Chunks(NamedTuple):
    """What B crops are mixed with.

    power: (B, M, T), or T + 1 with the floor.
    labels, mask: (B, K), and which of the labels count.
    found: (B,), whether there is one.
    frames: what is known of their moments, where frames train.
    """

    power: Tensor
    labels: Tensor
    mask: Tensor
    found: Tensor
    frames: FrameTargets | None

    def where(self, chosen: Tensor, others: "Chunks") -> "Chunks":
        """Others where chosen (B,), these elsewhere."""
        pick = chosen[:, None]
        frames = None
        if self.frames is not None and others.frames is not None:
            frames = self.frames.where(chosen, others.frames)
        return Chunks(
            torch.where(pick[:, :, None].to(self.power.device), others.power, self.power),
            torch.where(pick, others.labels, self.labels),
            torch.where(pick, others.mask, self.mask),
            torch.where(chosen, others.found, self.found),
            frames,
        )


@dataclass(frozen=True)
class Companions:
    """N segments of annotated recordings that may be mixed with: none that is held out.

    Attributes:
        clips: the recordings.
        annotated: all segments.
        segments: numbers of the N among these.
        labels: what is heard in each (N, K).
    """

    clips: Recordings
    annotated: AnnotatedSegments
    segments: Tensor
    labels: Tensor

    @property
    def rows(self) -> Tensor:
        """The recording of each (N,)."""
        return self.annotated.rows[self.segments]

    def draw(self, labels: Tensor, crops: CropSampling, rng: Generator, *, same: bool) -> Chunks:
        """A crop around a random segment, for each of a batch with these labels (B, K); `same`: one
        with the class of the clip."""
        count = len(labels)
        if same:
            weights = torch.ones(len(self.segments), dtype=torch.float64)
            drawn, found = draw_same_class(self.labels, weights, labels, rng)
        else:
            drawn = torch.randint(len(self.segments), (count,), generator=rng)
            found = torch.ones(count, dtype=torch.bool)
        segments = self.segments[drawn]
        rows, offsets = self.annotated.rows[segments], self.annotated.draw(segments, rng)
        events = self.annotated.labels
        of_crop, known = events.at(rows, offsets, torch.full_like(rows, crops.frames))
        frames = None
        if crops.cells:
            numbers = torch.arange(crops.frames).expand(count, -1)
            frames = rendered(events, rows, offsets, numbers, crops.cells)
        device = self.clips.device
        power = self.clips.power(
            rows.to(device), offsets.to(device), crops.frames, with_floor=crops.with_floor
        )
        return Chunks(power, of_crop, known, found, frames)


def teachers_chunks(
    segments: Segments, labels: Tensor, crops: CropSampling, rng: Generator, *, same: bool
) -> Chunks:
    """As `Companions.draw`, of segments that a teacher labelled."""
    drawn, found = segments.draw(len(labels), rng), torch.ones(len(labels), dtype=torch.bool)
    if same:
        drawn, found = segments.draw_same(labels, rng)
    of_chunk, mask = segments.labels[drawn], segments.mask[drawn]
    on_device = drawn.to(segments.soundscapes.device)
    power = segments.soundscapes.power(
        segments.rows[on_device],
        segments.offsets[on_device],
        crops.frames,
        with_floor=crops.with_floor,
    )
    frames = untimed(of_chunk, mask, crops.cells) if crops.cells else None
    return Chunks(power, of_chunk, mask, found, frames)
