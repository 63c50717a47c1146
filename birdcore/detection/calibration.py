"""How often a confidence is right, class by class, and thresholds for a precision asked for.

A model's probabilities are no shares of hits: one species is right at .2, another wrong at .6. What
a run holds out from training tells both. A class with many held-out recordings has an isotonic
curve (Zadrozny and Elkan 2002), one with few a sigmoid (Platt 1999), one with next to none the
curve of all classes together. How many are many is measured: benchmarks/results/calibration.md.

Held-out labels are of whole recordings, and so is this: of recordings in which a species reaches
its threshold, the share that has it. Shapes: N recordings, K classes, L levels of precision.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from birdcore.text import first_error

CALIBRATION_FILE = "calibration.json"
"""In the folder of a run's ensemble."""
MANY_POSITIVES, FEW_POSITIVES = 100, 3
"""Held-out recordings of a class from which it has an isotonic curve, and a sigmoid of its own."""
LEVELS = tuple(percent / 100 for percent in range(50, 100))
SIGMOID_KNOTS = np.concatenate([[0.0, 0.001, 0.01], np.arange(1, 20) / 20, [0.99, 0.999, 1.0]])

Floats: TypeAlias = NDArray[np.float64]


class Curve(BaseModel):
    """From confidence to the probability that it is right: linear between points.

    Attributes:
        method: How it was fitted; "pooled" is that of all classes together.
        positives: Held-out recordings that have the class.
        confidence: Ascending (P,).
        probability: At these, ascending (P,).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: Literal["isotonic", "sigmoid", "pooled"]
    positives: int
    confidence: tuple[float, ...]
    probability: tuple[float, ...]

    def __call__(self, confidences: NDArray[np.floating]) -> Floats:
        return np.asarray(np.interp(confidences, self.confidence, self.probability), np.float64)


class Calibration(BaseModel):
    """What held-out recordings say of a model's confidences.

    Attributes:
        classes: The model's (K,).
        recordings: How many were held out.
        curves: Of each class (K,).
        levels: Precisions (L,), ascending.
        thresholds: (K, L), the lowest threshold that reaches a precision; None where none does.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    classes: tuple[str, ...]
    recordings: int
    curves: tuple[Curve, ...]
    levels: tuple[float, ...]
    thresholds: tuple[tuple[float | None, ...], ...]

    @property
    def key(self) -> str:
        """Names it by its content: another calibration gives other probabilities."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:12]

    def probabilities(
        self, labels: NDArray[np.integer], confidences: NDArray[np.floating]
    ) -> Floats:
        """How probable detections (D,) of classes `labels` (D,) are, at their confidences (D,)."""
        probable = np.empty(len(labels))
        for label in np.unique(labels):
            own = labels == label
            probable[own] = self.curves[label](confidences[own])
        return probable

    def thresholds_for(self, precision: float) -> tuple[float | None, ...]:
        """Of each class (K,), for the next higher level; None where no threshold reaches it.

        Raises:
            ValueError: There is no such level.
        """
        if not self.levels[0] <= precision <= self.levels[-1]:
            raise ValueError(
                f"a precision of {precision:g} can't be had: give {self.levels[0]:g} to "
                f"{self.levels[-1]:g}"
            )
        level = int(np.searchsorted(self.levels, precision - 1e-9))
        return tuple(each[level] for each in self.thresholds)


def calibrate(
    classes: Sequence[str], truth: NDArray[np.bool_], confidences: NDArray[np.floating]
) -> Calibration:
    """Curves and thresholds from held-out recordings.

    Args:
        classes: The model's (K,).
        truth: Whether a recording has a class (N, K), one recording or more.
        confidences: The model's (N, K).
    """
    curves = fit_curves(truth, confidences)
    pooled = next((curve for curve in curves if curve.method == "pooled"), None)
    of_all = () if pooled is None else _thresholds(pooled, confidences.ravel())
    return Calibration(
        classes=tuple(classes),
        recordings=len(truth),
        curves=curves,
        levels=LEVELS,
        thresholds=tuple(
            of_all if curve.method == "pooled" else _thresholds(curve, confidence)
            for curve, confidence in zip(curves, confidences.T, strict=True)
        ),
    )


def fit_curves(truth: NDArray[np.bool_], confidences: NDArray[np.floating]) -> tuple[Curve, ...]:
    """The curve of each class (K,), see `calibrate`."""
    pooled = _rising(truth.ravel(), confidences.ravel(), 1)
    if pooled is None:
        pooled = fit_curve("isotonic", truth.ravel(), confidences.ravel())
    curves = []
    for has, confidence in zip(truth.T, confidences.T, strict=True):
        of_all = {"method": "pooled", "positives": int(has.sum())}
        own = _rising(has, confidence, FEW_POSITIVES)
        curves.append(own or pooled.model_copy(update=of_all))
    return tuple(curves)


def read_calibration(folder: Path, classes: Sequence[str]) -> Calibration | None:
    """The calibration that lies beside a model, None where there is none.

    Raises:
        ValueError: It is damaged, or of a model with other classes.
    """
    path = folder / CALIBRATION_FILE
    try:
        calibration = Calibration.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise ValueError(f"{path} is damaged, so remove it: {first_error(error)}") from error
    if calibration.classes != tuple(classes):
        raise ValueError(f"{path} is of a model with other classes: remove it")
    return calibration


def _rising(has: NDArray[np.bool_], confidence: NDArray[np.floating], least: int) -> Curve | None:
    """A curve of recordings (N,), None where fewer than `least` have it, all do, or it falls."""
    positives = int(has.sum())
    if not least <= positives < len(has):
        return None
    curve = fit_curve("isotonic" if positives >= MANY_POSITIVES else "sigmoid", has, confidence)
    return curve if curve.probability[-1] > curve.probability[0] else None


def fit_curve(
    method: Literal["isotonic", "sigmoid"],
    has: NDArray[np.bool_],
    confidence: NDArray[np.floating],
) -> Curve:
    """The curve of recordings (N,).

    Args:
        method: A sigmoid needs recordings that have the class and some that have not.
        has: Whether a recording has the class.
        confidence: The model's.
    """
    from sklearn.isotonic import IsotonicRegression
    from sklearn.linear_model import LogisticRegression

    values = confidence.astype(np.float64).clip(0, 1)
    if method == "sigmoid":
        fit = LogisticRegression().fit(_logit(values)[:, None], has)
        knots = SIGMOID_KNOTS
        probability = fit.predict_proba(_logit(knots)[:, None])[:, 1]
    else:
        steps = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip").fit(values, has)
        knots, probability = steps.X_thresholds_, steps.y_thresholds_
    return Curve(
        method=method,
        positives=int(has.sum()),
        confidence=tuple(round(float(one), 6) for one in knots),
        probability=tuple(round(float(one), 6) for one in probability),
    )


def _logit(confidence: Floats) -> Floats:
    inside = confidence.clip(1e-4, 1 - 1e-4)
    return np.asarray(np.log(inside / (1 - inside)), np.float64)


def _thresholds(curve: Curve, confidence: NDArray[np.floating]) -> tuple[float | None, ...]:
    """For each level the lowest confidence above which recordings are right so often."""
    descending = np.unique(confidence.astype(np.float64))[::-1]
    counts = np.unique(confidence.astype(np.float64), return_counts=True)[1][::-1]
    precision = np.cumsum(curve(descending) * counts) / np.cumsum(counts)
    # From above it falls with each confidence that is let in.
    reached = [np.flatnonzero(precision >= level - 1e-9) for level in LEVELS]
    return tuple(
        round(float(descending[places[-1]]), 6) if len(places) else None for places in reached
    )
