"""Submissions that say yes or no: the forms of 2021 and 2022, and the threshold for them.

The threshold is chosen on what no model was trained on, by the metric of the year, from the
ensemble's probabilities before smoothing over a recording's segments: what is held out has too few
neighbours to be smoothed alike.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd

from birdcore.inference.held_out import held_out_names, read_held_out
from birdcore.inference.predictions import Predictions
from birdcore.inference.weights import EnsembleWeights
from birdcore.metrics.yes_no import Metric, balanced_accuracy, best_of, row_f1
from birdcore.sources.asked_rows import row_of_class, segment_and_class
from birdcore.sources.label_lists import NO_CLASS
from birdcore.unicode_names import nfc

OTHERWISE = 0.5
"""The threshold where nothing is held out that could tell one."""


class Threshold(NamedTuple):
    """A threshold, and what it was taken from, in words."""

    value: float
    source: str


def write_birds(path: Path, predictions: Predictions, threshold: float, rows: Sequence[str]) -> int:
    """2021's CSV: `row_id`, and the classes of a segment between spaces, or `nocall`.

    Args:
        path: Where it is written.
        predictions: Of the segments.
        threshold: Probabilities of so much or more say yes.
        rows: Not used: the segments are the rows.

    Returns:
        How many classes are said to be there, over all rows.
    """
    said = predictions.probabilities >= threshold
    names = np.array(predictions.classes, object)
    birds = [" ".join(names[row]) or NO_CLASS for row in said]
    pd.DataFrame({"row_id": predictions.row_ids, "birds": birds}).to_csv(path, index=False)
    return int(said.sum())


def write_targets(
    path: Path, predictions: Predictions, threshold: float, rows: Sequence[str]
) -> int:
    """2022's CSV: a row for each segment and class, and whether it is there.

    Args:
        path: Where it is written.
        predictions: Of the segments.
        threshold: Probabilities of so much or more say yes.
        rows: Those that are asked for; of no class of the models, they say no. Without any, all
            segments and classes are.

    Returns:
        How many rows say yes.
    """
    said = predictions.probabilities >= threshold
    segments = {nfc(name): at for at, name in enumerate(predictions.row_ids)}
    classes = {nfc(name): at for at, name in enumerate(predictions.classes)}
    rows = rows or [
        row_of_class(segment, label)
        for segment in predictions.row_ids
        for label in predictions.classes
    ]

    def target(row: str) -> bool:
        segment, label = segment_and_class(nfc(row))
        return label in classes and bool(said[segments[segment], classes[label]])

    targets = [target(row) for row in rows]
    pd.DataFrame({"row_id": rows, "target": targets}).to_csv(path, index=False)
    return sum(targets)


class YesNo(NamedTuple):
    """A form of submission: how it is written, and the metric that its threshold is chosen by."""

    write: Callable[[Path, Predictions, float, Sequence[str]], int]
    metric: Metric


YES_NO: dict[str, YesNo] = {
    "birds": YesNo(write_birds, row_f1),
    "target": YesNo(write_targets, balanced_accuracy),
}
"""By `birdcore.sources.asked_rows.RowForm`."""


def threshold_of(
    setting: float | Literal["held-out"],
    form: str,
    rounds: Mapping[str, Sequence[Path]],
    weights: EnsembleWeights,
) -> Threshold:
    """The threshold of a submission that says yes or no.

    Args:
        setting: The recipe's `predict.threshold`.
        form: A key of `YES_NO`.
        rounds: The folders of the models of each round in the ensemble.
        weights: How probabilities are blended (`EnsembleWeights.as_probabilities`).
    """
    if setting != "held-out":
        return Threshold(setting, "the recipe")
    held_out = read_held_out(rounds) if rounds else None
    if held_out is None:
        return Threshold(OTHERWISE, "no recording is held out from all members")
    names, note = held_out_names(held_out.recordings, "annotated")
    kept = np.isin(held_out.recordings, names)
    members = {name: table[kept] for name, table in held_out.members.items()}
    found = best_of(YES_NO[form].metric, held_out.truth[kept], weights.blended(members))
    what = f"{len(names)} held-out {'windows' if note is None else 'clips'}"
    if found is None:
        return Threshold(OTHERWISE, f"{what} tell none")
    return Threshold(found, what)
