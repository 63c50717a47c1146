"""How well a run is calibrated, before and after, and which curve fits how many cases.

    python -m benchmarks.calibration STORE/train --submission OUT/submission.csv --truth LABELS.csv

Nothing is scored by a curve that was fitted on it. Held-out recordings: curves of the other fifths
(or folds). Test soundscapes: curves of the held-out recordings, and, for how many cases an isotonic
curve needs, of rows drawn from half of the soundscapes, scored on the other half.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from birdcore.detection.calibration import fit_curve, fit_curves
from birdcore.inference.held_out import read_held_out
from birdcore.metrics import match_files
from birdcore.report.calibration import calibration_error, cross_fitted

Floats = NDArray[np.float64]
Truth = NDArray[np.bool_]
DRAWS = 60


def figures(truth: Truth, probabilities: Floats) -> Floats:
    """Calibration error, Brier score and log loss."""
    p, inside = probabilities, probabilities.clip(1e-4, 1 - 1e-4)
    loss = -np.where(truth, np.log(inside), np.log(1 - inside)).mean()
    return np.array([calibration_error(truth, p), ((p - truth) ** 2).mean(), loss])


def say(name: str, values: Floats) -> None:
    print(f"| {name} | " + " | ".join(f"{value:.4f}" for value in values) + " |")


def halves(
    truth: Truth, scores: Floats, soundscape: NDArray[np.intp], positives: int
) -> Iterator[dict[str, Floats]]:
    """Figures of curves of so many positives, of half of the soundscapes and on the other half."""
    rng = np.random.default_rng(0)
    count = soundscape.max() + 1
    for _ in range(DRAWS):
        half = np.isin(soundscape, rng.permutation(count)[: count // 2])
        has, confidence = truth[half].ravel(), scores[half].ravel()
        drawn = rng.permutation(len(has))[: round(positives / has.mean())]
        others, expected = scores[~half].ravel(), truth[~half].ravel()
        yield {"raw": figures(expected, others)} | {
            method: figures(expected, fit_curve(method, has[drawn], confidence[drawn])(others))
            for method in ("isotonic", "sigmoid")
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", type=Path, help="the store's folder of trained models")
    parser.add_argument("--submission", type=Path, required=True)
    parser.add_argument("--truth", type=Path, required=True)
    asked = parser.parse_args()
    rounds = defaultdict(list)
    for folder in sorted(asked.models.iterdir()):
        name = json.loads((folder / "manifest.json").read_text())["name"]  # train ROUND BACKBONE
        rounds[name.split()[1]].append(folder)
    held_out = read_held_out(rounds)
    assert held_out is not None, "no recording is held out from all models"
    truth = held_out.truth
    confidences = np.mean([*held_out.members.values()], axis=0)
    print(f"{len(truth)} held-out recordings, {len(held_out.classes)} classes, {truth.sum()} cases")
    say("as predicted", figures(truth, confidences))
    calibrated = cross_fitted(truth, confidences, held_out.parts)
    if calibrated is not None:
        say("calibrated", figures(truth, calibrated))
    matched = match_files(asked.submission, asked.truth)
    assert matched.labels == held_out.classes
    truth_rows, scores = np.asarray(matched.truth, bool), np.asarray(matched.scores, np.float64)
    print(f"{len(scores)} rows of soundscapes, {truth_rows.sum()} cases")
    say("as predicted", figures(truth_rows, scores))
    curves = fit_curves(truth, confidences)
    columns = [curve(column) for curve, column in zip(curves, scores.T, strict=True)]
    say("calibrated", figures(truth_rows, np.stack(columns, axis=1)))
    names = [row.rpartition("_")[0] for row in matched.row_ids]
    soundscape = np.unique(names, return_inverse=True)[1]
    for positives in (5, 10, 20, 40, 80, 120):
        drawn = list(halves(truth_rows, scores, soundscape, positives))
        for name in drawn[0]:
            say(f"{positives} {name}", np.mean([one[name] for one in drawn], axis=0))


if __name__ == "__main__":
    main()
