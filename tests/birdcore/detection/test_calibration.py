"""Calibration: curves by class, and thresholds that reach a precision on held-out recordings."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from birdcore.detection.calibration import (
    CALIBRATION_FILE,
    LEVELS,
    SIGMOID_KNOTS,
    Calibration,
    calibrate,
    fit_curves,
    read_calibration,
)


def held_out(
    count: int, share: float, truth_at: float, seed: int = 0
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Whether each has the class, and confidences that are right at `truth_at` times themselves."""
    rng = np.random.default_rng(seed)
    confidence = rng.beta(0.5, 0.5 / share, count)
    return rng.random(count) < (truth_at * confidence).clip(0, 1), confidence


@pytest.fixture(scope="module")
def three() -> tuple[Calibration, NDArray[np.bool_], NDArray[np.float64]]:
    """Classes with many, few and no positives."""
    many = held_out(2000, 0.3, 0.5)
    few = held_out(2000, 0.004, 1.0, seed=1)
    none = (np.zeros(2000, bool), held_out(2000, 0.3, 1.0, seed=2)[1])
    truth, confidences = (np.stack(parts, axis=1) for parts in zip(many, few, none, strict=True))
    assert 3 <= truth[:, 1].sum() < 100 <= truth[:, 0].sum()
    return calibrate(["many", "few", "none"], truth, confidences), truth, confidences


def test_curve_fits_how_many_positives_there_are(
    three: tuple[Calibration, NDArray[np.bool_], NDArray[np.float64]],
) -> None:
    calibration, truth, confidences = three
    assert [curve.method for curve in calibration.curves] == ["isotonic", "sigmoid", "pooled"]
    assert calibration.curves[2].positives == 0
    many = calibration.curves[0](confidences[:, 0])
    assert many.mean() == pytest.approx(truth[:, 0].mean(), abs=1e-4)
    # Half of what it says is true.
    assert calibration.curves[0](np.array([0.6]))[0] == pytest.approx(0.3, abs=0.08)
    for curve in calibration.curves:
        assert (np.diff(curve.probability) >= 0).all()


def test_few_recordings_of_all_classes_have_a_sigmoid_and_none_a_flat_line() -> None:
    truth, confidences = held_out(30, 0.3, 1.0)
    few = truth[:, None] & np.array([True, False])  # one class has all positives
    pooled = fit_curves(few, np.stack([confidences, confidences], axis=1))[1]
    assert (pooled.method, pooled.positives) == ("pooled", 0)
    assert pooled.confidence == tuple(SIGMOID_KNOTS)
    for never in (np.zeros((30, 2), bool), np.ones((30, 2), bool)):
        (curve, _) = fit_curves(never, np.stack([confidences, confidences], axis=1))
        assert set(curve.probability) == {float(never[0, 0])}


def test_detections_have_the_probability_of_their_class(
    three: tuple[Calibration, NDArray[np.bool_], NDArray[np.float64]],
) -> None:
    calibration = three[0]
    labels, confidences = np.array([2, 0, 1, 0]), np.array([0.5, 0.6, 0.7, 0.2], np.float32)
    probabilities = calibration.probabilities(labels, confidences)
    expected = [float(calibration.curves[k](confidences[[n]])[0]) for n, k in enumerate(labels)]
    assert probabilities.tolist() == expected
    assert calibration.probabilities(labels[:0], confidences[:0]).shape == (0,)


def test_threshold_reaches_its_precision(
    three: tuple[Calibration, NDArray[np.bool_], NDArray[np.float64]],
) -> None:
    calibration, _, confidences = three
    for precision in (0.5, 0.6, 0.7):
        threshold = calibration.thresholds_for(precision)[1]
        if threshold is not None:
            above = confidences[:, 1] >= threshold
            assert calibration.curves[1](confidences[above, 1]).mean() >= precision - 1e-3
    # At most half of the first class is right: .5 is reached at the very top, .9 nowhere.
    assert calibration.thresholds_for(0.9)[0] is None
    lower, higher = (calibration.thresholds_for(p)[1] or 2.0 for p in (0.5, 0.6))
    assert lower <= higher


def test_precision_of_a_well_calibrated_class_is_met_on_others() -> None:
    truth, confidence = held_out(4000, 0.5, 1.0)
    calibration = calibrate(["a"], truth[:, None], confidence[:, None])
    (threshold,) = calibration.thresholds_for(0.9)
    assert threshold is not None
    truth, confidence = held_out(4000, 0.5, 1.0, seed=9)
    assert truth[confidence >= threshold].mean() == pytest.approx(0.9, abs=0.03)


def test_level_is_the_next_higher(
    three: tuple[Calibration, NDArray[np.bool_], NDArray[np.float64]],
) -> None:
    calibration = three[0]
    assert calibration.thresholds_for(0.701) == calibration.thresholds_for(0.71)
    assert calibration.thresholds_for(LEVELS[7]) == tuple(c[7] for c in calibration.thresholds)
    for precision in (0.2, 0.995):
        with pytest.raises(ValueError, match=r"can't be had: give 0\.5 to 0\.99"):
            calibration.thresholds_for(precision)


def test_file_is_read_back_and_its_faults_are_named(
    three: tuple[Calibration, NDArray[np.bool_], NDArray[np.float64]], tmp_path: Path
) -> None:
    classes = ("many", "few", "none")
    assert read_calibration(tmp_path, classes) is None
    (tmp_path / CALIBRATION_FILE).write_text(three[0].model_dump_json())
    assert read_calibration(tmp_path, classes) == three[0]
    with pytest.raises(ValueError, match=r"calibration\.json is of a model with other classes"):
        read_calibration(tmp_path, ("a",))
    (tmp_path / CALIBRATION_FILE).write_text("{}")
    with pytest.raises(ValueError, match=r"calibration\.json is damaged"):
        read_calibration(tmp_path, classes)
