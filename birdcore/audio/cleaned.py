"""The tables that cleaning publishes, and their readers.

Five Parquet files: `recordings` (quality), `cuts` (what goes, and why), `kept` (what stays, in
order), `rejected` (with a reason) and `problems` (of recordings that are used all the same).
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from birdcore.audio.trim import Interval

Rows = list[dict[str, Any]]

KEPT = "kept.parquet"
USED, UNREADABLE = "recording used as it is", "soundscape that can't be used"
"""Problems, as problems.csv and the report call them."""

SCHEMAS = {
    "recordings": pa.schema([
        ("recording", pa.string()), ("rate", pa.int32()), ("channels", pa.int32()),
        ("truncated", pa.bool_()), ("duration_s", pa.float64()), ("peak", pa.float64()),
        ("clipped_runs", pa.int64()), ("clipped_share", pa.float64()), ("snr_db", pa.float64()),
        ("silent", pa.bool_()), ("speech_s", pa.float64()), ("speech_share", pa.float64()),
        ("kept_s", pa.float64()),
    ]),
    "cuts": pa.schema([
        ("recording", pa.string()), ("action", pa.string()), ("from", pa.float64()),
        ("to", pa.float64()), ("by", pa.string()),
    ]),
    "kept": pa.schema(
        [("recording", pa.string()), ("from", pa.float64()), ("to", pa.float64())]
    ),
    "rejected": pa.schema([("recording", pa.string()), ("reason", pa.string())]),
    "problems": pa.schema([("recording", pa.string()), ("problem", pa.string())]),
}  # fmt: skip


@dataclass
class CleanedTables:
    """Rows of SCHEMAS' tables; `rejected` are reasons by recording, in the order of discovery."""

    recordings: Rows = field(default_factory=list)
    cuts: Rows = field(default_factory=list)
    kept: Rows = field(default_factory=list)
    rejected: dict[str, str] = field(default_factory=dict)
    problems: Rows = field(default_factory=list)

    def write(self, folder: Path, order: list[str]) -> None:
        """Write the five files; rejected recordings are listed as in `order`."""
        rejected = [
            {"recording": name, "reason": self.rejected[name]}
            for name in order
            if name in self.rejected
        ]
        for name, schema in SCHEMAS.items():
            rows = rejected if name == "rejected" else getattr(self, name)
            pq.write_table(pa.Table.from_pylist(rows, schema), folder / f"{name}.parquet")


def read_kept(path: Path) -> dict[str, list[Interval]]:
    """The kept intervals (seconds, in order) of each recording in a `kept.parquet`."""
    return {
        str(name): list(zip(pieces["from"], pieces["to"], strict=True))
        for name, pieces in pd.read_parquet(path).groupby("recording", sort=False)
    }


def read_problems(folder: Path, *, soundscapes: bool) -> pd.DataFrame:
    """What is wrong with recordings, as rows (problem, where, detail) of `problems.csv`.

    Args:
        folder: where the tables lie.
        soundscapes: whether the recordings are soundscapes, for which a rejection is a problem;
            rejected training recordings have a table of their own.
    """
    used = pd.read_parquet(folder / "problems.parquet").rename(columns={"problem": "detail"})
    tables = [used.assign(problem=USED)]
    if soundscapes:
        lost = pd.read_parquet(folder / "rejected.parquet").rename(columns={"reason": "detail"})
        tables.append(lost.assign(problem=UNREADABLE))
    rows = pd.concat(tables).rename(columns={"recording": "where"})
    return rows[["problem", "where", "detail"]]
