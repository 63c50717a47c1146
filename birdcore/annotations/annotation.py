"""What a table of labels says of a recording, as one type for all formats.

Raven, Audacity and a dozen sorts of CSV say the same: from here to there, in this band, this is
heard. Sources, training and scoring read `Annotated` only and need not know whose table it was.
"""

from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Final, Literal, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from birdcore.csv_table import Problem
from birdcore.store.files import parquet_bytes, write_bytes

Kind: TypeAlias = Literal["present", "absent", "uncertain"]
"""`present`: it is heard. `absent`: it was looked for and is not there. `uncertain`: it may be
there, so the stretch is neither a positive nor a negative of the label."""

EVERY_CLASS: Final = ""
"""The label of an annotation that concerns all classes: a stretch of noise, where each of them is
absent, or an event that nobody named, where each of them is uncertain. Never with `present`."""

SCHEMA = pa.schema(
    [
        pa.field("recording", pa.string(), nullable=False),
        pa.field("start_s", pa.float64(), nullable=False),
        pa.field("end_s", pa.float64(), nullable=False),
        pa.field("low_hz", pa.float64()),
        pa.field("high_hz", pa.float64()),
        pa.field("label", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("annotator", pa.string(), nullable=False),
    ]
)
"""Columns of `annotations.parquet`, those of `Annotation` in its order."""


@dataclass(frozen=True)
class Annotation:
    """A label of a part of a recording.

    Attributes:
        recording: Path below the source's root (slashes, NFC), as `SourceFile.path`.
        start_s: Where it begins, in seconds from the recording's start; 0 or more.
        end_s: Where it ends; above `start_s`.
        low_hz: Lower edge of its band in Hz; None where the table says none, and `high_hz` too.
        high_hz: Upper edge; above `low_hz`.
        label: As the table names it, in NFC; `EVERY_CLASS` where it concerns all classes.
        kind: Whether it is heard.
        source: Table below the root and line, such as `site/a.Table.1.selections.txt:12`.
        annotator: Whose label it is; "" where people are not told apart.
    """

    recording: str
    start_s: float
    end_s: float
    low_hz: float | None
    high_hz: float | None
    label: str
    kind: Kind
    source: str
    annotator: str = ""


Said: TypeAlias = tuple[str, float, float, float | None, float | None, str, Kind, str]


def said(annotation: Annotation) -> Said:
    """All of an annotation but its source: what is the same in two rows is counted once."""
    a = annotation
    return a.recording, a.start_s, a.end_s, a.low_hz, a.high_hz, a.label, a.kind, a.annotator


@dataclass(frozen=True)
class Annotated:
    """What the tables of a folder say of its recordings.

    Attributes:
        annotations: By recording, start, end, label, then table and line.
        recordings: Those that are annotated: a table covers them, also an empty one, or they are
            `silent`. What is said of the others is nothing.
        problems: What does not fit and was passed over.
        silent: Those of `recordings` in which no class is heard at all, whatever `complete` says:
            they lie in a folder that is named as a negative, or have no table where a setting says
            that this means silence.
        annotators: Recordings with those who annotated them, also where they found nothing; none
            where people are not told apart.
    """

    annotations: tuple[Annotation, ...]
    recordings: frozenset[str]
    problems: tuple[Problem, ...]
    silent: frozenset[str] = frozenset()
    annotators: frozenset[tuple[str, str]] = frozenset()


def write_annotations(path: Path, rows: Iterable[Annotation]) -> None:
    """Write annotations as Parquet with the columns of `SCHEMA`, in full or not at all."""
    columns = [list(column) for column in zip(*map(astuple, rows), strict=True)]
    columns = columns or [[] for _ in SCHEMA]
    table = pa.table(columns, schema=SCHEMA)
    write_bytes(path, parquet_bytes(table, compression="zstd"))


def read_annotations_table(path: Path) -> tuple[Annotation, ...]:
    """The annotations that `write_annotations` wrote, in their order."""
    table = pq.read_table(path, schema=SCHEMA)
    columns = [table[field.name].to_pylist() for field in fields(Annotation)]
    return tuple(Annotation(*row) for row in zip(*columns, strict=True))
