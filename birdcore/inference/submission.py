"""From the members' predictions of segments to the rows of a submission.

A row for which there is no prediction (its soundscape is missing or unreadable) gets each class's
mean, or .5 where there is no prediction at all, so that it ranks in the middle.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from birdcore.audio.channels import file_of
from birdcore.config import Predict
from birdcore.features.columns import stacked
from birdcore.inference.after_prediction import Operations, after_prediction
from birdcore.inference.predictions import Predictions
from birdcore.inference.smooth import smooth_recording
from birdcore.inference.weights import EnsembleWeights
from birdcore.unicode_names import nfc

PROBABILITIES = "probabilities.csv"
"""Beside a submission.csv that says yes or no: what it was decided from."""


def scored_file(submission: Path) -> Path:
    """What of a submission's folder can be ranked: submission.csv, or what it was decided from."""
    decided = submission / PROBABILITIES
    return decided if decided.is_file() else submission / "submission.csv"


def smoothed_members(
    files: Sequence[Path], classes: Sequence[str], settings: Predict, names: Mapping[str, str]
) -> dict[str, pd.DataFrame]:
    """The smoothed predictions of each backbone of a round.

    Args:
        files: `predictions.parquet` of each shard.
        classes: The columns, in the order of the models.
        settings: How predictions are smoothed over the segments of a recording.
        names: What rows of a recording are called, where that is not its file's stem.

    Returns:
        By backbone, a row per row id and a column per class.
    """
    table = pd.concat([pd.read_parquet(f) for f in files], ignore_index=True) if files else None
    members = {}
    for backbone, rows in table.groupby("backbone") if table is not None and len(table) else ():
        parts = []
        for recording, segments in rows.groupby("recording", sort=True):
            segments = segments.sort_values("end")
            file = file_of(str(recording))
            name = names.get(file, PurePosixPath(file).stem)
            smoothed = smooth_recording(stacked(segments["probabilities"], np.float64), settings)
            row_ids = [f"{name}_{end}" for end in segments["end"]]
            parts.append(pd.DataFrame(smoothed, row_ids, list(classes)))
        channels = len(parts) > rows["recording"].map(file_of).nunique()
        found = pd.concat(parts, verify_integrity=not channels)
        # Of a file whose channels are recordings, the highest: who is near one microphone is there.
        members[str(backbone)] = found.groupby(level=0, sort=False).max() if channels else found
    return members


def blended(
    members: Mapping[str, pd.DataFrame], weights: EnsembleWeights, classes: Sequence[str]
) -> pd.DataFrame:
    """The members' tables as one; members without a table are left out, and may be all."""
    present = [members[name] for name in weights.weights if name in members]
    if not present:
        return pd.DataFrame(columns=list(classes), dtype=np.float64)
    rows = present[0].index
    arrays = {name: table.reindex(rows).to_numpy(np.float64) for name, table in members.items()}
    return pd.DataFrame(weights.blended(arrays), rows, list(classes))


def after_blending(table: pd.DataFrame, operations: Operations | None) -> pd.DataFrame:
    """What [after_prediction] makes of a table by row id, whose rows are in the order of time."""
    if operations is None:
        return table
    recordings = [str(row_id).rpartition("_")[0] for row_id in table.index]
    rows = after_prediction(table.to_numpy(np.float64), recordings, operations)
    return pd.DataFrame(rows, table.index, table.columns)


def submission_rows(
    table: pd.DataFrame, row_ids: Sequence[str], classes: Sequence[str], segment_s: float = 5.0
) -> tuple[Predictions, list[str]]:
    """The rows of a submission, and the ids of those for which there is no prediction.

    Args:
        table: Predictions by row id.
        row_ids: The rows, in their order; matched in Unicode's composed form.
        classes: The columns, in their order.
        segment_s: Length of a row, seconds.
    """
    missing = [row for row in row_ids if nfc(row) not in table.index]
    filled = table.reindex([nfc(row) for row in row_ids], columns=list(classes))
    filled = filled.fillna(table.mean()).fillna(0.5)
    parts = [row.rpartition("_") for row in row_ids]
    ends = pd.to_numeric(pd.Series([end for *_, end in parts], dtype="str"), errors="coerce")
    end_s = ends.to_numpy(np.float64)
    predictions = Predictions(
        recordings=tuple(name for name, *_ in parts),
        start_s=end_s - segment_s,
        end_s=end_s,
        classes=tuple(classes),
        probabilities=filled.to_numpy(np.float64),
        row_ids=tuple(row_ids),
    )
    return predictions, missing
