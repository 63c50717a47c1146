"""The door to formats of labels, and from a folder of tables to the labels of its recordings.

To add a format, write a module with `fits` (whether a table is of it, by its head) and `read` (its
rows as `Row`), list it in `READERS`, and allow its name in `birdcore.config.annotations`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from birdcore.annotations import (
    audacity,
    crowsetta_formats,
    csv_windows,
    hoplite,
    kaleidoscope,
    raven,
    wide,
)
from birdcore.annotations.annotation import Annotated, Annotation, Said, said
from birdcore.annotations.match import Names
from birdcore.annotations.place import in_negative_folder, place
from birdcore.annotations.row import Row
from birdcore.annotations.table import Table, find_tables
from birdcore.config import Annotations
from birdcore.csv_table import Problem
from birdcore.text import first_of
from birdcore.unicode_names import nfc


@dataclass(frozen=True)
class Reader:
    """A format: whether a table is of it, its rows, and what to say of what is not read."""

    fits: Callable[[Table], bool]
    read: Callable[[Table, Annotations], list[Row]]
    left_out: Callable[[Table, Annotations], list[Problem]] = lambda table, settings: []


READERS = {
    "raven": Reader(raven.fits, raven.read),
    "kaleidoscope": Reader(kaleidoscope.fits, kaleidoscope.read),
    "pyha": Reader(kaleidoscope.fits_pyha, kaleidoscope.read),
    "hoplite": Reader(hoplite.fits, hoplite.read),
    "wide": Reader(wide.fits, wide.read, wide.columns_left_out),
    "csv": Reader(csv_windows.fits, csv_windows.read),
    "audacity": Reader(audacity.fits, audacity.read),
    "crowsetta": Reader(crowsetta_formats.fits, crowsetta_formats.read),
}
"""Formats by the name that `data.annotations.format` gives; the first that fits reads a table."""

AUTO = Annotations()


def read_annotations(
    root: Path,
    recordings: Sequence[str],
    settings: Annotations,
    durations: Mapping[str, float] | None = None,
) -> Annotated:
    """What the tables below a folder say of its recordings.

    Args:
        root: The folder, or one table in it.
        recordings: Audio files below it, with slashes and in NFC.
        settings: What tables leave open.
        durations: Seconds by recording, for those where they are known: labels are cut there.

    Returns:
        Annotations in the order of recordings and times, with what does not fit.

    Raises:
        TableError: A table can't be read, or says no labels and no setting does.

    Example:
        >>> settings = Annotations(label="noisy pitta", complete=True)
        >>> read_annotations(root, recordings, settings).recordings  # doctest: +SKIP
        frozenset({'pos/070005/sel.01.ch01.221101.151351.10..flac', ...})
    """
    tables, problems = ([Table(root, nfc(root.name))], []) if root.is_file() else find_tables(root)
    names = Names(recordings)
    made: dict[Said, Annotation] = {}
    covered: set[str] = set()
    annotators: set[tuple[str, str]] = set()
    for table in tables:
        name = format_of(table, settings)
        if name is None:
            problems += passed_over(table)
        elif table.head.strip() or names.of_table(table.name):  # an empty note is no table
            part = place(
                table, READERS[name].read(table, settings), names, settings, durations or {}
            )
            covered |= part.recordings
            annotators |= part.annotators
            left_out = READERS[name].left_out(table, settings)
            problems += [*part.problems, *left_out, *_detections(table)]
            new = {said(each): each for each in part.annotations}
            if again := len(made.keys() & new.keys()):
                detail = f"{again} of {len(new)}, counted once"
                problems.append(Problem("labels that another table has too", table.name, detail))
            made |= {key: each for key, each in new.items() if key not in made}
    heard = {each.recording for each in made.values() if each.kind != "absent"}
    silent = {each for each in recordings if in_negative_folder(each, settings)} - heard
    if bare := sorted({*recordings} - covered - silent):
        if settings.without_table == "silent":
            silent.update(bare)
        else:
            many = f"{len(bare)}: {first_of(bare, 3)}"
            problems.append(Problem("recordings without a table, not annotated", ".", many))
    return Annotated(
        annotations=tuple(sorted(made.values(), key=_place)),
        recordings=frozenset(covered | silent),
        problems=tuple(problems),
        silent=frozenset(silent),
        annotators=frozenset(annotators),
    )


def format_of(table: Table, settings: Annotations = AUTO) -> str | None:
    """The name of the format that a table is of: the one that is set, or the first that fits."""
    formats = tuple(READERS) if settings.format == "auto" else (settings.format,)
    if settings.format == "auto" and settings.label is not None:
        # Tables without labels are said to be there: columns of marks beside times are flags.
        formats = tuple(name for name in formats if name != "wide")
    return next((name for name in formats if READERS[name].fits(table)), None)


def passed_over(table: Table) -> list[Problem]:
    """What to say of a table that is not read: nothing of notes and lists of files."""
    if (name := format_of(table)) is not None and table.head.strip():
        return [Problem("table of another format, left out", table.name, name)]
    if "\0" in table.head or "\ufffd" in table.head:
        return [Problem("no UTF-8 text, left out", table.name, "save it as UTF-8 if it has labels")]
    is_note = table.path.suffix.casefold() == ".txt" and "\t" not in table.head
    if is_note or len(table.header) < 2:
        return []
    columns = ", ".join(table.header)[:200]
    return [Problem("table of no known format of labels, left out", table.name, columns)]


def _detections(table: Table) -> list[Problem]:
    found = {"confidence", "score", "top1dist"} & {*table.header}
    if not found or "manual id" in table.header:
        return []
    detail = "if a program wrote it, these are no labels of a person: move it away"
    return [Problem(f"table with a column {found.pop()}, taken as labels", table.name, detail)]


def _place(annotation: Annotation) -> tuple[str, float, float, str, str]:
    return (
        annotation.recording,
        annotation.start_s,
        annotation.end_s,
        annotation.label,
        annotation.source,
    )
