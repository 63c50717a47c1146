"""What is heard in which seconds of a competition's training soundscapes.

Two competitions labelled some of them, in tables of different form. In 2021's, a row is five
seconds, called `7019_COR_5` after the first two parts of a file's name and the second at which it
ends. In 2026's, a row names the file and both ends as HH:MM:SS, and stands there twice. Seconds
that no row names are unlabelled: nobody said that nothing is heard in them. Of a window that is
`nocall`, somebody did.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from birdcore.csv_table import Problem, TableError, read_table
from birdcore.sources.label_lists import NO_CLASS, label_list
from birdcore.sources.row_names import number_and_site
from birdcore.unicode_names import nfc

SOUNDSCAPE_LABELS = ("train_soundscapes_labels.csv", "train_soundscape_labels.csv")
"""What the table is called: in 2026, in 2021."""
NEEDS_2021: tuple[str, ...] = ("row_id", "seconds", "birds")
NEEDS_2026: tuple[str, ...] = ("filename", "start", "end", "primary_label")
SEGMENT_S = 5.0
"""How long a window of 2021 is, of which the table gives the end alone."""


@dataclass(frozen=True)
class LabelledWindow:
    """A stretch of a recording of which it is known what is heard in it.

    Attributes:
        recording: The recording's name, as the source's files have it.
        start_s: Where it begins, in seconds from the recording's begin.
        end_s: Where it ends.
        labels: What is heard, each label once; empty where nothing is.
        line: The first line of the table that says so.
    """

    recording: str
    start_s: float
    end_s: float
    labels: tuple[str, ...]
    line: int


@dataclass(frozen=True)
class SoundscapeLabels:
    """The windows of a table in the order of recordings and times, and what does not fit."""

    windows: tuple[LabelledWindow, ...]
    problems: tuple[Problem, ...]


@dataclass(frozen=True)
class _Row:
    name: str
    start_s: float
    end_s: float
    labels: tuple[str, ...]


def read_soundscape_labels(path: Path, recordings: Iterable[str]) -> SoundscapeLabels:
    """The labelled windows of a table of 2021 or 2026.

    Args:
        path: The table; its columns say which year's it is.
        recordings: The soundscapes that are there, by their names in the source.

    Returns:
        Each window once, however often a row gives it. A row whose soundscape is not there, whose
        times are none or that names nothing is left out, with a problem; where two rows differ in
        what is heard, both are right.

    Raises:
        TableError: The table can't be read, or has neither year's columns.

    Example:
        >>> path = Path("birdclef-2026/train_soundscapes_labels.csv")
        >>> found = read_soundscape_labels(path, files)  # doctest: +SKIP
        >>> found.windows[0]  # doctest: +SKIP
        LabelledWindow('train_soundscapes/BC2026_Train_0001_S08_20250606_030007.ogg', 0.0, 5.0, …)
    """
    table = read_table(path, (), may_be_empty=True)
    read: Callable[..., _Row]
    if set(NEEDS_2026) <= set(table.columns):
        read, needs = _row_2026, NEEDS_2026
    elif set(NEEDS_2021) <= set(table.columns):
        read, needs = _row_2021, NEEDS_2021
    else:
        raise TableError(
            f"{path}:1: labels of soundscapes have the columns {', '.join(NEEDS_2026)} (2026) or "
            f"{', '.join(NEEDS_2021)} (2021); there are {', '.join(table.columns)[:400]}"
        )
    known = _by_name(recordings)
    windows: dict[tuple[str, float, float], LabelledWindow] = {}
    problems: list[Problem] = []
    for line, cells in zip(table.index, table[list(needs)].itertuples(index=False), strict=True):
        where = f"{path.name}:{line}"
        try:
            row = read(*cells)
            recording = _only(row.name, known)
        except ValueError as error:
            problems.append(Problem("no labelled window", where, str(error)))
            continue
        window = LabelledWindow(recording, row.start_s, row.end_s, row.labels, int(line))
        place = (recording, row.start_s, row.end_s)
        earlier = windows.setdefault(place, window)
        if set(earlier.labels) != set(row.labels):
            heard = tuple(dict.fromkeys((*earlier.labels, *row.labels)))
            windows[place] = LabelledWindow(*place, heard, earlier.line)
            detail = f"line {earlier.line} says otherwise: labels of both count"
            problems.append(Problem("window labelled twice", where, detail))
    ordered = sorted(windows.values(), key=lambda each: (each.recording, each.start_s, each.end_s))
    return SoundscapeLabels(tuple(ordered), (*problems, *_overlaps(path, ordered)))


def labels_of(text: str) -> tuple[str, ...]:
    """The labels of a cell, between semicolons or spaces; none for `nocall`.

    Raises ValueError for an empty cell: whether something is heard is not said.
    """
    found = label_list(nfc(text))
    if not found:
        raise ValueError(f"no label: where nothing is heard, {NO_CLASS} stands")
    return tuple(label for label in found if label != NO_CLASS)


def seconds(text: str) -> float:
    """A time in seconds: `00:01:05`, `1:05.5` or `65`; raises ValueError for anything else.

    Example:
        >>> seconds("00:01:05")
        65.0
    """
    parts = text.split(":")
    try:
        numbers = [float(part) if part.replace(".", "", 1).isdecimal() else -1.0 for part in parts]
    except ValueError:
        numbers = [-1.0]
    if len(parts) > 3 or min(numbers) < 0 or any(number >= 60 for number in numbers[1:]):
        raise ValueError(f"{text!r} is no time such as 00:01:05")
    return sum(number * 60.0**power for power, number in enumerate(reversed(numbers)))


def _row_2026(filename: str, start: str, end: str, labels: str) -> _Row:
    start_s, end_s = seconds(start), seconds(end)
    if end_s <= start_s:
        raise ValueError(f"it ends at {end} and begins at {start}")
    return _Row(filename, start_s, end_s, labels_of(labels))


def _row_2021(row_id: str, end: str, birds: str) -> _Row:
    name, _, _ = row_id.rpartition("_")
    end_s = seconds(end)
    if end_s < SEGMENT_S:
        raise ValueError(f"it ends at {end} s, before {SEGMENT_S:g} s")
    return _Row(name, end_s - SEGMENT_S, end_s, labels_of(birds))


def _by_name(recordings: Iterable[str]) -> Mapping[str, set[str]]:
    """Recordings by what tables call them: a file's name, its stem, or the stem's first parts."""
    known: dict[str, set[str]] = defaultdict(set)
    for recording in recordings:
        path = PurePosixPath(recording)
        for name in (recording, path.name, path.stem, number_and_site(recording)):
            known[name].add(recording)
    return known


def _only(name: str, known: Mapping[str, set[str]]) -> str:
    """The one recording of a name; raises ValueError where there is none, or several."""
    found = sorted(known.get(nfc(name), ()))
    if not found:
        raise ValueError(f"there is no soundscape {name!r}")
    if len(found) > 1:
        raise ValueError(f"{name!r} could be {' or '.join(found[:3])}")
    return found[0]


def _overlaps(path: Path, windows: Iterable[LabelledWindow]) -> Iterator[Problem]:
    """Windows that begin before the one before them ends, in order of recording and time."""
    before: LabelledWindow | None = None
    for window in windows:
        same = before is not None and before.recording == window.recording
        if before is not None and same and window.start_s < before.end_s:
            detail = f"{window.start_s:g} to {window.end_s:g} s overlaps line {before.line}"
            yield Problem("windows overlap", f"{path.name}:{window.line}", detail)
        before = window
