"""Detections against labels of people: which events were found.

Detections and labels come from different programs: recordings are matched as tables of labels are
to recordings, and classes by any of their names.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pandas as pd

from birdcore.annotations.annotation import EVERY_CLASS, Annotated, Annotation, Kind
from birdcore.annotations.readers import format_of, read_annotations
from birdcore.annotations.table import Table
from birdcore.config import Annotations
from birdcore.csv_table import Problem
from birdcore.detection.read import FILES, read_detections, read_files
from birdcore.metrics import NothingToScore
from birdcore.metrics.class_table import read_thresholds
from birdcore.metrics.evaluation import Evaluation, evaluate_counts
from birdcore.metrics.events import OverlapOf, TimedLabels, count_events
from birdcore.metrics.resampling import draw_groups
from birdcore.unicode_names import nfc

Labelled: TypeAlias = tuple[Annotation, str]
"""An annotation and the class that its label means."""


@dataclass(frozen=True)
class EventScores:
    """How well events were found.

    Attributes:
        labels: (C,), the classes of the truth and of the detections.
        evaluation: Precision, recall and F1; columns are by `labels`.
        recordings: How many were scored: they are annotated, and analysed.
        true: The number of true events.
        found: The number of detections in those recordings.
        outside: The number of detections in other recordings.
        all_known: Whether recordings without a detection are known, by `files.csv`.
        never_found: Classes of the truth of which there is no detection anywhere.
        problems: What of the truth does not fit and was left out.
    """

    labels: tuple[str, ...]
    evaluation: Evaluation
    recordings: int
    true: int
    found: int
    outside: int
    all_known: bool
    never_found: tuple[str, ...]
    problems: tuple[Problem, ...]


def score_events(
    detections: Path,
    truth: Path,
    settings: Annotations,
    *,
    generator: np.random.Generator,
    rounds: int = 1000,
    level: float = 0.95,
    threshold: float | Path | None = None,
    min_overlap: float = 0.5,
    of: OverlapOf = "union",
) -> EventScores:
    """Score detections against tables of labels.

    What is not labelled in an annotated recording is not there.

    Args:
        detections: See `read_detections`. Where `files.csv` is beside them, a recording without
            detections is known too.
        truth: A folder of tables of labels, or one table.
        settings: How the tables are to be understood.
        generator: Of the draws of recordings.
        rounds: The number of draws.
        level: Of the intervals.
        threshold: The least confidence that counts, or a table of it by class.
        min_overlap: See `birdcore.metrics.events.match_events`.
        of: See there.

    Raises:
        NothingToScore: No true event is in a recording that was analysed.
        ValueError: A table can't be read.
        OSError: A file can't be read.
    """
    table = read_detections(detections)
    seconds = analysed(detections, table)
    known = {name: length for name, length in seconds.items() if length > 0}
    annotated = read_labels(truth, sorted(seconds), settings, known)
    class_of = class_names(table)
    present = _of_kind("present", annotated, class_of)
    if not present:
        raise NothingToScore(
            f"{truth} has no event in the {len(seconds)} recordings of {detections}"
            + "".join(f"; {each.problem}: {each.detail}" for each in annotated.problems[:1])
        )
    inside = table[table["file"].isin(annotated.recordings)]
    places = {name: at for at, name in enumerate(sorted(annotated.recordings))}
    labels = sorted({label for _, label in present} | {*inside["class"].astype(str)})
    numbers = {label: at for at, label in enumerate(labels)}
    true = _timed(present, places, numbers)
    found = TimedLabels(
        np.array(inside["file"].astype(str).map(places), np.intp),
        np.array(inside["class"].astype(str).map(numbers), np.intp),
        inside["start_s"].to_numpy(np.float64),
        inside["end_s"].to_numpy(np.float64),
    )
    if threshold is not None:
        limits = read_thresholds(threshold, labels) if isinstance(threshold, Path) else threshold
        limit = np.broadcast_to(limits, len(labels))[found.label]
        found = found.where(inside["confidence"].to_numpy() >= limit)
    counts = count_events(
        true,
        found,
        (len(places), len(labels)),
        uncertain=_timed(_of_kind("uncertain", annotated, class_of), places, numbers),
        min_overlap=min_overlap,
        of=of,
    )
    draws = draw_groups(np.arange(len(places)), generator=generator, rounds=rounds)
    return EventScores(
        labels=tuple(labels),
        evaluation=evaluate_counts(counts, draws.times, level),
        recordings=len(places),
        true=len(true),
        found=len(found),
        outside=len(table) - len(inside),
        all_known=_files(detections).is_file(),
        never_found=tuple(sorted({label for _, label in present} - {*class_of.values()})),
        problems=annotated.problems,
    )


def read_labels(
    truth: Path,
    recordings: Sequence[str],
    settings: Annotations,
    durations: Mapping[str, float] | None = None,
) -> Annotated:
    """As `read_annotations`, of a folder or a table; raises ValueError where it is neither."""
    if not truth.exists():
        raise ValueError(f"{truth} is not there")
    if truth.is_file() and format_of(Table(truth, truth.name)) is None:
        raise ValueError(
            f"{truth}:1: no true labels: neither of rows (row_id, or filename, start, end and "
            "primary_label) nor a table of labels with times that is known (Raven, Audacity, CSV)"
        )
    return read_annotations(truth, recordings, settings, durations)


def analysed(detections: Path, table: pd.DataFrame) -> dict[str, float]:
    """Seconds of each analysed recording, 0 where unknown."""
    seconds = dict.fromkeys(map(str, table["file"].unique()), 0.0)
    if (path := _files(detections)).is_file():
        files = read_files(path.parent)
        seconds |= dict(zip(files["file"].astype(str), files["seconds"].fillna(0.0), strict=True))
    return seconds


def _files(detections: Path) -> Path:
    return (detections if detections.is_dir() else detections.parent) / FILES


def class_names(table: pd.DataFrame) -> dict[str, str]:
    """The class that each name means, whether it is a code, a scientific or a common name."""
    names = table[["class", "scientific_name", "common_name"]].drop_duplicates().astype(str)
    classes: dict[str, str] = {}
    for column in names:
        for name, label in zip(names[column], names["class"], strict=True):
            if name:
                classes.setdefault(name_key(name), label)
    return classes


def name_key(name: str) -> str:
    """A name of a class without what differs between tables: case, and how accents are written."""
    return nfc(name).casefold().strip()


def _of_kind(kind: Kind, annotated: Annotated, class_of: Mapping[str, str]) -> list[Labelled]:
    return [
        (each, class_of.get(name_key(each.label), each.label))
        for each in annotated.annotations
        if each.kind == kind
    ]


def _timed(
    labels: Sequence[Labelled], places: Mapping[str, int], numbers: Mapping[str, int]
) -> TimedLabels:
    """Annotations as arrays. One of every class is one of each, one of no class here is none."""
    rows = [
        (places[each.recording], number, each.start_s, each.end_s)
        for each, label in labels
        for number in (numbers.values() if label == EVERY_CLASS else _one(numbers.get(label)))
    ]
    recording, number, start, end = np.array(rows, np.float64).reshape(-1, 4).T
    return TimedLabels(recording.astype(np.intp), number.astype(np.intp), start, end)


def _one(number: int | None) -> tuple[int, ...]:
    return () if number is None else (number,)
