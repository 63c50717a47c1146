"""The table of detections and the table of analysed files: their columns, and what makes them.

`SCHEMA` and `FILE_SCHEMA` are versioned in their metadata (`birdflow.detections`): a column keeps
its name, type and place within a version, so that scripts of users go on working. Each detection
carries model, threshold and the recording's metadata, so that tables of several models or
recorders may be put together and still be told apart.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike

from birdcore.detection.calibration import Calibration
from birdcore.detection.events import Events

VERSION = 2
_METADATA = {b"birdflow.detections": str(VERSION).encode()}

_RECORDING = [
    ("recorded_at", pa.string()),
    ("latitude", pa.float64()),
    ("longitude", pa.float64()),
    ("recorder", pa.string()),
    ("serial", pa.string()),
    ("temperature", pa.float64()),
    ("site", pa.string()),
]

SCHEMA = pa.schema(
    [
        ("file", pa.string()),
        ("start_s", pa.float64()),
        ("end_s", pa.float64()),
        ("scientific_name", pa.string()),
        ("common_name", pa.string()),
        ("class", pa.string()),
        ("confidence", pa.float32()),
        ("probability", pa.float32()),
        ("threshold", pa.float32()),
        ("model", pa.string()),
        *_RECORDING,
    ],
    _METADATA,
)
"""A row for each detection. `file` is relative to the analysed folder, with slashes; times are
seconds from the file's beginning; `confidence` is the model's own number, to which `threshold`
refers, and `probability` what held-out recordings make of it (calibration.py); `recorded_at` (ISO
8601) is when the file begins; `temperature` is in °C. What a recorder does not say is empty."""

FILE_SCHEMA = pa.schema(
    [
        ("file", pa.string()),
        ("seconds", pa.float64()),
        ("rate", pa.int64()),
        ("channels", pa.int64()),
        *_RECORDING,
        ("model", pa.string()),
        ("threshold", pa.float64()),
        ("detections", pa.int64()),
        ("reason", pa.string()),
    ],
    _METADATA,
)
"""A row for each file, silent and unreadable ones too; `reason` says why one was not analysed, or
what is wrong with it. `threshold` is the lowest of all classes."""


@dataclass(frozen=True)
class Species:
    """One class of a model and what it is called; a class without names is its own."""

    code: str
    scientific_name: str
    common_name: str


@dataclass(frozen=True)
class RecorderInfo:
    """What is known of a recording besides its sound; "" and None where it is not.

    Attributes:
        recorder: Make and model of the recorder.
        serial: Its serial number.
        recorded_at: When the recording begins, ISO 8601, with an offset where that is known.
        latitude: Degrees.
        longitude: Degrees.
        temperature: °C.
        site: Where it was, in its owner's words.
    """

    recorder: str = ""
    serial: str = ""
    recorded_at: str = ""
    latitude: float | None = None
    longitude: float | None = None
    temperature: float | None = None
    site: str = ""


@dataclass(frozen=True)
class FileRow:
    """One analysed file, see `FILE_SCHEMA`."""

    file: str
    seconds: float
    rate: int
    channels: int
    recorder: RecorderInfo
    model: str
    threshold: float
    detections: int = 0
    reason: str = ""

    def record(self) -> dict[str, object]:
        """Its cells by column."""
        cells: dict[str, object] = asdict(self)
        del cells["recorder"]
        return cells | asdict(self.recorder)


def detections_table(
    row: FileRow,
    events: Events,
    species: Sequence[Species],
    thresholds: ArrayLike,
    calibration: Calibration | None = None,
) -> pa.Table:
    """The detections of one file.

    Args:
        row: The file.
        events: What was found in it.
        species: The model's classes (K,).
        thresholds: Of each class (K,), or one for all.
        calibration: Of the model; without it there are no probabilities.
    """
    limits = np.broadcast_to(np.asarray(thresholds, np.float32), len(species))
    found = [species[label] for label in events.label]
    cells = row.record()
    columns = {
        "start_s": events.start_s,
        "end_s": events.end_s,
        "scientific_name": [one.scientific_name for one in found],
        "common_name": [one.common_name for one in found],
        "class": [one.code for one in found],
        "confidence": events.confidence,
        "probability": [None] * len(events)
        if calibration is None
        else calibration.probabilities(events.label, events.confidence),
        "threshold": limits[events.label],
    }
    arrays = [
        pa.array(columns[field.name], field.type)
        if field.name in columns
        else pa.repeat(pa.scalar(cells[field.name], field.type), len(events))
        for field in SCHEMA
    ]
    return pa.Table.from_arrays(arrays, schema=SCHEMA)


def files_table(rows: Iterable[FileRow]) -> pa.Table:
    """The table of analysed files, in their order."""
    return pa.Table.from_pylist([row.record() for row in rows], FILE_SCHEMA)


def file_rows(table: pa.Table) -> list[FileRow]:
    """The inverse of `files_table`."""
    about = [name for name, _ in _RECORDING]
    return [
        FileRow(
            recorder=RecorderInfo(**{name: cells.pop(name) for name in about}),
            **cells,
        )
        for cells in table.to_pylist()
    ]
