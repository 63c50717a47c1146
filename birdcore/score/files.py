"""Submissions and truths as files, and the score of one against the other."""

import csv
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from birdcore.score.metrics import bootstrap, class_auc, cmap, macro_auc, mean_scored


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
        macro_auc=mean_scored(per_class),
        macro_auc_low=low,
        macro_auc_high=high,
        cmap=cmap(hits, scores),
        classes_scored=len(scored),
        rows=len(hits),
        class_auc=scored,
    )


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
