"""Crops of annotated recordings: their labels are those of the events that they hold."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from birdcore.annotations.annotation import EVERY_CLASS, Annotation
from birdcore.config.training import AnnotatedCrops
from birdcore.features.mel import MelSpec
from birdcore.features.recordings import Recordings
from birdcore.features.scale import Scale
from birdcore.sources.annotated import annotated_recordings
from birdcore.training.annotated import AnnotatedSegments, annotated_segments
from birdcore.training.intervals import united

SPEC = MelSpec(n_mels=4, sample_rate=32_000, hop_length=320)  # 100 frames a second
CLASSES = ("a", "b", "c")
CROP = 500


def clips(*seconds: float) -> Recordings:
    lengths = torch.tensor([round(100 * one) for one in seconds])
    return Recordings(
        tuple(f"r{number}" for number in range(len(seconds))),
        torch.zeros(int(lengths.sum()), 4, dtype=torch.uint8),
        lengths.cumsum(0) - lengths,
        lengths,
        SPEC,
        Scale(dtype="uint8"),
    )


def event(
    start_s: float, end_s: float, label: str, kind: Any = "present", row: int = 0
) -> Annotation:
    return Annotation(f"r{row}", start_s, end_s, None, None, label, kind, "t.txt:2")


def segments(
    recordings: Recordings,
    *events: Annotation,
    complete: tuple[Any, ...] = (),
    crop: int = CROP,
    **shares: Any,
) -> AnnotatedSegments:
    annotated = annotated_recordings(events, complete, [])
    return annotated_segments(recordings, annotated, CLASSES, AnnotatedCrops(**shares), crop)


def at(made: AnnotatedSegments, row: int, start_s: float, seconds: float = 5.0) -> list[str]:
    """A letter for each class of one crop: 1, 0, or ? where it is unknown."""
    labels, known = made.labels.at(
        torch.tensor([row]),
        torch.tensor([round(100 * start_s)]),
        torch.tensor([round(100 * seconds)]),
    )
    return [
        "?" if not k else str(int(v))
        for v, k in zip(labels[0].tolist(), known[0].tolist(), strict=True)
    ]


def judged(made: AnnotatedSegments, row: int, start_s: float, seconds: float = 5.0) -> str:
    """The classes of one crop of which somebody says something."""
    place = ([row], [round(100 * start_s)], [round(100 * seconds)])
    found = made.labels.judged(*map(torch.tensor, place))
    return "".join(name for name, is_judged in zip(CLASSES, found[0], strict=True) if is_judged)


def test_what_is_said_of_a_part_of_a_crop_is_judged_but_need_not_be_known() -> None:
    made = segments(
        clips(60, 60),
        event(10, 13, "a", "absent"),
        event(20, 23, "b", "uncertain"),
        event(30, 33, "c"),
        event(40, 43, EVERY_CLASS, "absent"),
        complete=(("r1", 10, 15),),
    )
    assert [judged(made, 0, start_s) for start_s in (10, 8.9, 8.5)] == ["a", "a", "a"]
    assert judged(made, 0, 5.8) == judged(made, 0, 12.5) == ""  # .8 and .5 s of three
    assert at(made, 0, 10) == ["?", "?", "?"]
    assert (judged(made, 0, 10, 3), at(made, 0, 10, 3)) == ("a", ["0", "?", "?"])
    assert (judged(made, 0, 19), at(made, 0, 19)) == ("b", ["?", "?", "?"])
    assert (judged(made, 0, 29), at(made, 0, 29)) == ("c", ["?", "?", "1"])
    assert judged(made, 0, 38) == "abc"
    assert [judged(made, 1, start_s) for start_s in (10, 6, 5.9)] == ["abc", "abc", ""]


def test_what_any_person_says_is_judged() -> None:
    rows = [replace(event(10, 15, "a", "absent"), annotator="x"),
            replace(event(12, 20, "b", "absent"), annotator="y")]  # fmt: skip
    made = segments(clips(60), *rows)
    assert (judged(made, 0, 10), at(made, 0, 10)) == ("ab", ["0", "?", "?"])


def test_incomplete_recording_knows_only_what_is_named() -> None:
    made = segments(clips(60, 60), event(10, 12, "a", row=1), event(30, 60, "b", "absent", row=1))
    assert at(made, 1, 8) == ["1", "?", "?"]
    assert at(made, 1, 40) == ["?", "0", "?"]
    assert at(made, 1, 27) == ["?", "?", "?"]  # absence of b is known of a part of it only
    assert at(made, 0, 8) == ["?", "?", "?"]


def test_complete_recording_has_no_other_class() -> None:
    made = segments(clips(60), event(10, 12, "a"), complete=(("r0", 0, 1e9),))
    assert at(made, 0, 8) == ["1", "0", "0"]
    assert at(made, 0, 30) == ["0", "0", "0"]


def test_windows_of_2026() -> None:
    # 5 to 10 s is not labelled: of a crop that reaches into it nothing is known but what is heard.
    windows = (("r0", 0.0, 5.0), ("r0", 10.0, 15.0), ("r0", 15.0, 20.0))
    made = segments(
        clips(60), event(0, 5, "a"), event(10, 15, "b"), event(15, 20, "c"), complete=windows
    )
    assert at(made, 0, 0) == ["1", "0", "0"]
    assert at(made, 0, 12.5) == ["0", "1", "1"]
    assert at(made, 0, 2.5) == ["1", "?", "?"]
    assert at(made, 0, 20) == ["?", "?", "?"]
    # A segment for each window, and none twice for what is heard in it.
    assert made.start.tolist() == [0, 1000, 1500]
    assert made.first.tolist() == made.last.tolist() == [0, 1000, 1500]
    assert made.validates.all()


@pytest.mark.parametrize(
    ("start_s", "expected"),
    [
        (9, "1"),
        (10.9, "1"),
        (11.1, "?"),
        (11.9, "?"),
        (12.1, "0"),
        (6, "1"),
        (5.9, "?"),
        (4.9, "0"),
    ],
)
def test_share_of_event(start_s: float, expected: str) -> None:
    made = segments(
        clips(60), event(10, 12, "a"), complete=(("r0", 0, 60),), event_share=0.5, crop_share=0.5
    )
    assert at(made, 0, start_s)[0] == expected


def test_share_of_crop() -> None:
    made = segments(
        clips(60), event(10, 40, "a"), complete=(("r0", 0, 60),), event_share=0.5, crop_share=0.2
    )
    assert [at(made, 0, start)[0] for start in (4.9, 5.5, 6.5, 38.5, 39.5, 41)] == list("0?11?0")


def test_uncertain() -> None:
    everything = event(20, 30, EVERY_CLASS, "uncertain")
    made = segments(
        clips(60),
        event(10, 12, "a", "uncertain"),
        everything,
        event(24, 26, "b"),
        complete=(("r0", 0, 60),),
    )
    assert at(made, 0, 9) == ["?", "0", "0"]
    assert at(made, 0, 23) == ["?", "1", "?"]
    assert at(made, 0, 40) == ["0", "0", "0"]


def test_recording_shorter_than_crop() -> None:
    made = segments(
        clips(2), event(0.5, 1, "a"), event(0, 9, "b", "absent"), complete=(("r0", 0, 2),)
    )
    assert at(made, 0, 0) == ["1", "0", "0"]
    assert made.first.tolist() == made.last.tolist() == [0, 0]


def test_segments_of_long_recording() -> None:
    made = segments(clips(62), event(10, 11, "a"), complete=(("r0", 0, 1e9),))
    pieces = made.start[made.validates]
    assert len(pieces) == 13
    assert pieces[0] == 0
    assert made.end[made.validates].max() == 6200
    (extra,) = (~made.validates).nonzero()[:, 0].tolist()  # the event once more, for training
    assert (made.first[extra], made.last[extra]) == (600, 1000)
    draws = made.draw(torch.full((500,), extra), torch.Generator().manual_seed(0))
    assert draws.min() >= 600
    assert draws.max() <= 1000
    assert len(set(draws.tolist())) > 200


def test_incomplete_events_validate_themselves() -> None:
    made = segments(
        clips(60), event(10, 11, "a"), event(20, 20, "b"), event(30, 31, "c", "uncertain")
    )
    assert made.validates.tolist() == [True, True]
    assert made.end.sub(made.start).tolist() == [100, 1]


def test_click_in_incomplete_recording_says_nothing_of_others() -> None:
    made = segments(clips(60), event(20, 20, "b"), event(30, 30.01, "c", "absent"))
    labels, known = made.labels.at(made.rows, made.start, made.end - made.start)
    assert made.end.sub(made.start).tolist() == [1, 1]
    assert labels.tolist() == [[0, 1, 0], [0, 0, 0]]
    assert known.tolist() == [[False, True, False], [False, False, True]]


def test_events_at_and_behind_the_end() -> None:
    made = segments(
        clips(60, 9),
        event(59, 60, "a"),
        event(60, 60, "b"),
        event(61, 63, "c"),
        complete=(("r0", 0, 60), ("r0", 70, 80)),
    )
    assert at(made, 0, 55) == ["1", "1", "0"]
    assert made.end.max() == 6000
    assert made.first.max() == 5500
    assert len(segments(clips(60), event(61, 63, "c")).rows) == 0


def test_absence_of_all_classes() -> None:
    made = segments(clips(60), event(10, 20, EVERY_CLASS, "absent"), event(22, 23, "c"))
    assert at(made, 0, 12) == ["0", "0", "0"]
    assert at(made, 0, 18) == ["?", "?", "1"]
    assert at(made, 0, 17) == ["?", "?", "?"]


def test_doubt_goes_before_absence() -> None:
    made = segments(clips(60), event(0, 60, "a", "absent"), event(10, 11, "a", "uncertain"))
    assert at(made, 0, 8)[0] == "?"
    assert at(made, 0, 20)[0] == "0"


def of(annotator: str, *events: Annotation) -> list[Annotation]:
    return [replace(each, annotator=annotator) for each in events]


def votes(made: AnnotatedSegments, row: int, start_s: float) -> list[float | None]:
    """What people say together of a crop, None where nobody knows."""
    rows, offsets = torch.tensor([row]), torch.tensor([round(100 * start_s)])
    labels, known = made.labels.at(rows, offsets, torch.tensor([CROP]))
    return [
        round(value, 3) if known else None
        for value, known in zip(labels[0].tolist(), known[0].tolist(), strict=True)
    ]


def three_people(complete: bool) -> AnnotatedSegments:
    """Of 20 s: A and B hear a at 1 s, B and C b at 1 s, C is not sure of a; nobody hears c; B calls
    10 to 15 s noise. Only A and C looked at the second recording, where A hears a at 6 s."""
    events = [
        *of("A", event(1, 3, "a"), event(6, 8, "a", row=1)),
        *of("B", event(1.1, 3, "a"), event(1, 2.9, "b"), event(10, 15, EVERY_CLASS, "absent")),
        *of("C", event(1, 3, "b"), event(1, 3, "a", "uncertain")),
    ]
    looked = [(0, "A"), (0, "B"), (0, "C"), (1, "A"), (1, "C")]
    whole = tuple((f"r{row}", 0.0, np.inf, name) for row, name in looked)
    return segments(clips(20, 20), *events, complete=whole if complete else ())


def test_of_three_people_each_has_a_vote() -> None:
    made = three_people(complete=True)
    assert votes(made, 0, 0) == [1.0, 0.667, 0.0]  # of those who are sure of a, both hear it
    assert votes(made, 0, 10) == [0.0, 0.0, 0.0]
    assert votes(made, 1, 5) == [0.5, 0.0, 0.0]
    assert made.labels.voters.tolist() == [3, 2]


def test_who_leaves_a_class_unnamed_has_no_vote_where_annotations_are_not_complete() -> None:
    made = three_people(complete=False)
    assert votes(made, 0, 0) == [1.0, 1.0, None]
    assert votes(made, 0, 10) == [0.0, 0.0, 0.0]  # B's noise
    assert votes(made, 1, 5) == [1.0, None, None]


def test_segments_of_several_people_are_drawn_once() -> None:
    """Pieces of 5 s of what any of them completed, and events that lie in no piece as a whole."""
    made = three_people(complete=True)
    validating = made.validates
    assert made.rows[validating].tolist() == [0] * 4 + [1] * 4
    assert made.start[validating].tolist() == [0, 500, 1000, 1500] * 2


@pytest.mark.parametrize("shares", [{}, {"event_share": 0.9, "crop_share": 0.9}])
def test_people_who_agree_are_one(shares: dict[str, float]) -> None:
    said = [event(1, 3, "a"), event(8, 9, "b"), event(12, 14, "c", "uncertain")]
    one = segments(clips(20), *said, complete=(("r0", 0.0, np.inf),), **shares)
    both = segments(
        clips(20),
        *of("A", *said),
        *of("B", *said),
        complete=(("r0", 0.0, np.inf, "A"), ("r0", 0.0, np.inf, "B")),
        **shares,
    )
    for start_s in np.arange(0, 15, 0.7):
        assert at(both, 0, start_s) == at(one, 0, start_s)
    assert torch.equal(both.start, one.start)
    assert torch.equal(both.validates, one.validates)


@given(
    st.lists(
        st.tuples(st.sampled_from(["r0", "r1"]), st.integers(0, 9), st.integers(1, 5)), max_size=8
    )
)
def test_united_stretches_cover_the_same_and_do_not_overlap(rows: list[Any]) -> None:
    table = pd.DataFrame(
        [(name, float(start), float(start + size)) for name, start, size in rows],
        columns=["recording", "start_s", "end_s"],
    ).astype({"recording": str, "start_s": float, "end_s": float})

    def seconds(table: pd.DataFrame) -> list[tuple[str, int]]:
        return [
            (name, second)
            for name, start, end in table.itertuples(index=False)
            for second in range(int(start), int(end))
        ]

    got = seconds(united(table))
    assert len(got) == len(set(got))
    assert set(got) == set(seconds(table))


def test_events_at_one_time_are_one_segment() -> None:
    made = segments(clips(60), event(10, 12, "a"), event(10, 12, "b"), event(10, 13, "b"))
    assert made.start.tolist() == [1000, 1000]
    assert made.end.tolist() == [1200, 1300]
    complete = segments(clips(60), event(10, 12, "a"), event(10, 12, "b"), complete=(("r0", 0, 5),))
    assert complete.validates.tolist() == [True, True]


def test_a_night_of_events() -> None:
    starts = np.arange(0, 28_000, 4.0)
    calls = [event(start, start + 1, CLASSES[int(start) % 3]) for start in starts]
    drone = event(0, 28_800, "c", "absent")
    made = segments(clips(28_800), *calls, drone, complete=(("r0", 0, 1e9),))
    assert len(made.rows) == len(calls) + -(-2_880_000 // SPEC.fixed_length(5.0))
    labels, known = made.labels.at(made.rows, made.first, torch.full_like(made.rows, CROP))
    assert known[:, :2].float().mean() > 0.9  # of some calls a crop has less than a half
    assert 1 < labels.sum(dim=1).mean() < 1.8


def test_windows_cover_segment() -> None:
    made = segments(clips(60), event(10, 11, "a"), complete=(("r0", 0, 7),))
    assert made.windows(0, 250).tolist() == [0, 225, 450]
    assert made.windows(1, 250).tolist() == [925]
    assert segments(clips(2), event(0, 1, "a")).windows(0, 500).tolist() == [0]


def test_labels_that_are_no_classes() -> None:
    made = segments(clips(60), event(10, 11, "z"), complete=(("r9", 0, 7),))
    assert len(made.rows) == 0


times = st.tuples(st.integers(0, 90), st.integers(0, 30)).map(
    lambda t: (t[0] / 10, (t[0] + t[1]) / 10)
)


@settings(max_examples=60)
@given(
    events=st.lists(
        st.tuples(
            times,
            st.sampled_from(CLASSES),
            st.sampled_from(["present", "absent", "uncertain"]),
            st.integers(0, 2),
        ),
        max_size=8,
    ),
    crops=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 700)), min_size=1, max_size=5),
    complete=st.sets(st.integers(0, 2)),
)
def test_labels_equal_loop(
    events: list[Any], crops: list[tuple[int, int]], complete: set[int]
) -> None:
    recordings, share, frames = clips(10, 9, 12), 0.5, 300
    made = segments(
        recordings,
        *(event(*span, label, kind, row) for span, label, kind, row in events),
        complete=tuple((f"r{row}", 0.0, 99.0) for row in complete),
        crop=frames,
        event_share=share,
        crop_share=1.0,
    )
    rows, offsets = (torch.tensor(each) for each in zip(*crops, strict=True))
    labels, known = made.labels.at(rows, offsets, torch.full_like(rows, frames))
    for b, (row, offset) in enumerate(crops):
        length = int(recordings.lengths[row])
        for k, label in enumerate(CLASSES):
            said = {"present": 0, "unsure": 0, "absent": 0}
            for (start_s, end_s), of, kind, where in events:
                if (where, of) != (row, label):
                    continue
                if start_s * 100 > length:
                    continue
                start = min(start_s * 100, length - 1)
                end = max(min(end_s * 100, length), start + 1)
                overlap = min(end, offset + frames) - max(start, offset)
                if overlap <= 0:
                    continue
                held = overlap >= share * (end - start) or overlap >= frames
                if kind == "present" and held:
                    said["present"] += 1
                elif kind != "absent":
                    said["unsure"] += 1
                elif overlap >= max(min(frames, length) - 1, min(frames, length) / 2):
                    said["absent"] += 1
            inside = min(length, offset + frames) - offset >= min(frames, length) - 2
            expected_known = bool(said["present"]) or (
                not said["unsure"] and bool(said["absent"] or (row in complete and inside))
            )
            assert bool(known[b, k]) == expected_known
            assert float(labels[b, k]) == float(bool(said["present"]))


def test_tables_keep_their_columns(tmp_path: Any) -> None:
    made = annotated_recordings([event(1, 2, "a")], [("r0", 0.0, 3.0)], [("r0", "site")])
    made.write(tmp_path)
    table = pd.read_parquet(tmp_path / "annotations.parquet")
    assert table["label"].tolist() == ["a"]
    assert np.isnan(table["low_hz"][0])
