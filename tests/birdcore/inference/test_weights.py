"""Ensemble weights against scipy on the whole problem, blends against scipy and by hand."""

import numpy as np
import pytest
from scipy.optimize import nnls
from scipy.stats import pmean, rankdata

from birdcore.inference import weights as module
from birdcore.inference.weights import blend, nnls_weights, nnls_weights_by_class, ranks


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
    with pytest.raises(ValueError, match="do not fit"):
        nnls_weights_by_class(np.zeros((2, 3, 4)), np.zeros((4, 3)))
    with pytest.raises(ValueError, match="prior_positives must be at least 0, not -1"):
        nnls_weights_by_class(np.zeros((2, 3, 4)), np.zeros((3, 4)), -1)


def of_classes(
    rng: np.random.Generator, rows: int = 200, classes: int = 4
) -> tuple[np.ndarray, np.ndarray]:
    """Three members, each good in another class and bad in the rest, and the targets."""
    targets = (rng.random((rows, classes)) < 0.2).astype(float)
    noise = np.where(np.arange(3)[:, None] == np.arange(classes) % 3, 0.3, 1.5)
    return (targets + noise[:, None] * rng.random((3, rows, classes))) / 2.5, targets


@pytest.mark.parametrize("rows_at_once", [7, 4096])
def test_weights_by_class_without_a_prior_equal_scipy_class_by_class(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, rows_at_once: int
) -> None:
    monkeypatch.setattr(module, "ROWS_AT_ONCE", rows_at_once)
    predictions, targets = of_classes(rng)
    predictions[1, :9] = np.nan
    ours = nnls_weights_by_class(predictions, targets, 0)
    for at in range(4):
        reference, _ = nnls(predictions[:, 9:, at].T, targets[9:, at])
        np.testing.assert_allclose(ours[:, at], reference / reference.sum(), atol=1e-9)
    assert ours.argmax(axis=0).tolist() == [0, 1, 2, 0]


@pytest.mark.parametrize("prior", [0.5, 10, 300])
def test_weights_by_class_equal_scipy_on_the_problem_with_a_ridge(
    rng: np.random.Generator, prior: float
) -> None:
    predictions, targets = of_classes(rng)
    overall = nnls_weights(predictions, targets)
    for at, ours in enumerate(nnls_weights_by_class(predictions, targets, prior).T):
        told, wanted = predictions[:, :, at].T, targets[:, at]
        (scale,), *_ = np.linalg.lstsq((told @ overall)[:, None], wanted)
        ridge = np.sqrt(prior / wanted.sum() * np.trace(told.T @ told) / 3) * np.eye(3)
        reference, _ = nnls(
            np.vstack([told, ridge]), np.concatenate([wanted, ridge @ (scale * overall)])
        )
        np.testing.assert_allclose(ours, reference / reference.sum(), atol=1e-9)


def test_weights_by_class_go_from_their_own_to_those_of_all(rng: np.random.Generator) -> None:
    predictions, targets = of_classes(rng)
    overall = nnls_weights(predictions, targets)[:, None]
    apart = [
        np.abs(nnls_weights_by_class(predictions, targets, prior) - overall).sum(axis=0)
        for prior in (0, 10, 100, 1e9)
    ]
    assert (np.diff(apart, axis=0) < 0).all()
    np.testing.assert_allclose(apart[-1], 0, atol=1e-6)


def test_weights_by_class_do_not_hang_on_how_loud_a_class_is(rng: np.random.Generator) -> None:
    predictions, targets = of_classes(rng)
    quiet = predictions.copy()
    quiet[:, :, 3] /= 1e3  # next to nothing in the fit of all classes
    others = nnls_weights_by_class(predictions[:, :, :3], targets[:, :3])
    np.testing.assert_allclose(nnls_weights_by_class(quiet, targets)[:, :3], others, atol=1e-3)
    own = nnls_weights_by_class(quiet, targets)[:, 3]
    assert own[0] > nnls_weights(quiet, targets)[0] + 0.1


def test_classes_that_nothing_is_known_of_have_the_weights_of_all(
    rng: np.random.Generator,
) -> None:
    predictions, targets = of_classes(rng, classes=6)
    targets[:, 1] = 0  # no positive
    targets[:, 2] = np.nan  # not scored
    predictions[:, :, 3] = 0  # nothing said
    predictions[0, targets[:, 4] == 1, 4] = np.nan  # no positive that all members speak of
    ours = nnls_weights_by_class(predictions, targets)
    overall = nnls_weights(predictions, targets)
    for at in (1, 2, 3, 4):
        np.testing.assert_array_equal(ours[:, at], overall)
    assert np.abs(ours[:, [0, 5]] - overall[:, None]).max() > 0.05
    np.testing.assert_allclose(ours.sum(axis=0), 1)


def test_few_positives_do_not_overthrow_the_weights_of_all(rng: np.random.Generator) -> None:
    """Members that differ by chance alone: a prior brings each class nearer to equal weights."""
    targets = np.zeros((300, 40))
    targets[:4] = 1
    predictions = 0.5 * targets + 0.5 * rng.random((4, 300, 40))
    free, drawn = (nnls_weights_by_class(predictions, targets, prior) for prior in (0, 10))
    assert np.abs(drawn - 0.25).max() < 0.15
    assert np.abs(free - 0.25).max() > 0.3


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


@pytest.mark.parametrize("how", ["mean", "power", "rank"])
def test_weights_by_class_blend_each_class_by_its_own(
    how: module.Blend, rng: np.random.Generator
) -> None:
    predictions = rng.random((3, 20, 4))
    shares = rng.random((3, 4))
    shares[0, 1] = shares[2, 3] = 0
    blended = blend(predictions, shares, how, 3.0)
    for at in range(4):
        own = slice(at, at + 1)
        alone = blend(predictions[:, :, own], shares[:, at], how, 3.0)
        np.testing.assert_allclose(blended[:, own], alone)
    alike = np.repeat(shares[:, :1], 4, axis=1)
    np.testing.assert_array_equal(
        blend(predictions, alike, how), blend(predictions, shares[:, 0], how)
    )


def test_ranks_of_ranks_are_the_same(rng: np.random.Generator) -> None:
    table = rng.random((12, 3)).round(1)
    np.testing.assert_allclose(ranks(ranks(table)), ranks(table))
    np.testing.assert_allclose(ranks(table), (rankdata(table, axis=0) - 1) / 11)


def test_rank_blend_does_not_see_the_scale_of_a_member(rng: np.random.Generator) -> None:
    predictions = rng.random((2, 30, 3))
    stretched = np.stack([predictions[0], predictions[1] ** 5 / 100])
    ranked = blend(predictions, [1, 1], "rank")
    np.testing.assert_array_equal(blend(stretched, [1, 1], "rank"), ranked)
    alone = blend(predictions, [1, 0], "rank")
    assert (alone.min(axis=0) == 0).all()
    assert (alone.max(axis=0) == 1).all()
    assert (blend(predictions[:, :1], [1, 1], "rank") == 0.5).all()


@pytest.mark.parametrize("how", ["mean", "power", "rank"])
@pytest.mark.parametrize("shares", [[1, 2], [[1, 2, 3], [3, 2, 1]]])
def test_blends_keep_float32(
    how: module.Blend, shares: list[float], rng: np.random.Generator
) -> None:
    assert blend(rng.random((2, 5, 3), np.float32), shares, how).dtype == np.float32


def test_blend_refuses_what_does_not_fit() -> None:
    predictions = np.ones((2, 3, 1))
    for shape in ((3,), (1, 2), (2, 3), (2, 3, 1)):
        with pytest.raises(ValueError, match="do not fit"):
            blend(predictions, np.ones(shape))
    for weights in ([0, 0], [2, -1], [np.nan, 1], [np.inf, 1]):
        with pytest.raises(ValueError, match="at least 0"):
            blend(predictions, weights)
    with pytest.raises(ValueError, match="at least 0"):  # of the second class no member
        blend(np.ones((2, 3, 2)), [[1, 0], [1, 0]])
    with pytest.raises(ValueError, match="NaN or infinite"):
        blend(predictions * np.nan, [1, 1])
    with pytest.raises(ValueError, match="power must be positive"):
        blend(predictions, [1, 1], "power", 0)
    with pytest.raises(ValueError, match="mean, power, rank, not 'median'"):
        blend(predictions, [1, 1], "median")  # type: ignore[arg-type]


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
