"""Rows of windows where one side has events: a submission against labels with times, and
detections against labelled windows.

A window has the labels of the events that it overlaps, and a detection is heard in each window that
it overlaps.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from birdcore.annotations.annotation import EVERY_CLASS
from birdcore.config import Annotations
from birdcore.csv_table import Problem
from birdcore.detection.read import read_detections
from birdcore.detection.scoring import analysed, class_names, name_key, read_labels
from birdcore.metrics import Matched, NothingToScore, read_submission, read_truth
from birdcore.metrics.events import TimedLabels, overlaps
from birdcore.unicode_names import nfc

SEGMENT_S = 5.0
"""A window's length where rows do not show it."""


def label_windows(
    submission: Path, truth: Path, settings: Annotations
) -> tuple[Matched, tuple[Problem, ...]]:
    """A submission beside tables of labels with times, and what of these does not fit.

    Rows of recordings that are not annotated are left out, and those that overlap an uncertain
    label.

    Args:
        submission: A CSV, see `read_submission`.
        truth: A folder of tables of labels, or one table.
        settings: How the tables are to be understood; what is not labelled is not there.

    Raises:
        NothingToScore: No row's recording is annotated.
        ValueError: A table can't be read.
    """
    given = read_submission(submission)
    names, windows = _windows(submission, given.row_ids)
    annotated = read_labels(truth, names, settings)
    given = given.naming(e.label for e in annotated.annotations if e.label != EVERY_CLASS)
    places = {name: at for at, name in enumerate(names)}
    classes = {name_key(label): at for at, label in enumerate(given.labels)}
    labels = [name_key(each.label) for each in annotated.annotations]
    kinds = np.array([each.kind for each in annotated.annotations], str)
    events = TimedLabels(
        np.array([places[each.recording] for each in annotated.annotations], np.intp),
        np.zeros(len(labels), np.intp),
        np.array([each.start_s for each in annotated.annotations], np.float64),
        np.array([each.end_s for each in annotated.annotations], np.float64),
    )
    marks = np.zeros(given.scores.shape, bool)
    kept = np.isin(windows.recording, [places[name] for name in annotated.recordings])
    for row, event, _ in zip(*overlaps(windows, events), strict=True):
        column = classes.get(labels[event])
        if kinds[event] == "present" and column is not None:
            marks[row, column] = True
        elif kinds[event] == "uncertain" and (column is not None or labels[event] == EVERY_CLASS):
            kept[row] = False
    if not kept.any():
        raise NothingToScore(f"{truth} has labels of no recording whose rows are in {submission}")
    present = {each.label for each in annotated.annotations if each.kind == "present"}
    missing = tuple(sorted(label for label in present if name_key(label) not in classes))
    both = Matched(given.row_ids, given.labels, marks, given.scores, (), missing)
    return replace(_rows_of(both, kept), rows_missing=()), annotated.problems


def score_windows(detections: Path, truth: Path) -> Matched:
    """Detections as scores of labelled windows: of each class the highest confidence, or 0.

    Args:
        detections: See `read_detections`.
        truth: See `read_truth`.

    Raises:
        NothingToScore: No row's recording was analysed.
        ValueError: A table can't be read, or two analysed recordings have the name of one row.
    """
    table, true = read_detections(detections), read_truth(truth)
    class_of = class_names(table)
    columns = [class_of.get(name_key(label), label) for label in true.labels]
    names, windows = _windows(truth, true.row_ids)
    places = {name: at for at, name in enumerate(names)}
    files = {file: _row_name(file, places) for file in analysed(detections, table)}
    owners: dict[str, str] = {}
    for file, name in files.items():
        if name is not None and owners.setdefault(name, file) != file:
            raise ValueError(f"{truth}: rows {name}_… may be of {owners[name]} and of {file}")
    recordings = table["file"].astype(str).map(files).map(places)
    numbers = table["class"].astype(str).map({name: at for at, name in enumerate(columns)})
    here = table[recordings.notna() & numbers.notna()]
    events = TimedLabels(
        np.array(recordings[here.index], np.intp),
        np.zeros(len(here), np.intp),
        here["start_s"].to_numpy(np.float64),
        here["end_s"].to_numpy(np.float64),
    )
    rows, found, _ = overlaps(windows, events)
    scores = np.zeros(true.scores.shape)
    label, confidence = np.array(numbers[here.index], np.intp), here["confidence"].to_numpy()
    np.maximum.at(scores, (rows, label[found]), confidence[found])
    kept = np.isin(windows.recording, [places[name] for name in owners])
    if not kept.any():
        raise NothingToScore(f"{detections} has no recording whose rows are in {truth}")
    both = Matched(true.row_ids, true.labels, true.scores == 1, scores, (), ())
    return _rows_of(both, kept)


def _row_name(file: str, places: Mapping[str, int]) -> str | None:
    """What the rows of a recording are called: its stem, or with its folders where those decide."""
    path = PurePosixPath(nfc(file))
    return next((name for name in (str(path.with_suffix("")), path.stem) if name in places), None)


def _rows_of(both: Matched, kept: NDArray[np.bool_]) -> Matched:
    """The rows that a mask (N,) keeps; the others are missing."""

    def named(mask: NDArray[np.bool_]) -> tuple[str, ...]:
        return tuple(row for row, keep in zip(both.row_ids, mask, strict=True) if keep)

    return replace(
        both,
        row_ids=named(kept),
        truth=both.truth[kept],
        scores=both.scores[kept],
        rows_missing=named(~kept),
    )


def _windows(path: Path, row_ids: tuple[str, ...]) -> tuple[list[str], TimedLabels]:
    """The recordings of rows, in order, and the rows' times.

    A window is as long as the least step between two ends of a recording.
    """
    recordings = [nfc(row.rpartition("_")[0]) for row in row_ids]
    try:
        ends = np.array([float(row.rpartition("_")[2]) for row in row_ids])
    except ValueError as error:
        raise ValueError(f"{path}: a row_id does not end in a second, _5 for example") from error
    names, recording = np.unique(recordings, return_inverse=True)
    order = np.lexsort((ends, recording))
    steps = np.diff(ends[order])[np.diff(recording[order]) == 0]
    length = min(steps[steps > 0], default=SEGMENT_S)
    zeros = np.zeros(len(ends), np.intp)
    windows = TimedLabels(recording, zeros, np.maximum(ends - length, 0), ends)
    return [str(name) for name in names], windows
