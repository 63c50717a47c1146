import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from birdcore.report.calibration import Bin, calibration, expected_error


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


def test_the_error_weighs_bins_by_their_counts() -> None:
    bins = [Bin(0, 0.1, 30, 0.05, 0.15), Bin(0.9, 1, 10, 0.95, 0.45)]
    assert expected_error(bins) == pytest.approx((30 * 0.1 + 10 * 0.5) / 40)
    assert expected_error([]) == 0
