"""Targets of moments: where events are, through all that is done to crops; and companions."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from birdcore.annotations.annotation import EVERY_CLASS, Annotation
from birdcore.config.augment import Mixup, Padding, Shift, Sumix
from birdcore.config.training import AnnotatedCrops, TrainSettings
from birdcore.features.mel import MelSpec
from birdcore.features.recordings import Recordings
from birdcore.features.scale import Scale
from birdcore.sources.annotated import annotated_recordings
from birdcore.training.annotated import AnnotatedSegments, annotated_segments
from birdcore.training.batch import Batch, make_batch
from birdcore.training.companions import Companions
from birdcore.training.data import CropSampling
from birdcore.training.frames import FrameTargets, frames_loss, mixed, rendered, untimed
from birdcore.training.segments import Segments
from birdcore.training.training_set import TrainingSet

SPEC = MelSpec(n_mels=4, sample_rate=32_000, hop_length=320)  # 100 frames a second
CLASSES = ("a", "b", "c")
FRAMES, CELLS = 60, 7
LOUD, QUIET = 120.0, 60.0


def recordings(*lengths: int) -> Recordings:
    """Of so many frames, all quiet."""
    sizes = torch.tensor(lengths)
    codes = torch.full((int(sizes.sum()), 4), QUIET, dtype=torch.float16)
    names = tuple(f"r{row}" for row in range(len(lengths)))
    return Recordings(names, codes, sizes.cumsum(0) - sizes, sizes, SPEC, Scale(dtype="float16"))


def event(start: int, end: int, label: str, kind: Any = "present", row: int = 0) -> Annotation:
    """From and to a frame."""
    return Annotation(f"r{row}", start / 100, end / 100, None, None, label, kind, "t.txt:2")


def annotated(
    clips: Recordings, events: list[Annotation], complete: list[tuple[int, int, int]]
) -> AnnotatedSegments:
    stretches = [(f"r{row}", start / 100, end / 100) for row, start, end in complete]
    tables = annotated_recordings(events, stretches, [])
    return annotated_segments(clips, tables, CLASSES, AnnotatedCrops(), FRAMES)


def test_moments_of_two_people_are_votes() -> None:
    clips = recordings(200)
    mine, yours = event(0, 20, "a"), replace(event(10, 20, "a"), annotator="you")
    unsure = replace(event(40, 60, "b", "uncertain"), annotator="you")
    whole = [("r0", 0.0, 2.0, ""), ("r0", 0.0, 2.0, "you")]
    tables = annotated_recordings([mine, yours, unsure, event(40, 60, "b")], whole, [])
    labels = annotated_segments(clips, tables, CLASSES, AnnotatedCrops(), FRAMES).labels
    got = rendered(labels, torch.tensor([0]), torch.tensor([0]), torch.arange(FRAMES)[None], 6)
    assert got.present[0].tolist() == [
        [0.5, 1, 0, 0, 0, 0],
        [0, 0, 0, 0, 1, 1],  # of those who are sure
        [0] * 6,
    ]
    assert got.known.all()
    assert got.timed.all()


spans = st.tuples(st.integers(0, 150), st.integers(1, 60)).map(lambda s: (s[0], s[0] + s[1]))


@settings(max_examples=80, deadline=None)
@given(
    events=st.lists(
        st.tuples(
            spans,
            st.sampled_from(["a", "b", ""]),
            st.sampled_from(["present", "absent", "uncertain"]),
            st.integers(0, 2),
        ).filter(lambda e: not (e[1] == EVERY_CLASS and e[2] == "present")),
        max_size=7,
    ),
    complete=st.lists(
        st.tuples(st.integers(0, 2), st.sampled_from([(0, 50), (50, 90), (100, 200)]))
    ),
    crops=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 140)), min_size=1, max_size=3),
    order=st.lists(st.integers(-1, FRAMES - 1), min_size=FRAMES, max_size=FRAMES),
    cells=st.integers(1, 9),
)  # fmt: skip
def test_moments_equal_loop(
    events: list[Any], complete: list[Any], crops: list[Any], order: list[int], cells: int
) -> None:
    clips = recordings(200, 100, 40)
    stretches = sorted({(row, *span) for row, span in complete})
    rows = [event(*span, label, kind, row) for span, label, kind, row in events]
    made = annotated(clips, rows, stretches).labels
    # A recording that is shorter than a crop is taken from its beginning.
    crops = [(row, min(at, max(0, int(clips.lengths[row]) - FRAMES))) for row, at in crops]
    row, offset = (torch.tensor(each) for each in zip(*crops, strict=True))
    numbers = torch.tensor(order).expand(len(crops), -1)
    got = rendered(made, row, offset, numbers, cells)
    for b, (of, at) in enumerate(crops):
        length = int(clips.lengths[of])
        whole = [(s, min(e, length)) for r, s, e in stretches if r == of and s <= length]
        own = [(s, min(e, length), k, n) for (s, e), k, n, r in events if r == of and s <= length]
        own = [(min(s, length - 1), max(e, min(s, length - 1) + 1), k, n) for s, e, k, n in own]
        whole = [(min(s, length - 1), max(e, min(s, length - 1) + 1)) for s, e in whole]
        for c in range(cells):
            inside = [t for t in range(FRAMES) if int((t + 0.5) * cells / FRAMES) == c]
            places = [-1 if order[t] < 0 else (at + order[t]) % length for t in inside]
            covered = all(any(s <= p < e for s, e in whole) for p in places)
            for k, label in enumerate(CLASSES):
                known, present = covered, False
                for of_label in (EVERY_CLASS, label):
                    said = [one for one in own if one[2] == of_label]
                    if any(
                        n == "absent" and all(s <= p < e for p in places) for s, e, _, n in said
                    ):
                        known = True
                    for s, e, _, n in said:
                        window = any(abs(e - we) < 2 and s <= ws + 1 for ws, we in whole)
                        if not any(s <= p < e for p in places):
                            continue
                        if n == "uncertain" or (n == "present" and window):
                            known = False
                        present |= n == "present" and not window
                assert bool(got.present[b, k, c]) == present
                assert bool(got.known[b, k, c]) == (known or present)


def test_labels_of_windows_have_no_moments() -> None:
    windows = [(0, 0, 100), (0, 100, 200), (1, 0, 100)]
    rows = [event(0, 100, "a"), event(100, 200, "b"), event(0, 100, "a", row=1)]
    made = annotated(recordings(200, 100), [*rows, event(10, 30, "c", row=1)], windows).labels
    assert made.untimed.tolist() == [True, True, True, False]
    assert made.timed.tolist() == [False, True]
    # The second of windows that overlap is complete from where the first one ends.
    overlapping = [event(0, 100, "a"), event(50, 150, "b")]
    assert annotated(
        recordings(200), overlapping, [(0, 0, 100), (0, 100, 150)]
    ).labels.untimed.tolist() == [True, True]


def training_set(**changes: Any) -> TrainingSet:
    """Two annotated recordings, whose events of class a and b are loud, the second shorter than a
    crop; and a clip of class c."""
    clips = recordings(200, 50, 90)
    clips.codes[70:100] = LOUD
    clips.codes[210:215] = LOUD
    rows = [event(70, 100, "a"), event(10, 15, "b", row=1)]
    made = annotated(clips, rows, [(0, 0, 200), (1, 0, 50)])
    items = torch.arange(len(made.rows)) + 3
    labels = torch.zeros(3 + len(items), 3)
    labels[2, 2] = 1
    train = torch.cat([torch.tensor([2]), items])
    return TrainingSet(clips, labels, train, train[:0], annotated=made, **changes)


def batch_of(data: TrainingSet, items: Tensor, seed: int = 0, **changes: Any) -> Batch:
    crops = CropSampling(FRAMES, cells=CELLS, with_floor=changes.pop("with_floor", False))
    asked = TrainSettings(**{"mixup": Mixup(probability=0.0), **changes})
    return make_batch(data, items, crops, asked, torch.Generator().manual_seed(seed))


def at_cells(of_frames: Tensor) -> Tensor:
    """Whether any frame of each cell is so, (B, T) to (B, C)."""
    cell = ((torch.arange(FRAMES) + 0.5) * CELLS / FRAMES).long()
    hit = torch.zeros(len(of_frames), CELLS).index_add_(1, cell, of_frames.float())
    return hit > 0


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"reverse": 0.5},
        {"shift": Shift(probability=0.8, max_s=0.4)},
        {"padding": Padding(probability=0.8, min_share=0.2)},
        {"padding": Padding(probability=0.8, min_share=0.2, fill="floor"), "with_floor": True},
        {
            "reverse": 0.5,
            "shift": Shift(probability=1.0, max_s=0.4),
            "padding": Padding(probability=0.5, min_share=0.2),
        },
    ],
)
def test_moments_follow_what_is_done_in_time(how: dict[str, Any]) -> None:
    data = training_set()
    items = data.train[1:].repeat(12)
    batch = batch_of(data, items, **how)
    frames, power = batch.frames, batch.power[:, 0, :FRAMES]
    assert frames is not None
    assert frames.timed.all()
    heard = at_cells(power > power.max() / 1000)
    assert torch.equal(frames.present.amax(dim=1) > 0, heard)
    first = data.rows_of(items) == 0
    assert not frames.present[first, 1].any()
    assert not frames.present[~first, 0].any()
    assert not frames.present[:, 2].any()
    quiet = power[power > 0].min()
    if how.get("with_floor"):
        assert not frames.known.all()
    else:
        padded = at_cells(power < quiet / 2)
        assert torch.equal(frames.known[:, 2], ~padded)


def test_mixing_with_each_other() -> None:
    data = training_set()
    items = torch.cat([data.train[:1], data.train[1:2]])  # the clip and a piece of the first
    piece = batch_of(data, items[[1, 1]]).frames
    assert piece is not None
    one = replace(data.annotated, last=data.annotated.first) if data.annotated else None
    data = replace(data, annotated=one)
    plain = batch_of(data, items).frames
    assert plain is not None
    assert plain.timed.tolist() == [False, True]
    for how in ({"mixup": Mixup(probability=1.0, labels="max")}, {"sumix": Sumix(probability=1.0)}):
        both = batch_of(data, items, **how).frames  # type: ignore[arg-type]
        assert both is not None
        assert both.timed.all()
        assert torch.equal(both.present[0], both.present[1])
        assert torch.equal(both.present[0], plain.present[1])
        assert not both.known[:, 2].any()  # the clip has class c, nobody knows when
        assert torch.equal(both.known[0, :2], plain.known[1, :2])
    soft = batch_of(data, items, mixup=Mixup(probability=1.0, weight=0.25, labels="soft")).frames
    assert soft is not None
    assert torch.equal(soft.present[1], 0.25 * plain.present[1])
    apart = batch_of(data, items, mixup=Mixup(probability=1.0, labels="losses"))
    assert apart.mixed is not None
    assert apart.mixed.frames is not None
    assert torch.equal(apart.mixed.frames.present[0], plain.present[1])
    assert torch.equal(apart.mixed.frames.timed, plain.timed.flip(0))


def taught(data: TrainingSet) -> TrainingSet:
    """With a soundscape in which a teacher hears class c, and is not sure of b."""
    segments = Segments(
        recordings(90),
        torch.tensor([0]),
        torch.tensor([0]),
        torch.tensor([[0.01, 0.3, 0.9]]),
        torch.tensor([[True, True, True]]),
        torch.tensor([1.0], dtype=torch.double),
    )
    return replace(data, segments=segments)


def test_mixing_with_a_teachers_chunk() -> None:
    data = taught(training_set())
    items = data.train[1:2].repeat(20)
    batch = batch_of(data, items, mix_share=0.5)
    frames = batch.frames
    assert frames is not None
    chunk = batch.labels[:, 2] > 0.5
    assert 0 < chunk.sum() < 20
    assert frames.known[:, 0].all()
    assert torch.equal(frames.known[:, 1:].any(dim=(1, 2)), ~chunk)
    replaced = batch_of(data, items, mix_share=0.5, mix_as="replace").frames
    assert replaced is not None
    assert torch.equal(replaced.timed, ~chunk)
    assert not replaced.present[chunk].any()


def companions(data: TrainingSet, rows: list[int]) -> Companions:
    assert data.annotated is not None
    numbers = torch.isin(data.annotated.rows, torch.tensor(rows)).nonzero()[:, 0]
    labels, _ = data.annotated.labels.at(
        data.annotated.rows[numbers],
        data.annotated.start[numbers],
        (data.annotated.end - data.annotated.start)[numbers],
    )
    return Companions(data.clips, data.annotated, numbers, labels)


@pytest.mark.parametrize("teacher", [False, True])
def test_companions(teacher: bool) -> None:
    data = taught(training_set()) if teacher else training_set()
    data = replace(data, companions=companions(data, [1]))
    items = torch.full((400,), 2)
    asked = {"mix_share": 0.8, "annotated": AnnotatedCrops(mix=0.5), "match_power": False}
    power, labels, mask, _, frames, _ = batch_of(data, items, **asked)
    assert mask is not None
    assert frames is not None
    of_companion = labels[:, 1] == 1
    assert 130 < of_companion.sum() < 190
    assert torch.equal(of_companion, (power > power.max() / 4).any(dim=2).any(dim=1))
    assert (labels[:, 2] == 1).all()
    assert mask[of_companion].all()
    assert torch.equal(frames.timed, of_companion)
    assert frames.present[of_companion, 1].any(dim=1).all()
    if teacher:
        assert 130 < (labels[:, 1] == 0.3).sum() < 190
    else:
        assert (labels[~of_companion, 1] == 0).all()


def test_companions_of_the_same_class() -> None:
    data = training_set()
    data = replace(data, companions=companions(data, [0, 1]))
    data.labels[2] = torch.tensor([0.0, 1.0, 0.0])
    asked = {"mix_as": "replace-same", "annotated": AnnotatedCrops(mix=1.0)}
    batch = batch_of(data, torch.full((50,), 2), **asked)
    assert (batch.labels[:, 1] == 1).all()
    assert batch.frames is not None
    assert batch.frames.present[:, 1].any(dim=1).all()
    data.labels[2] = torch.tensor([0.0, 0.0, 1.0])  # which no companion has
    assert torch.equal(batch_of(data, torch.full((50,), 2), **asked).labels[:, 2], torch.ones(50))


def test_loss_counts_known_moments_of_timed_crops() -> None:
    logits = torch.zeros(2, 3, CELLS, requires_grad=True)
    frames = FrameTargets(
        torch.ones(2, 3, CELLS), torch.ones(2, 3, CELLS).bool(), torch.tensor([True, False])
    )
    frames.known[0, 0] = False
    loss = frames_loss(logits, frames)
    assert loss.item() == pytest.approx(0.6931 * 2 / 6, abs=1e-4)
    loss.backward()
    assert logits.grad is not None
    assert torch.equal(logits.grad != 0, frames.known & frames.timed[:, None, None])


def test_a_mix_of_one_is_what_it_was() -> None:
    labels = torch.tensor([[0.0, 1.0], [0.05, 0.5]])
    frames = untimed(labels, torch.tensor([[True, True], [False, True]]), 3)
    assert frames.known[:, :, 0].tolist() == [[True, False], [False, False]]
    same = mixed(frames, frames.at(torch.tensor([1, 0])), torch.ones(2))
    assert all(torch.equal(a, b) for a, b in zip(frames, same, strict=True))
