"""What a run is evaluated on: its predictions beside the truth.

That is the submission on the labelled test soundscapes, where the data has some. Otherwise it is
the ensemble's prediction for recordings held out from its models, each recording as a whole.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from birdcore.inference.held_out import read_held_out
from birdcore.inference.spans import start_of
from birdcore.inference.submission import scored_file
from birdcore.inference.weights import EnsembleWeights
from birdcore.metrics import class_auc, match_files
from birdcore.sources.row_names import row_names, stem_of
from birdcore.store.artifact import Artifact

Floats = NDArray[np.float64]
Truth = NDArray[np.bool_]


@dataclass(frozen=True)
class Evaluation:
    """Truth and probabilities (N, K) of N pieces of sound and K classes.

    Piece n is `duration_s` seconds of `recordings[n]` (empty, where its file is missing) from
    second `starts_s[n]`; a whole recording where `duration_s` is None. `class_auc_by` holds the
    ROC-AUC of each class (K,), NaN where undefined, for the ensemble and each round or member.
    """

    recordings: tuple[str, ...]
    starts_s: tuple[float, ...]
    duration_s: float | None
    classes: tuple[str, ...]
    truth: Truth
    probabilities: Floats
    class_auc_by: dict[str, Floats]

    @property
    def on_soundscapes(self) -> bool:
        return self.duration_s is not None

    @property
    def on(self) -> str:
        return "labelled test soundscapes" if self.on_soundscapes else "held-out recordings"

    @cached_property
    def auc(self) -> Floats:
        """ROC-AUC of the ensemble by class (K,)."""
        return class_auc(self.truth, self.probabilities)


def evaluate_on_soundscapes(
    submission: Artifact, score: Artifact, truth: Path, soundscapes: Sequence[str], row_s: float
) -> Evaluation | None:
    """The submission beside the truth; None where nothing could be scored.

    Args:
        submission, score: artifacts of these stages.
        truth: the table of labelled rows.
        soundscapes: names of the test soundscapes, after which rows are named.
        row_s: seconds of a row.
    """
    scores = json.loads((score / "scores.json").read_text())
    if not scores:
        return None
    matched = match_files(scored_file(submission.folder), truth)
    path_of = {name: path for path, name in row_names(soundscapes).items()}
    ends = [row.rpartition("_")[2] for row in matched.row_ids]
    return Evaluation(
        recordings=tuple(path_of.get(stem_of(row), "") for row in matched.row_ids),
        starts_s=tuple(max(0.0, _number(end) - row_s) for end in ends),
        duration_s=row_s,
        classes=matched.labels,
        truth=matched.truth,
        probabilities=matched.scores,
        class_auc_by={
            name: np.array([scored["class_auc"].get(label, np.nan) for label in matched.labels])
            for name, scored in scores.items()
        },
    )


def evaluate_on_held_out(
    ensemble: Artifact, rounds: Mapping[str, Sequence[Artifact]]
) -> Evaluation | None:
    """The ensemble on recordings held out from all of its members; None where there are none.

    Args:
        ensemble: artifact of the stage `ensemble`.
        rounds: models of the rounds in the ensemble. An external teacher holds out nothing and is
            left out.
    """
    held_out = read_held_out(
        {name: [model.folder for model in models] for name, models in rounds.items()}
    )
    if held_out is None:
        return None
    truth, tables = held_out.truth, held_out.members
    windows = [start_of(name) for name in held_out.recordings]
    blended = EnsembleWeights.read(ensemble.folder).blended(tables)
    by_member = {name: class_auc(truth, table) for name, table in tables.items()}
    return Evaluation(
        recordings=tuple(recording for recording, _ in windows),
        starts_s=tuple(start_s for _, start_s in windows),
        duration_s=None,
        classes=held_out.classes,
        truth=truth,
        probabilities=np.asarray(blended, np.float64),
        class_auc_by=by_member | {"ensemble": class_auc(truth, blended)},
    )


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:  # the truth's rows are not named by their end in seconds
        return 0.0
