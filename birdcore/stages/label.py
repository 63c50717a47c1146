"""Stage `label`: a teacher's soft labels for one shard of soundscapes, or of clips.

Segments overlap. Publishes `labels.parquet`, whose schema names the teacher: teacher, round and
power are part of what a label is.
"""

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from birdcore.config import Round, defaults_of
from birdcore.inference.predict import duration_s, read_soundscapes
from birdcore.pseudo_labels.soft import drop_small, high_low_mask, keep_segments, power_transform
from birdcore.pseudo_labels.teacher import probabilities, read_teacher
from birdcore.store.artifact import Metrics, Ref, Step
from birdcore.store.store import Job
from birdcore.teachers.external_teacher import Credit

VERSION = 2

OVER_ALL = {"minmax", "keep_fraction", "max_label_sum"}
"""Settings that look at the labels of all soundscapes at once: training reads them."""

ELSEWHERE = OVER_ALL | {"source", "teachers", "external_weight"}

Of = Literal["soundscapes", "clips"]

LABELS = pa.schema(
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


def step(
    one: Round,
    of: Of,
    at: int,
    teacher: tuple[Ref, ...],
    mel: Ref,
    *,
    fold: int | None = None,
    folds: Ref | None = None,
    outside: tuple[Ref, Ref] | None = None,
) -> Step:
    """Labels of one shard; of clips in segments as long as the round's crops.

    `fold` is for the name alone, where each fold has a teacher of its own; `folds` says of which
    model each recording gets its labels, where it is the one that was not trained on it; `outside`
    is what an outside teacher heard of the shard, and the catalogue, which knows species' names.
    """
    config = one.label.model_dump(exclude=ELSEWHERE)
    config["segment_s"] = (
        one.crop_s if of == "clips" else one.label.segment_s or min(5.0, one.crop_s)
    )
    name = f"label for {one.name} {of} {at:04d}" + ("" if fold is None else f" fold {fold}")
    inputs: dict[str, tuple[Ref, ...]] = {"teacher": teacher, "mel": (mel,)}
    if folds is not None:
        inputs["folds"] = (folds,)
    if outside is not None:
        inputs["heard"], inputs["catalog"] = ((ref,) for ref in outside)
        config["external_weight"] = one.label.external_weight if teacher else 1.0
    return Step("label", VERSION, name, config, inputs, defaults=defaults_of(one.label))


def run(job: Job) -> Metrics:
    config = job.config
    soundscapes = read_soundscapes(job.input("mel") / "mel.parquet")
    teacher = read_teacher(job, soundscapes)
    hop_s = config["segment_s"] * (1 - config["overlap"])
    tables = []
    for row, name in enumerate(soundscapes.names):
        job.progress(row, len(soundscapes.names), name)
        starts = segment_starts(duration_s(soundscapes, row), config["segment_s"], hop_s)
        p, counts = probabilities(teacher, soundscapes, row, starts, config)
        tables.append(
            pd.DataFrame(
                {
                    "recording": name,
                    "start": starts,
                    "end": starts + config["segment_s"],
                    "probabilities": list(p),
                    "labels": list(
                        power_transform(drop_small(p, config["zero_below"]), config["power"])
                    ),
                    "mask": list(high_low_mask(p, config["high"], config["low"]) & counts),
                    "kept": keep_segments(p, config["threshold"]),
                }
            )
        )
    job.progress(len(soundscapes.names), len(soundscapes.names), "")
    labels = pd.concat(tables) if tables else pd.DataFrame(columns=LABELS.names)
    table = pa.Table.from_pandas(labels, LABELS, preserve_index=False)
    meaning: dict[str, Any] = {
        "teacher": [f"{r.stage}/{r.key}" for r in job.step.inputs["teacher"]],
        "power": config["power"],
        "classes": teacher.classes,
    }
    if teacher.heard is not None:
        meaning["outside"] = asdict(teacher.heard.info.credit)
    table = table.replace_schema_metadata({"birdflow.labels": json.dumps(meaning)})
    pq.write_table(table, job.folder / "labels.parquet")
    return {
        "recordings": len(soundscapes.names),
        "segments": len(labels),
        "kept": int(labels["kept"].sum()),
        "mean_label_sum": round(float(np.stack(labels["labels"].to_list()).sum(axis=1).mean()), 4)
        if len(labels)
        else None,
    }


def outside_credit(path: Path) -> Credit | None:
    """Whose outside teacher had a part in a file of labels, if any."""
    meaning = json.loads(pq.read_schema(path).metadata[b"birdflow.labels"])
    return Credit(**meaning["outside"]) if "outside" in meaning else None


def segment_starts(seconds: float, segment_s: float, hop_s: float) -> np.ndarray:
    """Starts of segments that overlap and reach the end of the recording, in seconds."""
    last = max(0.0, seconds - segment_s)
    if last < 1e-6 * hop_s:  # no longer than a segment, but for rounding
        return np.zeros(1)
    return np.append(np.arange(math.ceil(last / hop_s - 1e-6)) * hop_s, last)
