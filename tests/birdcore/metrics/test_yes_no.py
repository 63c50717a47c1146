"""The metrics of 2021 and 2022 against scikit-learn's, and the thresholds that they choose."""

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score

from birdcore.metrics.yes_no import balanced_accuracy, best_of, row_f1


@pytest.fixture
def marks() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    return rng.random((200, 6)) < 0.15, rng.random((200, 6)) < 0.2


def test_row_f1_is_scikit_learns_with_nocall_as_a_class(
    marks: tuple[np.ndarray, np.ndarray],
) -> None:
    with_nocall = [np.column_stack([m, ~m.any(axis=1)]).astype(int) for m in marks]
    assert row_f1(*marks) == pytest.approx(f1_score(*with_nocall, average="samples"))


def test_balanced_accuracy_is_scikit_learns_class_by_class(
    marks: tuple[np.ndarray, np.ndarray],
) -> None:
    truth, said = marks
    expected = np.mean([balanced_accuracy_score(truth[:, k], said[:, k]) for k in range(6)])
    assert balanced_accuracy(*marks) == pytest.approx(expected)
    marks[0][:, 0] = False  # a class that is nowhere is not scored
    without = tuple(m[:, 1:] for m in marks)
    assert balanced_accuracy(*marks) == pytest.approx(balanced_accuracy(*without))
    assert np.isnan(balanced_accuracy(np.zeros((3, 2), bool), np.ones((3, 2), bool)))


def test_the_middle_of_the_best_thresholds_is_taken() -> None:
    truth = np.array([[True], [False]])
    for metric in (row_f1, balanced_accuracy):
        assert best_of(metric, truth, np.array([[0.8], [0.2]])) == pytest.approx(0.5, abs=0.011)
        assert best_of(metric, truth, np.array([[0.3], [0.1]])) == pytest.approx(0.2, abs=0.011)


@pytest.mark.parametrize("truth", [np.zeros((0, 2), bool), np.zeros((4, 2), bool)])
def test_where_nothing_is_there_no_threshold_is_told(truth: np.ndarray) -> None:
    for metric in (row_f1, balanced_accuracy):
        assert best_of(metric, truth, np.full(truth.shape, 0.4)) is None
    assert best_of(balanced_accuracy, np.ones((4, 2), bool), np.full((4, 2), 0.4)) is None
