"""What was heard, written and read, and its mean over any crop."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from birdcore.teachers.external_teacher import Credit
from birdcore.teachers.outputs import (
    TeacherInfo,
    TeacherOutputs,
    read_outputs,
    read_teacher_info,
    write_outputs,
)

CREDIT = Credit("Merlin", "a wizard", "CC BY-NC 4.0", "https://example.org", "Merlin (537)")
ABOUT = TeacherInfo(3.0, ("Parus major", "Turdus merula"), CREDIT)
WIDTH = 5


def write(path: Path, starts_of: Mapping[str, list[float]], about: TeacherInfo = ABOUT) -> Path:
    """Random embeddings, and probabilities that are a tenth of the start and one minus that."""
    names = [name for name, starts in starts_of.items() for _ in starts]
    starts = np.array([s for starts in starts_of.values() for s in starts], np.float64)
    embeddings = np.random.default_rng(0).random((len(names), WIDTH)).astype(np.float16)
    p = np.stack([starts / 10, 1 - starts / 10], axis=1)[:, : len(about.species)]
    write_outputs(path, about, names, starts, embeddings, p.astype(np.float16))
    return path


def test_windows_come_back_by_recording_and_time_from_several_files(tmp_path: Path) -> None:
    paths = [
        write(tmp_path / "one.parquet", {"b": [0.0, 1.5], "left out": [0.0]}),
        write(tmp_path / "two.parquet", {"c": [], "a": [3.0, 0.0, 1.0]}),
    ]
    heard = read_outputs(paths, ["a", "b"])
    assert heard.info == read_teacher_info(paths[0]) == ABOUT
    assert heard.first.tolist() == [0, 3]
    assert heard.count.tolist() == [3, 2]
    assert heard.starts.tolist() == [0.0, 1.0, 3.0, 0.0, 1.5]
    np.testing.assert_allclose(heard.probabilities[:, 0], heard.starts / 10, atol=1e-3)
    of_three = np.random.default_rng(0).random((3, WIDTH)).astype(np.float16)
    np.testing.assert_array_equal(heard.embeddings[:3], of_three[[1, 2, 0]])
    np.testing.assert_array_equal(heard.embeddings[3:], of_three[:2])


def test_without_species_there_are_embeddings_alone(tmp_path: Path) -> None:
    path = write(tmp_path / "heard.parquet", {"a": [0.0, 1.0]}, replace(ABOUT, species=()))
    heard = read_outputs([path], ["a"])
    assert heard.embeddings.shape == (2, WIDTH)
    assert heard.probability(torch.tensor([0]), torch.zeros(1), 5.0).shape == (1, 0)


def test_what_was_not_heard_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "heard.parquet", {"a": [0.0]})
    with pytest.raises(ValueError, match="no outputs of the external teacher for b"):
        read_outputs([path], ["a", "b"])


@pytest.mark.parametrize(
    "other",
    [replace(ABOUT, species=("Parus major",)), replace(ABOUT, credit=replace(CREDIT, name="M2"))],
)
def test_files_of_other_teachers_or_species_do_not_mix(tmp_path: Path, other: TeacherInfo) -> None:
    one = write(tmp_path / "one.parquet", {"a": [0.0]})
    two = write(tmp_path / "two.parquet", {"b": [0.0]}, other)
    with pytest.raises(ValueError, match="different teachers"):
        read_outputs([one, two], ["a", "b"])


def heard_of(starts_of: list[list[float]]) -> TeacherOutputs:
    count = torch.tensor([len(starts) for starts in starts_of])
    starts = torch.tensor([s for starts in starts_of for s in starts], dtype=torch.float64)
    values = torch.from_numpy(np.random.default_rng(1).random((len(starts), WIDTH)))
    return TeacherOutputs(
        ABOUT, count.cumsum(0) - count, count, starts, values.half(), values[:, :2].half()
    )


CROPS: dict[str, Any] = {
    "windows": st.lists(st.integers(1, 9), min_size=1, max_size=3),
    "crops": st.lists(st.tuples(st.integers(0, 2), st.floats(0, 1)), min_size=1, max_size=5),
    "hop": st.floats(0.5, 3.0),
}


def crops_of(
    windows: list[int], crops: list[tuple[int, float]], hop: float
) -> tuple[list[list[float]], Tensor, Tensor]:
    """Starts of the recordings' windows; recordings and beginnings of crops."""
    starts_of = [[hop * i for i in range(n)] for n in windows]
    rows = torch.tensor([row % len(windows) for row, _ in crops])
    begin = torch.tensor([share * starts_of[row % len(windows)][-1] for row, share in crops])
    return starts_of, rows, begin


@given(seconds=st.floats(0.5, 30.0), **CROPS)
def test_a_segment_has_the_mean_of_the_windows_over_it_by_how_long_they_are(
    windows: list[int], crops: list[tuple[int, float]], hop: float, seconds: float
) -> None:
    starts_of, rows, begin = crops_of(windows, crops, hop)
    heard = heard_of(starts_of)
    found = heard.probability(rows, begin, seconds)
    for row, at, mean in zip(rows.tolist(), begin.double().tolist(), found, strict=True):
        starts = np.array(starts_of[row])
        shared = np.minimum(starts + 3.0, at + seconds) - np.maximum(starts, at)
        own = heard.probabilities[int(heard.first[row]) :][: len(starts)].numpy()
        expected = np.average(own.astype(float), axis=0, weights=shared.clip(min=0))
        np.testing.assert_allclose(mean, expected, rtol=1e-4, atol=1e-5)
    if seconds > 3.1:  # so has a crop that is longer than a window
        np.testing.assert_allclose(heard.embedding(rows, begin, seconds)[:, :2], found, atol=1e-6)


@given(seconds=st.floats(0.5, 3.0), **CROPS)
def test_a_short_crop_is_between_the_two_windows_around_its_middle(
    windows: list[int], crops: list[tuple[int, float]], hop: float, seconds: float
) -> None:
    starts_of, rows, begin = crops_of(windows, crops, hop)
    heard = heard_of(starts_of)
    found = heard.embedding(rows, begin, seconds)
    for row, at, one in zip(rows.tolist(), begin.double().tolist(), found, strict=True):
        middles = np.array(starts_of[row]) + 1.5
        own = heard.embeddings[int(heard.first[row]) :][: len(middles)].float().numpy()
        expected = [np.interp(at + seconds / 2, middles, column) for column in own.T]
        np.testing.assert_allclose(one, expected, rtol=1e-4, atol=1e-5)
    labels = heard.crop_probability(rows, begin, seconds)
    np.testing.assert_allclose(labels, found[:, :2], atol=1e-6)


def test_a_crop_at_a_window_is_that_window_however_many_overlap_it() -> None:
    heard = heard_of([[0.0, 0.5, 1.0, 1.5], [0.0]])
    rows, begin = torch.tensor([0, 0, 1]), torch.tensor([0.5, 1.5, 0.0])
    assert torch.equal(heard.embedding(rows, begin, 3.0), heard.embeddings[[1, 3, 4]].float())


def test_segments_of_several_lengths_are_each_as_by_itself() -> None:
    heard = heard_of([[0.0, 1.5, 3.0, 4.5]])
    rows, begin = torch.zeros(3, dtype=torch.long), torch.tensor([0.0, 1.0, 2.0])
    seconds = torch.tensor([2.0, 5.0, 3.0])
    together = heard.probability(rows, begin, seconds)
    for at in range(3):
        alone = heard.probability(rows[at : at + 1], begin[at : at + 1], float(seconds[at]))
        np.testing.assert_allclose(together[at], alone[0], rtol=1e-6)


def test_a_crop_beyond_the_last_window_has_the_last() -> None:
    heard = heard_of([[0.0, 1.5], [0.0]])
    late = heard.embedding(torch.tensor([0, 1]), torch.tensor([99.0, 99.0]), 5.0)
    np.testing.assert_allclose(late, heard.embeddings[[1, 2]].float(), rtol=1e-6)
