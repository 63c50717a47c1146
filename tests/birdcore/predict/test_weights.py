"""Ensemble weights against scipy on the whole problem, blends against scipy and by hand."""

import numpy as np
import pytest
from scipy.optimize import nnls
from scipy.stats import pmean, rankdata

from birdcore.predict import weights as module
from birdcore.predict.weights import blend, nnls_weights


@pytest.mark.parametrize("rows_at_once", [1, 7, 4096])
def test_nnls_weights_equal_scipy_on_the_cells_that_count(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, rows_at_once: int
) -> None:
    monkeypatch.setattr(module, "ROWS_AT_ONCE", rows_at_once)
    targets = (rng.random((40, 5)) < 0.3).astype(float)
    predictions = targets * rng.random((4, 1, 1)) + rng.random((4, 40, 5))
    predictions[3] = 1 - targets  # of no use: weight 0
    targets[:, 2] = np.nan  # a class that is not scored
    predictions[1, :9] = np.nan  # rows that a member did not predict
    counted = ~np.isnan(targets) & ~np.isnan(predictions).any(axis=0)
    reference, _ = nnls(predictions[:, counted].T, targets[counted])
    ours = nnls_weights(predictions, targets)
    np.testing.assert_allclose(ours, reference / reference.sum(), atol=1e-9)
    assert ours[3] == 0
    assert ours.sum() == pytest.approx(1)


def test_nnls_weights_find_the_mixture(rng: np.random.Generator) -> None:
    predictions = rng.random((3, 100, 4), np.float32)
    targets = 0.2 * predictions[0] + 0.6 * predictions[2]
    np.testing.assert_allclose(nnls_weights(predictions, targets), [0.25, 0, 0.75], atol=1e-5)


def test_twins_share_what_one_of_them_would_get(rng: np.random.Generator) -> None:
    first, second = rng.random((2, 50, 3))
    ours = nnls_weights(np.stack([first, first, second]), (first + second) / 2)
    assert (ours >= 0).all()
    np.testing.assert_allclose([ours[0] + ours[1], ours[2]], [0.5, 0.5], atol=1e-6)


def test_members_that_do_not_help_count_alike(rng: np.random.Generator) -> None:
    ours = nnls_weights(-rng.random((4, 20, 2)), np.ones((20, 2)))
    assert ours.tolist() == [0.25] * 4


def test_nnls_weights_refuse_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        nnls_weights(np.zeros((2, 3, 4)), np.zeros((4, 3)))
    with pytest.raises(ValueError, match="no cell"):
        nnls_weights(np.zeros((2, 3, 4)), np.full((3, 4), np.nan))
    with pytest.raises(ValueError, match="infinite"):
        nnls_weights(np.full((2, 3, 4), np.inf), np.zeros((3, 4)))


def test_blends_equal_their_references(rng: np.random.Generator) -> None:
    predictions = rng.random((3, 20, 4)).round(1)
    shares = np.array([2.0, 0.0, 1.0])
    np.testing.assert_allclose(
        blend(predictions, shares), np.average(predictions, axis=0, weights=shares)
    )
    ranks = (rankdata(predictions, axis=1, method="average") - 1) / 19
    np.testing.assert_allclose(
        blend(predictions, shares, "rank"), np.average(ranks, axis=0, weights=shares)
    )
    for power in (0.5, 1, 3):
        reference = pmean(predictions, power, axis=0, weights=shares[:, None, None])
        np.testing.assert_allclose(blend(predictions, shares, "power", power), reference)


def test_rank_blend_does_not_see_the_scale_of_a_member(rng: np.random.Generator) -> None:
    predictions = rng.random((2, 30, 3))
    stretched = np.stack([predictions[0], predictions[1] ** 5 / 100])
    ranked = blend(predictions, [1, 1], "rank")
    np.testing.assert_array_equal(blend(stretched, [1, 1], "rank"), ranked)
    alone = blend(predictions, [1, 0], "rank")
    assert (alone.min(axis=0) == 0).all()
    assert (alone.max(axis=0) == 1).all()
    assert (blend(predictions[:, :1], [1, 1], "rank") == 0.5).all()


@pytest.mark.parametrize("how", ["mean", "rank", "power"])
def test_blends_keep_float32(how: module.Blend, rng: np.random.Generator) -> None:
    assert blend(rng.random((2, 5, 3), np.float32), [1, 2], how).dtype == np.float32


def test_blend_refuses_what_does_not_fit() -> None:
    predictions = np.ones((2, 3, 1))
    for shape in ((3,), (1, 2)):
        with pytest.raises(ValueError, match="do not fit"):
            blend(predictions, np.ones(shape))
    for weights in ([0, 0], [2, -1], [np.nan, 1], [np.inf, 1]):
        with pytest.raises(ValueError, match="at least 0"):
            blend(predictions, weights)
    with pytest.raises(ValueError, match="NaN or infinite"):
        blend(predictions * np.nan, [1, 1])
    with pytest.raises(ValueError, match="power must be positive"):
        blend(predictions, [1, 1], "power", 0)
    with pytest.raises(ValueError, match="mean, rank, power, not 'median'"):
        blend(predictions, [1, 1], "median")  # type: ignore[arg-type]


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
