"""Pseudo-labels of recordings in overlapping segments, and the file that they are kept in.

`labels.parquet` has a row for each segment: its recording, start and end in seconds, the teacher's
probabilities, the labels made of them, the mask of the labels that count, and whether the segment
is kept. Its schema's metadata names the teacher, since a label has no meaning without it.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from birdcore.config.round import LabelConfig
from birdcore.features.recordings import Soundscapes
from birdcore.inference.window_batches import Recording
from birdcore.pseudo_labels.soft import (
    drop_small,
    high_low_mask,
    keep_segments,
    power_transform,
    segment_starts,
)
from birdcore.pseudo_labels.teacher import Teacher, teacher_segments
from birdcore.teachers.external_teacher import Credit

METADATA_KEY = "birdflow.labels"
SCHEMA = pa.schema(
    [
        ("recording", pa.string()),
        ("start", pa.float64()),
        ("end", pa.float64()),
        ("probabilities", pa.list_(pa.float32())),
        ("labels", pa.list_(pa.float32())),
        ("mask", pa.list_(pa.bool_())),
        ("kept", pa.bool_()),
    ]
)


def label_recordings(
    teacher: Teacher,
    recordings: Soundscapes,
    config: LabelConfig,
    progress: Callable[[int, int, str], None],
) -> pd.DataFrame:
    """A row for each segment of each recording, with the columns of `SCHEMA`.

    Args:
        teacher: what labels.
        recordings: mels.
        config: segments, and how probabilities become labels.
        progress: called with recordings done, recordings in all, and the last one's name.
    """
    hop_s = config.segment_s * (1 - config.overlap)
    total = len(recordings.names)
    starts = [
        segment_starts(Recording(recordings, row).cells.duration_s, config.segment_s, hop_s)
        for row in range(total)
    ]
    tables: dict[int, pd.DataFrame] = {}
    progress(0, total, "")
    for row, p, known in teacher_segments(teacher, recordings, starts, config):
        labels = power_transform(drop_small(p, config.zero_below), config.power)
        tables[row] = pd.DataFrame(
            {
                "recording": recordings.names[row],
                "start": starts[row],
                "end": starts[row] + config.segment_s,
                "probabilities": list(p),
                "labels": list(labels),
                "mask": list(high_low_mask(p, config.high, config.low) & known),
                "kept": keep_segments(p, config.threshold),
            }
        )
        progress(len(tables), total, recordings.names[row])
    if not tables:
        return pd.DataFrame(columns=SCHEMA.names)
    return pd.concat([tables[row] for row in range(total)])


def write_labels(
    path: Path, labels: pd.DataFrame, teacher: Teacher, models: Sequence[str], power: float
) -> None:
    """Write `labels.parquet`; `models` are the names of the teacher's artifacts."""
    metadata: dict[str, Any] = {"teacher": models, "power": power, "classes": teacher.classes}
    credits = [asdict(one.outputs.info.credit) for one in teacher.external]
    if credits:
        metadata["outside"] = credits[0] if len(credits) == 1 else credits
    table = pa.Table.from_pandas(labels, SCHEMA, preserve_index=False)
    pq.write_table(table.replace_schema_metadata({METADATA_KEY: json.dumps(metadata)}), path)


def read_teacher_said(path: Path) -> pd.DataFrame:
    """The teacher's probabilities, as they were before labels were made of them.

    Returns:
        float32, a row for each segment (its recording, start and end in seconds are the index) and
        a column for each class.
    """
    table = pq.read_table(path, columns=["recording", "start", "end", "probabilities"])
    classes = json.loads(pq.read_schema(path).metadata[METADATA_KEY.encode()])["classes"]
    flat = table["probabilities"].combine_chunks().flatten().to_numpy()
    segments = pd.MultiIndex.from_frame(table.drop_columns("probabilities").to_pandas())
    return pd.DataFrame(flat.reshape(-1, len(classes)), segments, classes)


def read_credits(path: Path) -> list[Credit]:
    """The credits of the external teachers that took part in a file of labels."""
    metadata = json.loads(pq.read_schema(path).metadata[METADATA_KEY.encode()])
    said = metadata.get("outside", [])
    return [Credit(**one) for one in (said if isinstance(said, list) else [said])]
