"""Labelled windows of a competition's training soundscapes (2021, 2026), as annotations.

They are the only labels from where the test recordings come from, so they train and validate as
annotated recordings do, whose other windows are unlabelled.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from birdcore.annotations.annotation import Annotation
from birdcore.csv_table import Problem, is_there
from birdcore.sources.annotated import AnnotatedRecordings, annotated_recordings
from birdcore.sources.soundscape_labels import (
    SOUNDSCAPE_LABELS,
    SoundscapeLabels,
    read_soundscape_labels,
)

LABELLED_SOUNDSCAPES = "labelled_soundscapes"
"""What shards and steps of these soundscapes are called."""
SITE_AND_DAY = re.compile(r"_(S\d+_\d{8})_")
"""In the names of 2026's soundscapes."""


def labelled_windows(root: Path, soundscapes: Iterable[str]) -> SoundscapeLabels:
    """The labelled windows of the folder's soundscapes; none where no table has any."""
    for name in SOUNDSCAPE_LABELS:
        if is_there(root / name):
            return read_soundscape_labels(root / name, soundscapes)
    return SoundscapeLabels((), ())


def annotated_windows(
    root: Path, soundscapes: Mapping[str, str], classes: Sequence[str]
) -> tuple[AnnotatedRecordings | None, list[Problem]]:
    """The labelled windows as annotations: what is not named in a window is absent from it.

    Args:
        root: The data folder.
        soundscapes: sha256 of those that have such windows.
        classes: Labels of windows that are none are left out, and reported.
    """
    if not soundscapes:
        return None, []
    found, known = labelled_windows(root, soundscapes), set(classes)
    table = next(name for name in SOUNDSCAPE_LABELS if is_there(root / name))
    problems = list(found.problems)
    annotations: list[Annotation] = []
    complete: list[tuple[str, float, float]] = []
    ends = dict.fromkeys(soundscapes, 0.0)
    for window in found.windows:
        name = window.recording
        for label in window.labels:
            if label in known:
                where = f"{table}:{window.line}"
                times = (name, window.start_s, window.end_s, None, None)
                annotations.append(Annotation(*times, label, "present", where))
            else:
                problems.append(Problem("unknown label", f"{table}:{window.line}", label))
        start_s = max(window.start_s, ends[name])  # windows that overlap are counted once
        if start_s < window.end_s:
            complete.append((name, start_s, window.end_s))
            ends[name] = window.end_s
    groups = [(name, _site_and_day(name)) for name in sorted(soundscapes)]
    return annotated_recordings(annotations, complete, groups), problems


def _site_and_day(name: str) -> str:
    """Soundscapes of one site and day are alike; where a name has no such parts, it is alone.

    Example:
        >>> _site_and_day("train_soundscapes/BC2026_Train_0039_S22_20211231_201500.ogg")
        'S22_20211231'
    """
    found = SITE_AND_DAY.search(PurePosixPath(name).stem)
    return found[1] if found else name
