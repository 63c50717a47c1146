"""Submissions and truths as files, and the score of one against the other."""

import csv
import io
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from birdcore.metrics.metrics import class_auc, cmap, mean_scored
from birdcore.metrics.resampling import bootstrap
from birdcore.unicode_names import nfc


@dataclass(frozen=True)
class Submission:
    """A table of `row_id` and one score per class: `scores` is (rows, labels)."""

    row_ids: tuple[str, ...]
    labels: tuple[str, ...]
    scores: NDArray[np.float64]


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


def read_submission(path: Path, *, may_be_empty: bool = False) -> Submission:
    """Read a CSV of `row_id` and one column per class; `may_be_empty`: a header alone will do.

    Raises OSError where the file cannot be opened, and ValueError with file, line and column
    for anything that is not a table of finite numbers with unique row ids and labels.
    """
    reader = csv.reader(io.StringIO(_text(path), newline=""), strict=True)
    lines: dict[str, int] = {}
    table: list[list[float]] = []
    try:
        header = next((cells for cells in reader if cells), [])
        labels, id_column = _read_header(path, header)
        for cells in filter(None, reader):
            where = f"{path}, line {reader.line_num}"
            if len(cells) != len(header):
                raise ValueError(f"{where}: {len(cells)} cells, the header has {len(header)}")
            row_id = cells.pop(id_column)
            if not row_id or row_id in lines:
                why = f"{row_id!r} is already on line {lines[row_id]}" if row_id else "empty"
                raise ValueError(f"{where}, column row_id: {why}")
            lines[row_id] = reader.line_num
            table.append([_number(cell) for cell in cells])
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num}: {error}") from error
    if not table and not may_be_empty:
        raise ValueError(f"{path}: a header and no rows")
    scores = np.array(table, np.float64).reshape(len(table), len(labels))
    for row, column in np.argwhere(~np.isfinite(scores))[:1]:
        where = f"{path}, line {list(lines.values())[row]}, column {labels[column]}"
        raise ValueError(f"{where}: not a finite number")
    return Submission(tuple(lines), labels, scores)


def match_files(submission: Path, truth: Path) -> Matched:
    """A submission and a truth file of the same form with cells 0 and 1, matched by name.

    Raises ValueError where the truth holds other numbers, and as `read_submission` does.
    """
    given, true = read_submission(submission, may_be_empty=True), read_submission(truth)
    for row, column in np.argwhere((true.scores != 0) & (true.scores != 1))[:1]:
        where = f"{truth}, row {true.row_ids[row]}, column {true.labels[column]}"
        raise ValueError(f"{where}: {true.scores[row, column]:g} is neither 0 nor 1")
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
    if not (both.truth.any(axis=0) & ~both.truth.all(axis=0)).any():
        raise NothingToScore(
            f"{truth}: no class has both rows where it is and rows where it is not, among the "
            f"{len(both.row_ids)} rows that {submission} has too"
        )
    return both


def score_files(
    submission: Path,
    truth: Path,
    *,
    generator: np.random.Generator,
    rounds: int = 1000,
    level: float = 0.95,
) -> Scores:
    """Score a submission against a truth file of the same form with cells 0 and 1.

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


def _text(path: Path) -> str:
    if path.exists() and not path.is_file() and not path.is_dir():
        raise ValueError(f"{path}: a pipe or device, no table")
    data = path.read_bytes()
    if (at := data.find(b"\0")) >= 0 and not data.startswith((b"\xff\xfe", b"\xfe\xff")):
        line = data.count(b"\n", 0, at) + 1
        raise ValueError(f"{path}, line {line}: a NUL byte: no UTF-8 text, or damaged")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{path}, line {line}: not UTF-8 text, save it as UTF-8") from error


def _read_header(path: Path, header: list[str]) -> tuple[tuple[str, ...], int]:
    if not header:
        raise ValueError(f"{path}: empty")
    if "row_id" not in header:
        raise ValueError(f"{path}, line 1: no column row_id among {', '.join(header)[:80]}")
    twice = sorted(name for name, times in Counter(header).items() if times > 1)
    if twice:
        raise ValueError(f"{path}, line 1: columns given twice: {', '.join(twice)[:400]}")
    if len(header) == 1:
        raise ValueError(f"{path}, line 1: no class columns beside row_id")
    id_column = header.index("row_id")
    return (*header[:id_column], *header[id_column + 1 :]), id_column


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return float("nan")


def _positions(
    required: tuple[str, ...], given: tuple[str, ...]
) -> tuple[list[int], list[int], tuple[str, ...]]:
    """Of names in both: places in `given` and in `required`; and those in `required` alone."""
    place = {nfc(name): at for at, name in enumerate(given)}
    found = [at for at, name in enumerate(required) if nfc(name) in place]
    missing = tuple(name for name in required if nfc(name) not in place)
    return [place[nfc(required[at])] for at in found], found, missing
