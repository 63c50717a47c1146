"""Stage `predict`: what the models of one round hear in one shard of test soundscapes.

Publishes `predictions.parquet`: for each backbone (the mean over its folds), recording and segment
of 5 s the probabilities of all classes, before any smoothing.
"""

from collections import defaultdict

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from birdcore.artifact import Facts, Ref, Step
from birdcore.predict.listen import (
    Listener,
    cell_rate,
    duration_s,
    listen,
    load_listeners,
    read_soundscapes,
)
from birdcore.predict.windows import segment_ends, segment_max
from birdcore.recipe import Predict
from birdcore.store import Job

VERSION = 1
PREDICTIONS = pa.schema(
    [("recording", pa.string()), ("backbone", pa.string()), ("end", pa.int64()),
     ("probabilities", pa.list_(pa.float32()))]
)  # fmt: skip


def step(round_name: str, at: int, models: tuple[Ref, ...], mel: Ref, settings: Predict) -> Step:
    config = settings.model_dump(include={"output", "step_s", "segment_s"})
    return Step(
        "predict",
        VERSION,
        f"predict {round_name} {at:04d}",
        config,
        {"models": models, "mel": (mel,)},
    )


def run(job: Job) -> Facts:
    listeners: dict[str, list[Listener]] = defaultdict(list)
    for listener in load_listeners(job.inputs("models")):
        listeners[listener.shape.backbone].append(listener)
    soundscapes = read_soundscapes(job.input("mel") / "mel.parquet")
    segment_s = job.config["segment_s"]
    rows = []
    for row, name in enumerate(soundscapes.names):
        job.progress(row, len(soundscapes.names), name)
        seconds = duration_s(soundscapes, row)
        ends = segment_ends(seconds, segment_s)
        for backbone, of_folds in listeners.items():
            cells = np.mean(
                [
                    listen(one, soundscapes, row, job.config["step_s"], job.config["output"])
                    for one in of_folds
                ],
                axis=0,
            )
            best = segment_max(cells, cell_rate(soundscapes), seconds, segment_s)
            rows += [
                {"recording": name, "backbone": backbone, "end": int(end), "probabilities": p}
                for end, p in zip(ends, best, strict=True)
            ]
    job.progress(len(soundscapes.names), len(soundscapes.names), "")
    table = pa.Table.from_pylist(rows, PREDICTIONS)
    pq.write_table(table, job.folder / "predictions.parquet")
    return {
        "recordings": len(soundscapes.names),
        "rows": len(rows),
        "models": sum(map(len, listeners.values())),
    }
