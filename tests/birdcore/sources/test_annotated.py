"""Annotated recordings: their folds."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdcore.annotations.annotation import Annotation
from birdcore.sources.annotated import AnnotatedRecordings, annotated_folds, annotated_recordings
from birdcore.sources.folds import EVERYWHERE


def annotated(labels: dict[str, str], groups: dict[str, str] | None = None) -> AnnotatedRecordings:
    """Recordings with a letter for each class that is heard in them."""
    events = [
        Annotation(name, 0.0, 5.0, None, None, label, "present", "t.csv:2")
        for name, of_one in labels.items()
        for label in of_one
    ]
    return annotated_recordings(
        events, [], [(name, (groups or {}).get(name, name)) for name in labels]
    )


def test_group_stays_together() -> None:
    labels = {f"{site}{hour}": "ab" for site in "stuvw" for hour in range(4)}
    made = annotated(labels, {name: name[0] for name in labels})
    folds = annotated_folds(made, {}, 5, 0)
    by_site = {site: set(folds[[f"{site}{hour}" for hour in range(4)]]) for site in "stuvw"}
    assert sorted(map(tuple, by_site.values())) == [(0,), (1,), (2,), (3,), (4,)]


def test_lonely_class_trains_everywhere() -> None:
    made = annotated({"1": "ab", "2": "a", "3": "ac", "4": ""})
    folds = annotated_folds(made, {"c": 2}, 2, 0)
    assert folds["1"] == EVERYWHERE  # b is heard nowhere else; c is in two clips as well
    assert set(folds[["2", "3", "4"]]) == {0, 1}
    assert folds.index.name == "recording"


def test_class_only_in_one_group_of_several_files() -> None:
    made = annotated(
        {"1": "a", "2": "a", "3": "b", "4": "b"}, {"1": "x", "2": "x", "3": "y", "4": "z"}
    )
    folds = annotated_folds(made, {}, 2, 0)
    assert folds["1"] == folds["2"] == EVERYWHERE
    assert folds["3"] != folds["4"]


def test_labels_are_spread() -> None:
    made = annotated({str(n): "abcd"[n % 4] for n in range(40)})
    folds = annotated_folds(made, {}, 5, 3)
    for k in range(4):
        of_class = folds[[str(n) for n in range(40) if n % 4 == k]]
        assert of_class.value_counts().tolist() == [2, 2, 2, 2, 2]


@given(
    st.lists(st.text("abc", max_size=3), min_size=1, max_size=12),
    st.integers(2, 5),
    st.integers(0, 9),
)
def test_every_recording_has_a_fold(labels: list[str], count: int, seed: int) -> None:
    made = annotated({str(n): "".join(sorted(set(one))) for n, one in enumerate(labels)})
    folds = annotated_folds(made, {}, count, seed)
    assert sorted(folds.index) == sorted(map(str, range(len(labels))))
    assert set(folds) <= set(range(-1, count))
    assert folds.equals(annotated_folds(made, {}, count, seed))
    for label in "abc":
        has = [str(n) for n, one in enumerate(labels) if label in one]
        if len(has) == 1:
            assert folds[has[0]] == EVERYWHERE


@pytest.mark.parametrize("part", ["annotations", "complete", "groups"])
def test_empty_tables_have_columns(part: str, tmp_path: Any) -> None:
    made = annotated_recordings([], [], [])
    made.write(tmp_path)
    assert "recording" in getattr(made, part).columns
