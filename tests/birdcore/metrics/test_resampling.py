"""Intervals against a slow loop that scores each draw by itself."""

import numpy as np
import pytest

from birdcore.metrics import bootstrap, class_auc, class_average_precision, macro_auc, resampling
from birdcore.metrics.resampling import draw_groups, interval, resampled_ranking


@pytest.mark.parametrize("groups", [3, 12])
def test_bootstrap_of_macro_auc_equals_scoring_each_draw(
    rng: np.random.Generator, groups: int
) -> None:
    scores = rng.random((120, 6)).round(1)
    truth = rng.random(scores.shape) < np.array([0.3, 0.3, 0.02, 0.9, 0, 1])
    names = rng.permutation(np.repeat([f"site-{i}" for i in range(groups)], 120 // groups))

    low, high = bootstrap(
        truth, scores, names, generator=np.random.default_rng(1), rounds=50, level=0.9
    )
    _, group = np.unique(names, return_inverse=True)
    rows = [np.flatnonzero(group == one) for one in range(groups)]
    draws = np.random.default_rng(1).integers(groups, size=(50, groups))
    picked = [np.concatenate([rows[one] for one in draw]) for draw in draws]
    slow = np.quantile([macro_auc(truth[rows], scores[rows]) for rows in picked], [0.05, 0.95])
    np.testing.assert_allclose((low, high), slow, atol=1e-12, rtol=0)
    assert low < macro_auc(truth, scores) < high


def test_bootstrap_resamples_groups_not_rows(rng: np.random.Generator) -> None:
    truth, scores = rng.random((80, 1)) < 0.5, rng.random((80, 1))
    one = np.zeros(80)
    interval = bootstrap(truth, scores, one, generator=rng, rounds=20)
    assert interval == pytest.approx((macro_auc(truth, scores),) * 2)


def test_bootstrap_leaves_out_draws_without_positives(rng: np.random.Generator) -> None:
    truth, scores = np.eye(8, 1, dtype=bool), np.eye(8, 1)
    groups = np.arange(8)
    assert bootstrap(truth, scores, groups, generator=rng, rounds=30) == (1, 1)


@pytest.mark.parametrize("cells", [1, 1 << 17])
def test_each_draw_scores_as_its_rows_do(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, cells: int
) -> None:
    monkeypatch.setattr(resampling, "CELLS", cells)
    scores = rng.normal(size=(90, 5)).round(1).astype(np.float32)
    truth = rng.random(scores.shape) < np.array([0.5, 0.1, 0.02, 0, 1])
    names = rng.integers(7, size=90)
    draws = draw_groups(names, generator=rng, rounds=30)
    auc, precision = resampled_ranking(truth, scores, draws)
    for at, times in enumerate(draws.times.T):
        rows = np.repeat(np.arange(90), times.astype(int)[draws.group])
        np.testing.assert_allclose(auc[:, at], class_auc(truth[rows], scores[rows]), atol=1e-12)
        expected = class_average_precision(truth[rows], scores[rows])
        np.testing.assert_allclose(precision[:, at], expected, atol=1e-12)
    assert np.isnan(auc[3:]).all()
    assert np.isnan(precision[3]).all()
    assert (precision[4] == 1).all()


def test_an_interval_leaves_out_draws_without_a_score() -> None:
    assert interval(np.array([np.nan, 1, 2, 3, np.nan]), level=1) == (1, 3)
    assert np.isnan(interval(np.full(3, np.nan))).all()


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
