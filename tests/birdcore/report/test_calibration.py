import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from birdcore.report.calibration import (
    LEAST_POSITIVES,
    calibration,
    calibration_error,
    cross_fitted,
)


@pytest.mark.parametrize("seed", range(4))
def test_it_equals_sklearns_curve(seed: int) -> None:
    rng = np.random.default_rng(seed)
    p = rng.random((200, 3)) ** 3
    p[:12, 0] = np.linspace(0, 1.1, 12).clip(0, 1)  # edges of bins
    truth = rng.random(p.shape) < p
    bins = calibration(truth, p)
    true, predicted = calibration_curve(truth.ravel(), p.ravel(), n_bins=10)
    np.testing.assert_allclose([b.true for b in bins], true)
    np.testing.assert_allclose([b.predicted for b in bins], predicted)
    assert sum(b.count for b in bins) == p.size
    assert all(b.low <= b.predicted <= b.high for b in bins)


def test_empty_bins_are_left_out_and_rounding_is_forgiven() -> None:
    bins = calibration(np.array([True, False, True]), np.array([0.05, 0.02, 1 + 1e-9]))
    assert [(b.low, b.count, b.true) for b in bins] == [(0.0, 2, 0.5), (0.9, 1, 1.0)]
    assert calibration(np.zeros((0, 3), bool), np.zeros((0, 3))) == []


def test_error_is_of_bins_of_equal_mass_with_ties_together() -> None:
    values = np.array([0.1, 0.1, 0.2, 0.2, 0.9, 0.9])
    truth = np.array([False, False, True, False, True, True])
    expected = (2 * 0.1 + abs(0.4 - 1) + abs(1.8 - 2)) / 6
    for order in (np.arange(6), np.array([1, 0, 3, 2, 5, 4]), np.arange(6)[::-1]):
        error = calibration_error(truth[order], values[order], bins=3)
        assert error == pytest.approx(expected)
    assert calibration_error(np.zeros((0, 3), bool), np.zeros((0, 3))) == 0
    assert calibration_error(np.ones(4, bool), np.ones(4)) == 0


def test_error_of_calibrated_predictions_is_small_and_of_others_their_distance() -> None:
    p = np.random.default_rng(0).random((3000, 4))
    truth = np.random.default_rng(1).random(p.shape) < p
    assert calibration_error(truth, p) < 0.02
    assert calibration_error(truth, p / 2) == pytest.approx((p / 2).mean(), abs=0.02)


def test_a_recording_is_never_calibrated_by_itself() -> None:
    rng = np.random.default_rng(0)
    confidences = rng.random((200, 3)) ** 3
    truth = rng.random(confidences.shape) < confidences / 2
    parts = np.arange(200) % 4
    before = cross_fitted(truth, confidences, parts)
    assert before is not None
    assert calibration_error(truth, before) < calibration_error(truth, confidences) / 2
    own = parts == 2
    truth[own] = ~truth[own]
    after = cross_fitted(truth, confidences, parts)
    assert after is not None
    np.testing.assert_array_equal(after[own], before[own])
    assert not np.allclose(after[~own], before[~own])


def test_too_few_cases_are_not_calibrated() -> None:
    confidences = np.random.default_rng(0).random((40, 3))
    truth = np.zeros((40, 3), bool)
    truth[: LEAST_POSITIVES - 1, 0] = True
    assert cross_fitted(truth, confidences, np.arange(40) % 5) is None
    # All are in one part: curves for it would have nothing to be fitted on.
    truth[:20] = True
    assert cross_fitted(truth, confidences, np.arange(40) // 20) is None
    assert cross_fitted(truth, confidences, np.zeros(40, int)) is None
    assert cross_fitted(truth, confidences, np.arange(40) % 2) is not None
