"""Stage `submission`: predictions weighed, smoothed and written in the asked-for rows.

Publishes `submission.csv` of the ensemble and `rounds/<name>.csv` of each round by itself. Columns
and rows are those of sample_submission.csv. Where there is none, or its rows are of no soundscape
that is there, a row stands for every 5 s of every soundscape (birdcore/sources/row_names.py names
them).
A row that nothing was heard for (a soundscape that is missing or unreadable) gets each class's
mean, or .5 where no soundscape was heard: it ranks in the middle, and `unheard.parquet` names it.
"""

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from birdcore.config import Predict, defaults_of
from birdcore.features.columns import stacked
from birdcore.inference.smooth import delta_shift, file_maximum, gaussian, neighbours
from birdcore.inference.weights import blend
from birdcore.sources.birdclef import Source
from birdcore.sources.catalog import read_labels
from birdcore.sources.soundscapes import SAMPLE, rows_of, sample_decides
from birdcore.sources.tables import read_tables
from birdcore.store.artifact import Artifact, Metrics, Ref, Step
from birdcore.store.store import Job
from birdcore.unicode_names import nfc

VERSION = 2


def step(
    settings: Predict,
    source: Source,
    catalog: Ref,
    weights: Ref,
    heard: Mapping[str, tuple[Ref, ...]],
) -> Step:
    """`heard`: the predictions of each round, over all shards.

    Raises TableError where a row that is asked for could be that of two soundscapes.
    """
    config: dict[str, Any] = settings.model_dump(
        include={"gaussian", "neighbours", "delta_shift", "file_maximum"}
    )
    inputs: dict[str, tuple[Ref, ...]] = {"catalog": (catalog,), "weights": (weights,)}
    inputs |= {f"round {name}": refs for name, refs in heard.items()}
    named = {path: name for path, name in rows_of(source).items() if name != Path(path).stem}
    if named:
        config["names"] = named
    files = {SAMPLE: source.tables[SAMPLE]} if sample_decides(source) else {}
    root, defaults = str(source.root), defaults_of(settings)
    return Step("submission", VERSION, "submission", config, inputs, files, root, defaults)


def run(job: Job) -> Metrics:
    labels = read_labels(job.input("catalog"))
    weighed = json.loads((job.input("weights") / "weights.json").read_text())
    rounds = {
        name.removeprefix("round "): _heard(job, name, labels)
        for name in job.step.inputs
        if name.startswith("round ")
    }
    members = {
        f"{name}/{backbone}": table
        for name, of_round in rounds.items()
        for backbone, table in of_round.items()
    }
    blending = partial(blend, how=weighed["blend"], power=weighed.get("power", 1.0))
    # Without a soundscape that can be read there is no member.
    present = [name for name in weighed["weights"] if name in members]
    shares = [weighed["weights"][name] for name in present]
    ensemble = _blended([members[name] for name in present], shares, blending, labels)
    row_ids = _row_ids(job, ensemble)
    unheard = _write(job.folder / "submission.csv", ensemble, row_ids, labels)
    (job.folder / "rounds").mkdir(exist_ok=True)
    for name, of_round in rounds.items():
        tables = list(of_round.values())
        own = _blended(tables, np.ones(len(tables)), blending, labels)
        _write(job.folder / "rounds" / f"{name}.csv", own, row_ids, labels)
    pd.DataFrame({"row_id": pd.Series(unheard, dtype="str")}).to_parquet(
        job.folder / "unheard.parquet", index=False
    )
    return {"rows": len(row_ids), "classes": len(labels), "unheard": len(unheard)}


def rounds_of(submission: Artifact) -> list[str]:
    """The rounds that a submission has a table of, in the recipe's order."""
    inputs = submission.manifest.inputs
    return [name.removeprefix("round ") for name in inputs if name.startswith("round ")]


def _heard(job: Job, name: str, labels: tuple[str, ...]) -> dict[str, pd.DataFrame]:
    """For each backbone the smoothed probabilities: a row per row id, a column per class."""
    shards = [pd.read_parquet(a / "predictions.parquet") for a in job.inputs(name)]
    table = pd.concat(shards, ignore_index=True) if shards else pd.DataFrame()
    by_backbone = {}
    names = job.config.get("names", {})
    for backbone, rows in table.groupby("backbone") if len(table) else ():
        parts = []
        for recording, of_one in rows.groupby("recording", sort=True):
            of_one = of_one.sort_values("end")
            name = names.get(recording, Path(str(recording)).stem)
            smoothed = _smoothed(stacked(of_one["probabilities"], np.float64), job)
            parts.append(
                pd.DataFrame(smoothed, [f"{name}_{end}" for end in of_one["end"]], list(labels))
            )
        by_backbone[str(backbone)] = pd.concat(parts, verify_integrity=True)
    return by_backbone


def _smoothed(rows: np.ndarray, job: Job) -> np.ndarray:
    rows = gaussian(rows, job.config["gaussian"])
    if job.config["delta_shift"]:
        rows = delta_shift(rows, 1 - job.config["delta_shift"])
    if job.config["neighbours"]:
        rows = neighbours(rows)
    return file_maximum(rows, job.config["file_maximum"])


def _blended(
    tables: list[pd.DataFrame],
    weights: ArrayLike,
    blending: Callable[[np.ndarray, np.ndarray], np.ndarray],
    labels: tuple[str, ...],
) -> pd.DataFrame:
    """`weights`: a number for each table, or one for each of its classes."""
    if not tables:
        return pd.DataFrame(columns=list(labels), dtype=np.float64)
    first = tables[0]
    stacked = np.stack([table.loc[first.index].to_numpy(np.float64) for table in tables])
    shares = np.asarray(weights, np.float64)
    # All the weight of a class may be a member's that heard nothing: the others count alike then.
    shares = np.where(shares.sum(axis=0) > 0, shares, 1.0)
    return pd.DataFrame(blending(stacked, shares), first.index, first.columns)


def _row_ids(job: Job, heard: pd.DataFrame) -> list[str]:
    if SAMPLE in job.step.files:
        return list(read_tables(Path(job.step.root)).row_ids)
    return list(heard.index)


def _write(
    path: Path, table: pd.DataFrame, row_ids: list[str], labels: tuple[str, ...]
) -> list[str]:
    """Write the rows that are asked for; the ones that nothing was heard for."""
    unheard = [row for row in row_ids if nfc(row) not in table.index]
    filled = table.reindex([nfc(row) for row in row_ids], columns=list(labels))
    filled = filled.fillna(table.mean()).fillna(0.5).set_axis(row_ids)
    filled.rename_axis("row_id").to_csv(path, float_format="%.8g")
    return unheard
