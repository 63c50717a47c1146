"""Which ensemble is taken: figures against scikit-learn's, and how often chance is believed."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from birdcore.inference.ensemble import Evaluation, choose_candidate, evaluate, resampled_auc


def drawn(rows: int, classes: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truth, scores with ties, and how often each row is there."""
    rng = np.random.default_rng(seed)
    truth = rng.random((rows, classes)) < 0.3
    scores = np.round(truth + rng.normal(size=truth.shape), 1)
    return truth, scores, rng.integers(0, 4, (5, rows))


@pytest.mark.parametrize("rows", [3, 12, 50])
def test_the_auc_of_a_draw_is_that_of_its_rows(rows: int) -> None:
    truth, scores, times = drawn(rows, 4, rows)
    for got, often in zip(resampled_auc(truth, scores, times), times, strict=True):
        at = np.repeat(np.arange(rows), often)
        by_class = [
            roc_auc_score(truth[at, k], scores[at, k])
            for k in range(4)
            if 0 < truth[at, k].sum() < len(at)
        ]
        assert got == pytest.approx(np.mean(by_class) if by_class else np.nan, nan_ok=True)


def test_a_gain_is_paired_and_its_error_is_of_the_pairs() -> None:
    truth, scores, _ = drawn(400, 4, 0)
    other = scores + 1e-3 * np.random.default_rng(1).normal(size=scores.shape)
    judged = evaluate(truth, {"one": scores, "other": other, "same": scores.copy()})
    assert judged["one"].auc == pytest.approx(roc_auc_score(truth, scores, average="macro"))
    assert judged["one"].gain is None
    # Two that are nearly the same differ by far less than either is sure of.
    assert judged["other"].standard_error is not None
    assert 0 < judged["other"].standard_error < 0.002
    assert (judged["same"].gain, judged["same"].standard_error) == (0.0, 0.0)


def test_where_nothing_can_be_scored_there_are_no_figures() -> None:
    nothing = np.zeros((5, 2), bool)
    judged = evaluate(nothing, {"one": np.ones((5, 2)), "other": np.ones((5, 2))})
    assert judged["other"] == Evaluation(None, None, None)
    assert choose_candidate(judged, positives=100, members=2) == "one"


@pytest.mark.parametrize(
    ("second", "third", "positives", "chosen"),
    [
        ((0.81, 0.01, 0.006), (0.82, 0.02, 0.011), 20, "first"),
        ((0.81, 0.01, 0.004), (0.82, 0.02, 0.011), 20, "second"),
        ((0.81, 0.01, 0.004), (0.82, 0.02, 0.009), 20, "third"),
        ((0.81, 0.01, 0.004), (0.82, 0.02, 0.009), 19, "first"),
        ((0.80, 0.00, 0.000), (0.80, 0.00, 0.000), 900, "first"),
        ((0.79, -0.01, 0.001), (0.80, 0.0, 0.009), 900, "first"),
    ],
)
def test_another_is_taken_where_its_gain_is_sure_and_the_positives_carry_it(
    second: tuple[float, float, float],
    third: tuple[float, float, float],
    positives: int,
    chosen: str,
) -> None:
    judged = {"first": Evaluation(0.8), "second": Evaluation(*second), "third": Evaluation(*third)}
    assert choose_candidate(judged, positives, members=2) == chosen


def test_chance_is_seldom_believed() -> None:
    """Of two candidates that are equally good, the second is taken about once in 44."""
    taken = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        truth = np.eye(5, dtype=bool)[np.arange(60) % 5]
        one, other = (truth + rng.normal(size=truth.shape) for _ in range(2))
        taken += choose_candidate(evaluate(truth, {"one": one, "other": other}), 60, 2) == "other"
    assert 0 < taken <= 12
