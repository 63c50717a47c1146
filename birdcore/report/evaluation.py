"""What a run is judged by: its predictions beside what is true of them.

That is the submission on the labelled test soundscapes, where the data has some. Else it is what
the ensemble says of recordings that were held out from its models, each heard as a whole.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from birdcore.features.columns import stacked
from birdcore.inference.weights import blend
from birdcore.metrics import class_auc, match_files
from birdcore.sources.row_names import row_names, stem_of
from birdcore.stages.ensemble import members_of
from birdcore.store.artifact import Artifact

Floats = NDArray[np.float64]
Truth = NDArray[np.bool_]


@dataclass(frozen=True)
class Judged:
    """N pieces of sound and C classes: truth and probabilities are (N, C).

    Piece n is `length_s` seconds of `recordings[n]` (empty, where its file is not there), from
    second `starts[n]`; a whole recording where `length_s` is None. `by` has the ROC-AUC of each
    class (C,), NaN where it can't be scored, for the ensemble and for each round or member.
    """

    recordings: tuple[str, ...]
    starts: tuple[float, ...]
    length_s: float | None
    classes: tuple[str, ...]
    truth: Truth
    probabilities: Floats
    by: dict[str, Floats]

    @property
    def on_soundscapes(self) -> bool:
        return self.length_s is not None

    @property
    def on(self) -> str:
        return "labelled test soundscapes" if self.on_soundscapes else "held-out recordings"

    @cached_property
    def auc(self) -> Floats:
        return class_auc(self.truth, self.probabilities)


def judged_on_soundscapes(
    submission: Artifact, score: Artifact, truth: Path, soundscapes: Sequence[str], row_s: float
) -> Judged | None:
    """`soundscapes`: the test soundscapes, after which rows are named. None where nothing could be
    scored."""
    scores = json.loads((score / "scores.json").read_text())
    if not scores:
        return None
    both = match_files(submission / "submission.csv", truth)
    path_of = {name: path for path, name in row_names(soundscapes).items()}
    ends = [row.rpartition("_")[2] for row in both.row_ids]
    return Judged(
        recordings=tuple(path_of.get(stem_of(row), "") for row in both.row_ids),
        starts=tuple(max(0.0, _number(end) - row_s) for end in ends),
        length_s=row_s,
        classes=both.labels,
        truth=both.truth,
        probabilities=both.scores,
        by={
            name: np.array([of_one["class_auc"].get(label, np.nan) for label in both.labels])
            for name, of_one in scores.items()
        },
    )


def judged_on_held_out(ensemble: Artifact, rounds: dict[str, list[Artifact]]) -> Judged | None:
    """`rounds`: the models of the rounds that the ensemble weighs; an outside teacher, which held
    out nothing, is left out. None where no recording was held out from all of them."""
    members, classes = members_of(rounds)
    common = sorted(set.intersection(*(set(table.index) for table in members.values())))
    if not common:
        return None
    weighed = json.loads((ensemble / "weights.json").read_text())
    tables = {
        name: stacked(table.loc[common, "probabilities"], np.float64)
        for name, table in members.items()
    }
    first = next(iter(members.values()))
    truth = stacked(first.loc[common, "targets"], np.float32) >= 1
    shares = np.array([weighed["weights"][name] for name in tables], np.float64)
    shares = np.where(shares.sum(axis=0) > 0, shares, 1.0)  # all of it may be an outside teacher's
    blended = blend(
        np.stack(list(tables.values())), shares, weighed["blend"], weighed.get("power", 1.0)
    )
    by = {name: class_auc(truth, table) for name, table in tables.items()}
    return Judged(
        recordings=tuple(common),
        starts=(0.0,) * len(common),
        length_s=None,
        classes=classes,
        truth=truth,
        probabilities=np.asarray(blended, np.float64),
        by=by | {"ensemble": class_auc(truth, blended)},
    )


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:  # a truth of rows that are not named by the clock
        return 0.0
