"""How good predictions are: the metrics of BirdCLEF, intervals around them, and their files.

BirdCLEF is judged by the ROC-AUC of every class that occurs, averaged over those classes. Both
metrics here need only the sorted scores of a class's positives and of its negatives: two sorts
and a binary search instead of a curve of thresholds. Windows of one soundscape are alike, so an
interval resamples soundscapes, not rows.
"""

import csv
import io
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

Metric = Callable[[NDArray[np.bool_], NDArray[np.floating]], float]
COLUMNS_AT_ONCE = 16  # one cache line of a row holds 8 to 16 scores


@dataclass(frozen=True)
class Submission:
    """A table of `row_id` and one score per class: `scores` is (rows, labels)."""

    row_ids: tuple[str, ...]
    labels: tuple[str, ...]
    scores: NDArray[np.float64]


@dataclass(frozen=True)
class Scores:
    """What `score_files` found; `class_auc` holds the classes that could be scored."""

    macro_auc: float
    macro_auc_low: float
    macro_auc_high: float
    cmap: float
    classes_scored: int
    rows: int
    class_auc: dict[str, float]


def class_auc(truth: ArrayLike, scores: ArrayLike) -> NDArray[np.float64]:
    """ROC-AUC of each class, (C,): the share of positive-negative pairs in order, a tie one half.

    `truth` (N, C) is 0 or 1, `scores` (N, C) any finite numbers. NaN where a class has no
    positives or no negatives. Equal to `sklearn.metrics.roc_auc_score`. Raises ValueError on
    shapes that differ, soft truth, and NaN or infinite scores.
    """
    return np.array([_auc(*split) for split in _by_class(*_checked(truth, scores))])


def macro_auc(truth: ArrayLike, scores: ArrayLike) -> float:
    """The BirdCLEF metric: mean `class_auc` over classes with positives and negatives.

    Raises ValueError where there is no such class, and as `class_auc` does.
    """
    return _mean_scored(class_auc(truth, scores))


def cmap(truth: ArrayLike, scores: ArrayLike, padding: int = 0) -> float:
    """Class-mean average precision over classes with positives.

    `padding` > 0 appends so many rows of ones to both, as BirdCLEF 2023 did (with 5): every
    class then counts, and rare ones weigh less. Per class equal to
    `sklearn.metrics.average_precision_score`. Raises ValueError as `macro_auc` does.
    """
    hits, values = _checked(truth, scores)
    if padding:
        shape = (padding, hits.shape[1])
        hits = np.concatenate([hits, np.ones(shape, bool)])
        values = np.concatenate([values, np.ones(shape, values.dtype)])
    return _mean_scored(np.array([_average_precision(*s) for s in _by_class(hits, values)]))


def bootstrap(
    truth: NDArray[np.bool_],
    scores: NDArray[np.floating],
    groups: ArrayLike,
    metric: Metric,
    *,
    generator: np.random.Generator,
    rounds: int = 1000,
    level: float = 0.95,
) -> tuple[float, float]:
    """Percentile interval of `metric`, resampling groups of rows with replacement.

    `groups` (N,) names the group (soundscape) of each row. Draws in which the metric has nothing
    to score are left out. Raises what the metric raises on all the rows.
    """
    metric(truth, scores)
    _, group, sizes = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    draws = generator.integers(len(sizes), size=(rounds, len(sizes)))
    if metric is macro_auc:  # needs no row twice: pairs won between groups are counted once
        values = _resampled_macro_auc(*_checked(truth, scores), group, draws)
    else:
        values = _resampled(truth, scores, metric, group, draws)
    if not values.size:
        raise ValueError(f"none of {rounds} draws of {len(sizes)} groups could be scored")
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def read_submission(path: Path) -> Submission:
    """Read a CSV of `row_id` and one column per class.

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
    if not table:
        raise ValueError(f"{path}: a header and no rows")
    scores = np.array(table)
    for row, column in np.argwhere(~np.isfinite(scores))[:1]:
        where = f"{path}, line {list(lines.values())[row]}, column {labels[column]}"
        raise ValueError(f"{where}: not a finite number")
    return Submission(tuple(lines), labels, scores)


def score_files(
    submission: Path,
    truth: Path,
    *,
    generator: np.random.Generator,
    rounds: int = 1000,
    level: float = 0.95,
) -> Scores:
    """Score a submission against a truth file of the same form with cells 0 and 1.

    Rows and columns are matched by name; what only the submission has is not scored. The
    interval resamples soundscapes, the part of a row id before its last `_`. Raises ValueError
    where the submission lacks a row or column of the truth, and as `read_submission` does.
    """
    given, true = read_submission(submission), read_submission(truth)
    for row, column in np.argwhere((true.scores != 0) & (true.scores != 1))[:1]:
        where = f"{truth}, row {true.row_ids[row]}, column {true.labels[column]}"
        raise ValueError(f"{where}: {true.scores[row, column]:g} is neither 0 nor 1")
    rows = _positions(true.row_ids, given.row_ids, f"rows of {truth}", submission)
    columns = _positions(true.labels, given.labels, f"columns of {truth}", submission)
    hits, scores = true.scores == 1, given.scores[np.ix_(rows, columns)]
    per_class = class_auc(hits, scores)
    groups = [row_id.rpartition("_")[0] or row_id for row_id in true.row_ids]
    low, high = bootstrap(
        hits, scores, groups, macro_auc, generator=generator, rounds=rounds, level=level
    )
    named = zip(true.labels, per_class.tolist(), strict=True)
    scored = {label: value for label, value in named if not np.isnan(value)}
    return Scores(
        macro_auc=_mean_scored(per_class),
        macro_auc_low=low,
        macro_auc_high=high,
        cmap=cmap(hits, scores),
        classes_scored=len(scored),
        rows=len(hits),
        class_auc=scored,
    )


def _checked(truth: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.bool_], NDArray[np.floating]]:
    marks, values = np.asarray(truth), np.asarray(scores)
    if marks.ndim != 2 or marks.shape != values.shape:
        raise ValueError(
            f"truth {marks.shape} and scores {values.shape} must be tables (rows, classes) alike"
        )
    if not (values.dtype == np.float32 or values.dtype == np.float64):
        values = values.astype(np.float64)
    finite = np.isfinite(values)
    if not finite.all():
        row, column = np.argwhere(~finite)[0]
        raise ValueError(
            f"{np.count_nonzero(~finite)} scores are NaN or infinite, the first in row {row}, "
            f"class {column} (counted from 0)"
        )
    hits: NDArray[np.bool_] = marks == 1
    if marks.dtype != np.bool_ and not (hits | (marks == 0)).all():
        raise ValueError("truth must hold 0 and 1 only: turn soft labels into hard ones first")
    return hits, values


def _by_class(
    hits: NDArray[np.bool_], values: NDArray[np.floating]
) -> Iterator[tuple[NDArray[np.floating], NDArray[np.floating]]]:
    """The sorted scores of the positives and of the negatives, class by class."""
    for first in range(0, hits.shape[1], COLUMNS_AT_ONCE):
        block = slice(first, first + COLUMNS_AT_ONCE)
        columns = np.ascontiguousarray(values[:, block].T)
        for hit, column in zip(np.ascontiguousarray(hits[:, block].T), columns, strict=True):
            yield np.sort(column[hit]), np.sort(column[~hit])


def _auc(positives: NDArray[np.floating], negatives: NDArray[np.floating]) -> float:
    pairs = positives.size * negatives.size
    if not pairs:
        return float("nan")
    below = negatives.searchsorted(positives, "left").sum()
    not_above = negatives.searchsorted(positives, "right").sum()
    return float(below + not_above) / (2 * pairs)


def _average_precision(positives: NDArray[np.floating], negatives: NDArray[np.floating]) -> float:
    if not positives.size:
        return float("nan")
    hits = positives.size - positives.searchsorted(positives, "left")
    false_alarms = negatives.size - negatives.searchsorted(positives, "left")
    return float(np.mean(hits / (hits + false_alarms)))


def _resampled(
    truth: NDArray[np.bool_],
    scores: NDArray[np.floating],
    metric: Metric,
    group: NDArray[np.intp],
    draws: NDArray[np.int64],
) -> NDArray[np.float64]:
    rows_of = np.split(np.argsort(group, kind="stable"), np.cumsum(np.bincount(group))[:-1])
    values = []
    for draw in draws:
        rows = np.concatenate([rows_of[i] for i in draw])
        with suppress(ValueError):
            values.append(metric(truth[rows], scores[rows]))
    return np.array(values)


def _resampled_macro_auc(
    hits: NDArray[np.bool_],
    values: NDArray[np.floating],
    group: NDArray[np.intp],
    draws: NDArray[np.int64],
) -> NDArray[np.float64]:
    """`macro_auc` of each draw: pairs won, summed over the pairs of groups that were drawn."""
    groups = draws.shape[1]
    times = np.apply_along_axis(np.bincount, 1, draws, minlength=groups).astype(np.float64)
    total, scored = np.zeros((2, len(draws)))
    for hit, column in zip(hits.T, values.T, strict=True):
        order = np.flatnonzero(hit)[np.argsort(column[hit])]
        others, of_others, of_positives = column[~hit], group[~hit], group[order]
        # row k: twice the pairs that the k-th lowest positive wins in each group, a tie counts 1
        table = np.zeros((len(order) + 1) * groups, np.int64)
        for side in ("left", "right"):
            cells = column[order].searchsorted(others, side) * groups + of_others
            table += np.bincount(cells, minlength=len(table))
        won = table.reshape(-1, groups)[:-1].cumsum(axis=0)
        present, place = np.unique(of_positives, return_inverse=True)
        between = np.zeros((len(present), groups))
        np.add.at(between, place, won)
        pairs = times @ np.bincount(of_positives, minlength=groups)
        pairs *= times @ np.bincount(of_others, minlength=groups)
        auc = ((times @ between.T) * times[:, present]).sum(axis=1) / np.maximum(2 * pairs, 1)
        total += auc
        scored += pairs > 0
    return total[scored > 0] / scored[scored > 0]


def _mean_scored(per_class: NDArray[np.float64]) -> float:
    scored = per_class[~np.isnan(per_class)]
    if not scored.size:
        raise ValueError("no class can be scored: none has the positives (and negatives) it needs")
    return float(scored.mean())


def _text(path: Path) -> str:
    data = path.read_bytes()
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
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise ValueError(f"{path}, line 1: columns given twice: {', '.join(twice)}")
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
    wanted: tuple[str, ...], given: tuple[str, ...], what: str, path: Path
) -> NDArray[np.intp]:
    place = {name: i for i, name in enumerate(given)}
    missing = [name for name in wanted if name not in place]
    if missing:
        some = ", ".join(missing[:5]) + (", …" if len(missing) > 5 else "")
        raise ValueError(f"{path} lacks {len(missing)} of {len(wanted)} {what}: {some}")
    return np.array([place[name] for name in wanted])
