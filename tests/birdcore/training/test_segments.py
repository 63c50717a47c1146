"""What a model learns of soundscapes: segments that a teacher labelled."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from birdcore.annotations.annotation import Annotation, Kind
from birdcore.config.training import AnnotatedCrops, LabelSelection
from birdcore.features.mel import MelSpec
from birdcore.features.recordings import Recordings
from birdcore.features.scale import Scale
from birdcore.sources.annotated import annotated_recordings
from birdcore.training.event_labels import EventLabels, event_labels
from birdcore.training.segments import read_segments, with_annotations

CROP_S = 5.0
SPEC = MelSpec(n_mels=4)


def recordings(lengths: Sequence[int]) -> Recordings:
    starts = torch.tensor([0, *lengths]).cumsum(0)
    return Recordings(
        tuple(f"r{i}" for i in range(len(lengths))),
        torch.zeros(int(starts[-1]), SPEC.n_mels, dtype=torch.uint8),
        starts[:-1],
        torch.tensor(list(lengths)),
        SPEC,
        Scale(),
    )


def segment_table(path: Path, rows: Sequence[tuple[str, float, list[float], bool]]) -> Path:
    pd.DataFrame(
        {
            "recording": [r for r, *_ in rows],
            "start": [start for _, start, *_ in rows],
            "end": [start + CROP_S for _, start, *_ in rows],
            "probabilities": [np.array(p, np.float32) for _, _, p, _ in rows],
            "labels": [np.array(p, np.float32) ** 2 for _, _, p, _ in rows],
            "mask": [np.array(p) >= 0.5 for _, _, p, _ in rows],
            "kept": [kept for *_, kept in rows],
        }
    ).to_parquet(path)
    return path


def test_segments_are_where_the_teacher_heard_them(tmp_path: Path) -> None:
    soundscapes = recordings([1_000, 700])
    paths = [
        segment_table(tmp_path / "0", [("r1", 2.5, [0.4, 0.9], True), ("r1", 5, [0, 0], False)]),
        segment_table(tmp_path / "1", [("r0", 0.0, [0.6, 0.2], True)]),
    ]
    segments = read_segments(soundscapes, paths, CROP_S)
    assert segments.rows.tolist() == [0, 1]
    assert segments.offsets.tolist() == [0, 156]  # 2.5 s at 62.5 frames a second
    np.testing.assert_allclose(segments.labels, np.array([[0.6, 0.2], [0.4, 0.9]]) ** 2, atol=1e-6)
    assert segments.mask.tolist() == [[True, False], [False, True]]


def test_a_crop_has_the_surest_of_the_segments_that_lie_in_it(tmp_path: Path) -> None:
    path = segment_table(
        tmp_path / "labels",
        [
            ("r0", 0.0, [0.9, 0.1], True),
            ("r0", 5.0, [0.2, 0.7], True),
            ("r0", 10.0, [0.8, 0.8], False),  # not kept
            ("r0", 15.0, [0.4, 0.3], True),
        ],
    )
    segments = read_segments(recordings([1_251]), [path], 10.0)  # 20 s
    assert segments.offsets.tolist() == [0, 312, 625]  # the last crop ends with the soundscape
    expected = np.array([[0.9, 0.7], [0.2, 0.7], [0.4, 0.3]]) ** 2
    np.testing.assert_allclose(segments.labels, expected, atol=1e-6)


def test_labels_are_stretched_then_the_best_kept_then_capped(tmp_path: Path) -> None:
    rows = [("r0", 5.0 * at, p, True) for at, p in enumerate([[0.1, 0.0], [0.5, 0.2], [0.3, 0.4]])]
    path = segment_table(tmp_path / "labels", rows)
    settings = LabelSelection(minmax=True, keep_fraction=0.67, max_label_sum=1.1)
    segments = read_segments(recordings([1_251]), [path], CROP_S, settings)
    stretched = np.array([[1.0, 0.25], [0.08 / 0.24, 1.0]])  # of squares; the first is left out
    capped = stretched * 1.1 / stretched.sum(axis=1, keepdims=True)
    assert segments.offsets.tolist() == [312, 625]
    np.testing.assert_allclose(segments.labels, capped, atol=1e-6)
    as_it_is = LabelSelection()
    plain, same = (read_segments(recordings([1_251]), [path], CROP_S, s) for s in (None, as_it_is))
    assert torch.equal(plain.labels, same.labels)


def test_soundscapes_that_are_left_out_count_where_labels_are_stretched(tmp_path: Path) -> None:
    rows = [("r0", 0.0, [0.1], True), ("r1", 0.0, [0.9], True), ("r1", 5.0, [0.5], True)]
    path = segment_table(tmp_path / "labels", rows)
    settings = LabelSelection(minmax=True)
    both = recordings([1_251, 1_251])
    segments = read_segments(both, [path], CROP_S, settings, left_out=["r0"])
    assert segments.rows.tolist() == [1, 1]
    np.testing.assert_allclose(segments.labels[:, 0], [1.0, 0.24 / 0.8], atol=1e-6)


def test_the_last_segment_ends_with_its_soundscape(tmp_path: Path) -> None:
    for frames in (3_751, 3_752, 3_753, 3_754):
        seconds = (frames - 1) / SPEC.frame_rate
        path = segment_table(tmp_path / "x", [("r0", seconds - 5, [0.6], True)])
        segments = read_segments(recordings([frames]), [path], CROP_S)
        end = int(segments.offsets[0]) + SPEC.fixed_length(5.0)
        assert frames - 1 <= end <= frames


def test_soundscapes_are_drawn_by_their_certainty_and_their_segments_alike(
    tmp_path: Path,
) -> None:
    path = segment_table(
        tmp_path / "labels",
        [
            ("r0", 0.0, [0.9, 0.1], True),  # r0: maxima .9 and .7, together 1.6
            ("r0", 2.5, [0.2, 0.7], True),
            ("r0", 5.0, [0.1, 0.1], True),
            ("r0", 7.5, [0.9, 0.9], False),
            ("r2", 0.0, [0.1, 0.3], True),  # r2: .4
        ],
    )
    segments = read_segments(recordings([1_000, 1_000, 1_000]), [path], CROP_S)
    drawn = segments.draw(40_000, torch.Generator().manual_seed(0)).bincount() / 40_000
    np.testing.assert_allclose(drawn, [1.6 / 6, 1.6 / 6, 1.6 / 6, 0.2], atol=0.01)


def test_a_teacher_that_is_sure_of_nothing_is_refused(tmp_path: Path) -> None:
    path = segment_table(tmp_path / "labels", [("r0", 0.0, [0.1], False)])
    with pytest.raises(ValueError, match=r"round\.label\.threshold"):
        read_segments(recordings([1_000]), [path], CROP_S)


def test_all_that_is_held_out_is_refused_as_such(tmp_path: Path) -> None:
    path = segment_table(tmp_path / "labels", [("r0", 0.0, [0.1], True)])
    with pytest.raises(ValueError, match="held out from this model"):
        read_segments(recordings([1_000]), [path], CROP_S, left_out=["r0"])


def said(*rows: tuple[float, float, str, Kind], complete: Sequence[float] = ()) -> EventLabels:
    """What people say of r1, the first of two other recordings in which it is."""
    events = [Annotation("r1", a, b, None, None, label, kind, "") for a, b, label, kind in rows]
    stretches = [("r1", start_s, start_s + 5) for start_s in complete]
    tables = annotated_recordings(events, stretches, [])
    return event_labels(
        ["r1", "x"], torch.tensor([1_251, 9]), SPEC.frame_rate, tables, "ab", AnnotatedCrops()
    )


def test_people_go_before_the_teacher_class_by_class(tmp_path: Path) -> None:
    rows = [("r1", 5.0 * at, [0.9, 0.6], True) for at in range(4)]
    path = segment_table(tmp_path / "labels", [("r0", 0.0, [0.9, 0.6], True), *rows])
    taught = read_segments(recordings([1_251, 1_251]), [path], CROP_S)
    where = torch.tensor([-1, 0])
    people = said(
        (0, 5, "a", "absent"), (6, 9, "b", "absent"), (11, 12, "b", "present"), complete=(15,)
    )
    found = with_annotations(taught, where, people, CROP_S)
    assert found.offsets.tolist() == [0, 0, 312, 625]  # of the last one nothing is the teacher's
    np.testing.assert_allclose(
        found.labels, [[0.81, 0.36], [0, 0.36], [0.81, 0], [0.81, 1]], atol=1e-6
    )
    assert found.mask.tolist() == [[True, True], [True, True], [True, False], [True, True]]
    assert torch.equal(found.weights, taught.weights[:4])
    untouched = with_annotations(taught, torch.tensor([-1, -1]), people, CROP_S)
    assert torch.equal(untouched.labels, taught.labels)
    whole = said(complete=(0, 5, 10, 15))
    only = with_annotations(taught, where, whole, CROP_S)
    assert only.rows.tolist() == [0]
    with pytest.raises(ValueError, match=r"nothing is left .*label\.unannotated"):
        with_annotations(only, torch.tensor([0, -1]), whole, CROP_S)
