"""The score of a submission against a truth, both as files."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from birdcore.metrics.metrics import class_auc, cmap, mean_scored
from birdcore.metrics.resampling import bootstrap
from birdcore.metrics.submission import read_submission
from birdcore.metrics.truth import read_truth
from birdcore.unicode_names import nfc


@dataclass(frozen=True)
class Scores:
    """What `score_files` found; `class_auc` holds the classes that could be scored.

    `rows_missing` and `classes_missing` are of the truth and were not given: they are left out.
    """

    macro_auc: float
    macro_auc_low: float
    macro_auc_high: float
    cmap: float
    classes_scored: int
    rows: int
    class_auc: dict[str, float]
    rows_missing: tuple[str, ...] = ()
    classes_missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class Matched:
    """The rows and classes that a truth and a submission have in common, in the truth's order.

    truth: (N, C) whether each class is there; scores: (N, C). What the truth has and the
    submission has not is `rows_missing` and `classes_missing`.
    """

    row_ids: tuple[str, ...]
    labels: tuple[str, ...]
    truth: NDArray[np.bool_]
    scores: NDArray[np.float64]
    rows_missing: tuple[str, ...]
    classes_missing: tuple[str, ...]

    @property
    def recordings(self) -> tuple[str, ...]:
        """Each row's soundscape: the part of its id before the last `_`."""
        return tuple(row_id.rpartition("_")[0] or row_id for row_id in self.row_ids)


class NothingToScore(ValueError):
    """A truth and a submission that have no row, or no class that can be scored, in common."""


def match_files(submission: Path, truth: Path) -> Matched:
    """A submission and a truth (`read_truth`), matched by name.

    Raises ValueError as `read_submission` and `read_truth` do.
    """
    given = read_submission(submission, may_be_empty=True)
    true = read_truth(truth, given.labels)
    given = given.naming(true.labels)
    rows, of_truth, rows_missing = _positions(true.row_ids, given.row_ids)
    columns, classes, classes_missing = _positions(true.labels, given.labels)
    return Matched(
        row_ids=tuple(true.row_ids[at] for at in of_truth),
        labels=tuple(true.labels[at] for at in classes),
        truth=true.scores[np.ix_(of_truth, classes)] == 1,
        scores=given.scores[np.ix_(rows, columns)],
        rows_missing=rows_missing,
        classes_missing=classes_missing,
    )


def match_scorable(submission: Path, truth: Path) -> Matched:
    """As `match_files`; raises NothingToScore where no class of these rows can be scored."""
    both = match_files(submission, truth)
    if not both.truth.size:
        raise NothingToScore(
            f"{submission} has none of the {len(both.rows_missing) + len(both.row_ids)} rows and "
            f"{len(both.classes_missing) + len(both.labels)} classes of {truth}"
        )
    check_scorable(both, submission, truth)
    return both


def check_scorable(both: Matched, submission: Path, truth: Path) -> None:
    """Raise NothingToScore where no class has both rows where it is and rows where it is not."""
    if not (both.truth.any(axis=0) & ~both.truth.all(axis=0)).any():
        raise NothingToScore(
            f"{truth}: no class has both rows where it is and rows where it is not, among the "
            f"{len(both.row_ids)} rows that {submission} has too"
        )


def score_files(
    submission: Path,
    truth: Path,
    *,
    generator: np.random.Generator,
    rounds: int = 1000,
    level: float = 0.95,
) -> Scores:
    """Score a submission against a truth file, see `read_truth`.

    Rows and columns are matched by name; what only one of them has is not scored, and what the
    truth alone has is named. The interval resamples soundscapes, the part of a row id before its
    last `_`. Raises NothingToScore, and ValueError as `match_files` does.
    """
    both = match_scorable(submission, truth)
    per_class = class_auc(both.truth, both.scores)
    low, high = bootstrap(
        both.truth,
        both.scores,
        both.recordings,
        generator=generator,
        rounds=rounds,
        level=level,
    )
    named = zip(both.labels, per_class.tolist(), strict=True)
    scored = {label: value for label, value in named if not np.isnan(value)}
    return Scores(
        macro_auc=mean_scored(per_class),
        macro_auc_low=low,
        macro_auc_high=high,
        cmap=cmap(both.truth, both.scores),
        classes_scored=len(scored),
        rows=len(both.truth),
        class_auc=scored,
        rows_missing=both.rows_missing,
        classes_missing=both.classes_missing,
    )


def _positions(
    required: tuple[str, ...], given: tuple[str, ...]
) -> tuple[list[int], list[int], tuple[str, ...]]:
    """Of names in both: places in `given` and in `required`; and those in `required` alone."""
    place = {nfc(name): at for at, name in enumerate(given)}
    found = [at for at, name in enumerate(required) if nfc(name) in place]
    missing = tuple(name for name in required if nfc(name) not in place)
    return [place[nfc(required[at])] for at in found], found, missing
