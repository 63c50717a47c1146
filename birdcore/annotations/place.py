"""From rows of a table to annotations of recordings: what all formats have in common.

A row is looked up, cut to its recording, given a label and counted once. What does not fit is
left out and reported, once a table: its first line, how many there are, and what they say.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import TypeAlias

from birdcore.annotations.annotation import EVERY_CLASS, Annotated, Annotation, Kind, Said, said
from birdcore.annotations.annotators import sayers
from birdcore.annotations.match import Ambiguous, Found, Names
from birdcore.annotations.row import Row
from birdcore.annotations.table import Table
from birdcore.config import Annotations
from birdcore.csv_table import Problem, TableError
from birdcore.text import first_of

TOLERANCE_S = 0.1
"""A label may end so much after its recording without a word: rates and codecs round."""
Remarks: TypeAlias = defaultdict[str, list[tuple[int, str]]]
"""Lines with details, by what is wrong with them."""


def place(
    table: Table,
    rows: Sequence[Row],
    names: Names,
    settings: Annotations,
    durations: Mapping[str, float],
) -> Annotated:
    """The annotations that a table makes, and the recordings that it covers.

    Args:
        table: The table.
        rows: What its reader found in it.
        names: The recordings.
        settings: What tables leave open.
        durations: Seconds by recording, where known.

    Raises:
        TableError: It has no labels, and no setting says what its label is.
    """
    remarks: Remarks = defaultdict(list)
    found = names.of_rows([row.recording for row in rows if row.recording], table.folder)
    if not rows or not all(row.recording for row in rows):
        found[""] = names.of_table(table.name)
    if not rows:
        _remark_lost(remarks, 1, "", found[""])
    recordings = frozenset(each for each in found.values() if isinstance(each, str))
    labelled = rows if recordings else ()  # a table of other recordings needs no label
    default = _default_label(table, labelled, found.get(""), settings)
    absent = {label.casefold() for label in settings.absent_labels}
    made: dict[Said, Annotation] = {}
    of_table, of_line = sayers(table, found.get(""), settings)
    annotators = {(recording, name) for recording in recordings for name in of_table}
    for row in rows:
        recording = found[row.recording]
        if not isinstance(recording, str):
            _remark_lost(remarks, row.line, row.recording, recording)
            continue
        people = of_line(row.line)
        annotators |= {(recording, name) for name in people if name}
        if row.says_nothing or not (span := _span(row, durations.get(recording), remarks)):
            continue
        label, kind = _label(row, default, absent, remarks)
        low, high = _band(row, remarks)
        source = f"{table.name}:{row.line}"
        for name, agrees in people.items():
            if not agrees and (label == EVERY_CLASS or kind != "present"):
                continue
            of_person: Kind = kind if agrees else "absent"
            annotation = Annotation(recording, *span, low, high, label, of_person, source, name)
            if made.setdefault(said(annotation), annotation) is not annotation:
                remarks["row that is there twice, counted once"].append((row.line, ""))
    return Annotated(
        annotations=tuple(made.values()),
        recordings=recordings,
        problems=tuple(_problems(table, remarks)),
        annotators=frozenset(annotators),
    )


def in_negative_folder(path: str, settings: Annotations) -> bool:
    """Whether a file lies in a folder whose name is one of `absent_labels`, at any depth."""
    absent = {label.casefold() for label in settings.absent_labels}
    return any(part.casefold() in absent for part in path.split("/")[:-1])


def _default_label(
    table: Table, rows: Sequence[Row], own: Found, settings: Annotations
) -> tuple[str, Kind]:
    """Label and kind of rows without a label: of a whole table without them it is a setting's."""
    if all(row.says_nothing for row in rows) or any(row.label for row in rows):
        return EVERY_CLASS, "uncertain"
    if in_negative_folder(table.name, settings):
        return EVERY_CLASS, "absent"
    label = settings.label
    if label is None:
        columns = f" (there are {', '.join(table.header)[:300]})" if len(table.header) > 1 else ""
        raise TableError(
            f"{table.path}:1: no column of labels, or an empty one{columns}: set "
            'data.annotations.label_column to the column, or data.annotations.label to "folder", '
            '"table" or the label'
        )
    if label == "folder":
        label = table.folder.rpartition("/")[2]
    elif label == "table":
        label = table.name_beside(own if isinstance(own, str) else "")
    if not label:
        raise TableError(
            f"{table.path}:1: nothing is left of the {settings.label}'s name to be the label: "
            "set data.annotations.label to the label itself"
        )
    return label, "present"


def _label(
    row: Row, default: tuple[str, Kind], absent: Set[str], remarks: Remarks
) -> tuple[str, Kind]:
    label, kind = (row.label, row.kind) if row.label else default
    if label.casefold() in absent:  # no noise does not mean that a class is heard
        return EVERY_CLASS, "absent" if kind == "present" else "uncertain"
    if label == EVERY_CLASS and kind == "uncertain":
        remarks["row without a label: uncertain for every class"].append((row.line, ""))
    return label, kind


def _span(row: Row, duration: float | None, remarks: Remarks) -> tuple[float, float] | None:
    """Start and end within the recording; None where nothing is left."""
    start, end = row.start_s, row.end_s
    of = "" if duration is None else f"{start:.7g} to {end:.7g} s of {duration:.7g} s"
    if end <= start:
        remarks["label without length, left out"].append((row.line, f"{start:.7g} s"))
        return None
    if end <= 0 or (duration is not None and start >= duration):
        remarks["label outside its recording, left out"].append((row.line, of))
        return None
    if start < 0:
        remarks["label that begins before its recording, cut"].append((row.line, f"{start:.7g} s"))
    if duration is not None and end > duration:
        if end > duration + TOLERANCE_S:
            remarks["label that ends after its recording, cut"].append((row.line, of))
        end = duration
    return max(start, 0.0), end


def _band(row: Row, remarks: Remarks) -> tuple[float, float] | tuple[None, None]:
    if row.low_hz is None or row.high_hz is None:
        return None, None
    if row.low_hz < row.high_hz:
        return row.low_hz, row.high_hz
    remarks["box without height, taken without its band"].append((row.line, ""))
    return None, None


def _remark_lost(remarks: Remarks, line: int, name: str, found: Found) -> None:
    """Of a row, or of a table as a whole (`name` is ""), whose recording is not found."""
    what = "label" if name else "table"
    if isinstance(found, Ambiguous):
        several = first_of(found.recordings, 3)
        detail = f"{name} may be {several}" if name else several
        remarks[f"{what} of one of several recordings, left out"].append((line, detail))
    elif found is None:
        remarks[f"{what} of a recording that is not there"].append((line, name))


def _problems(table: Table, remarks: Remarks) -> Iterator[Problem]:
    for problem, places in remarks.items():
        details = [*dict.fromkeys(detail for _, detail in places if detail)]
        rows = "1 row" if len(places) == 1 else f"{len(places)} rows"
        shown = f"{rows}: {first_of(details, 3)}" if details else rows
        yield Problem(problem, f"{table.name}:{places[0][0]}", shown)
