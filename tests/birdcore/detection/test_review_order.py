from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdcore.detection.read import read_detections
from birdcore.detection.review_order import Clip, check_order, clips_in_order


def frame(confidences: Mapping[str, Sequence[float]]) -> pd.DataFrame:
    rows = [
        {
            "file": "a.wav", "start_s": 3.0 * n, "end_s": 3.0 * n + 3, "class": code,
            "scientific_name": code, "common_name": code.upper(), "confidence": confidence,
        }
        for code, values in confidences.items()
        for n, confidence in enumerate(values)
    ]  # fmt: skip
    return pd.DataFrame(rows).astype({"class": "category", "file": "category"})


FOUND = frame({"common": [0.9, 0.51, 0.3, 0.55, 0.7], "rare": [0.95, 0.4], "sole": [0.8]})


def said(clips: Sequence[Clip]) -> list[tuple[str, float]]:
    return [(clip.code, clip.confidence) for clip in clips]


def test_uncertain_ones_are_near_a_half() -> None:
    assert said(clips_in_order(FOUND, "uncertain", 5, 0)) == [
        ("common", 0.51), ("rare", 0.4), ("sole", 0.8), ("common", 0.55), ("rare", 0.95)
    ]  # fmt: skip


def test_the_surest_of_rare_species_come_first() -> None:
    assert said(clips_in_order(FOUND, "rare", 5, 0)) == [
        ("sole", 0.8), ("rare", 0.95), ("common", 0.9), ("rare", 0.4), ("common", 0.7)
    ]  # fmt: skip


def test_bands_take_turns_and_the_seed_decides_within() -> None:
    many = frame({"x": [0.31, 0.32, 0.33, 0.61, 0.62, 0.63, 0.64, 0.99]})
    chosen = [said(clips_in_order(many, "balanced", 6, seed)) for seed in range(8)]
    assert len({tuple(each) for each in chosen}) > 1
    for each in chosen:
        assert [int(confidence * 10) for _, confidence in each] == [9, 6, 3, 6, 3, 6]
    assert chosen[0] == said(clips_in_order(many, "balanced", 6, 0))


@given(
    st.dictionaries(
        st.sampled_from("abcdef"), st.lists(st.floats(0, 1), min_size=1, max_size=9), min_size=1
    ),
    st.sampled_from(["uncertain", "rare", "balanced"]),
    st.integers(1, 60),
)
def test_each_detection_comes_once_and_species_take_turns(
    confidences: dict[str, list[float]], how: Any, most: int
) -> None:
    clips = clips_in_order(frame(confidences), how, most, 0)
    assert len({clip.id for clip in clips}) == len(clips)
    assert len(clips) == min(most, sum(map(len, confidences.values())))
    first = clips[: len(confidences)]
    assert len({clip.code for clip in first}) == len(first)


def test_an_id_does_not_depend_on_the_order_or_the_form_of_the_table(detected: Any) -> None:
    out = detected({"=x.wav": [(1, 2, 0, 0.5), (3, 4.00004, 2, 0.4)]}, rtypes=("parquet", "csv"))
    ids = [
        {clip.id for clip in clips_in_order(read_detections(out / name), how, 9, 0)}
        for name in ("detections.parquet", "detections.csv")
        for how in ("rare", "balanced")
    ]
    assert all(each == ids[0] for each in ids)
    assert len(ids[0]) == 2


def test_another_order_is_refused() -> None:
    with pytest.raises(ValueError, match="--choose is uncertain, rare, balanced, not 'best'"):
        check_order("best")
