"""Precision, recall and F1 against scikit-learn, thresholds against trying each."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import precision_recall_fscore_support

from birdcore.metrics import best_thresholds
from birdcore.metrics.decisions import Counts, count_rows, rates, resampled_counts


def test_rates_equal_sklearn(rng: np.random.Generator) -> None:
    scores = rng.random((200, 6)).round(2)
    scores[:, 5] *= 0.3
    truth = rng.random(scores.shape) < np.array([0.5, 0.2, 0.05, 1, 0, 0.3])
    limits = np.array([0.5, 0.31, 0.9, 0.2, 0.7, 0.4])  # a score of .31 is predicted
    group = rng.integers(9, size=200)
    counts = count_rows(truth, scores, limits, group)
    ours = rates(*(part.sum(axis=0) for part in (counts.hits, counts.false, counts.missed)))
    expected = precision_recall_fscore_support(truth, scores >= limits, zero_division=np.nan)
    for one, reference in zip(ours, expected[:3], strict=True):
        np.testing.assert_allclose(one, reference, atol=1e-12)
    assert np.isnan(ours.precision[5])
    assert np.isnan(ours.recall[4])
    for at in range(9):
        rows = group == at
        np.testing.assert_array_equal(counts.hits[at], (truth & (scores >= limits))[rows].sum(0))


def test_counts_of_a_draw_are_those_of_its_recordings() -> None:
    counts = Counts(np.array([[1, 2], [3, 4]]), np.eye(2), np.zeros((2, 2)))
    drawn = resampled_counts(counts, np.array([[1.0, 2], [1, 0]]))
    np.testing.assert_array_equal(drawn.hits, [[4, 6], [2, 4]])
    np.testing.assert_array_equal(drawn.false, [[1, 1], [2, 0]])


@settings(deadline=None)
@given(
    truth=arrays(np.bool_, 12, elements=st.booleans()),
    scores=arrays(np.int64, 12, elements=st.integers(0, 6)),
)
def test_best_threshold_is_the_best_of_all(truth: np.ndarray, scores: np.ndarray) -> None:
    (best,) = best_thresholds(truth[:, None], scores[:, None] / 7)
    if not truth.any():
        assert np.isnan(best)
        return
    said = {one: scores / 7 >= one for one in np.unique(scores) / 7}
    found = {
        one: 2 * (truth & kept).sum() / (truth.sum() + kept.sum()) for one, kept in said.items()
    }
    highest = max(found.values())
    assert best == max(one for one, f1 in found.items() if f1 == pytest.approx(highest))


def test_a_class_without_a_threshold_is_never_predicted() -> None:
    counts = count_rows([[1, 1]], [[0.9, 0.9]], [0.5, np.nan], np.zeros(1, np.intp))
    np.testing.assert_array_equal(counts.hits, [[1, 0]])
    np.testing.assert_array_equal(counts.missed, [[0, 1]])


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
