"""Stage `catalog`: typed tables of training recordings and species, and what does not fit.

Publishes `recordings.parquet`, `species.parquet` (in the order of the submission's columns) and
`problems.parquet`. Rows without a file, files without a row, unknown labels, file names and
contents that are there twice are reported there, never fatal; `usable` says which recordings
train. Soundscapes are no part of it: a new one must not make every model anew.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from birdcore.sources.birdclef import Source
from birdcore.sources.tables import TRAIN_NUMBERS, TRAIN_TEXT, Problem, Tables, read_tables
from birdcore.store.artifact import Metrics, Step
from birdcore.store.store import Job
from birdcore.unicode_names import by_casefold, nfc

VERSION = 2

RECORDINGS = pa.schema(
    [
        ("recording", pa.string()),
        ("sha256", pa.string()),
        ("primary_label", pa.string()),
        ("secondary_labels", pa.list_(pa.string())),
        ("usable", pa.bool_()),
        *[(name, pa.string()) for name in TRAIN_TEXT],
        *[(name, pa.float64()) for name in TRAIN_NUMBERS],
    ]
)


PROBLEMS = pa.schema([(name, pa.string()) for name in ("problem", "where", "detail")])
TRAINING_TABLES = ("train.csv", "taxonomy.csv")


def step(source: Source) -> Step:
    files = {name: source.tables[name] for name in TRAINING_TABLES if name in source.tables}
    files |= {f.path: f.sha256 for f in source.audio["train_audio"]}
    config: dict[str, Any] = {"labels": source.labels}
    if unused := _unused(source):
        config["unused"] = unused
    return Step("catalog", VERSION, "catalog", config, files=files, root=str(source.root))


def _unused(source: Source) -> dict[str, str]:
    """Files that rows name and that are there, but passed over, with the reason."""
    why = {nfc(problem.where): problem.problem for problem in source.problems}
    there = {file.path for file in source.audio["train_audio"]}
    return {
        name: why[str(part)]
        for name in ("train_audio/" + source.csv.train["filename"]).unique()
        if name not in there
        for part in (PurePosixPath(name), *PurePosixPath(name).parents)
        if str(part) in why
    }


def run(job: Job) -> Metrics:
    tables = replace(read_tables(Path(job.step.root)), labels=tuple(job.config["labels"]))
    audio = {path: sha for path, sha in job.step.files.items() if path not in TRAINING_TABLES}
    problems = list(_problems(tables, audio, job.config.get("unused", {})))
    recordings = _recordings(tables, audio)
    species = _species(tables)
    pq.write_table(
        pa.Table.from_pandas(recordings, RECORDINGS, preserve_index=False),
        job.folder / "recordings.parquet",
    )
    species.to_parquet(job.folder / "species.parquet", index=False)
    pq.write_table(
        pa.Table.from_pylist([p._asdict() for p in problems], PROBLEMS),
        job.folder / "problems.parquet",
    )
    return {
        "recordings": len(recordings),
        "usable": int(recordings["usable"].sum()),
        "species": len(species),
        "species_with_recordings": int(
            species["label"].isin(recordings.loc[recordings["usable"], "primary_label"]).sum()
        ),
        "problems": len(problems),
    }


def _recordings(tables: Tables, audio: dict[str, str]) -> pd.DataFrame:
    """One row per audio file; training files with what train.csv says of them."""
    train = tables.train.assign(recording="train_audio/" + tables.train["filename"])
    train = train.drop_duplicates("recording").drop(columns="filename")
    found = pd.DataFrame({"recording": list(audio), "sha256": list(audio.values())})
    rows = found.merge(train, on="recording", how="left").sort_values("recording")
    known = set(tables.labels)
    rows["secondary_labels"] = [
        [label for label in labels if label in known] if isinstance(labels, list) else []
        for labels in rows["secondary_labels"]
    ]
    labelled = rows["primary_label"].isin(known)
    rows["usable"] = labelled & ~rows[labelled].duplicated("sha256").reindex(
        rows.index, fill_value=False
    )
    for column in TRAIN_TEXT:
        rows[column] = rows[column].fillna("")
    return rows.reset_index(drop=True)


def _species(tables: Tables) -> pd.DataFrame:
    """One row per class, in the order of the submission's columns."""
    taxonomy = tables.taxonomy.rename(columns={"primary_label": "label"})
    return pd.DataFrame({"label": list(tables.labels)}).merge(taxonomy, on="label", how="left")


def _problems(
    tables: Tables, audio: Mapping[str, str], unused: Mapping[str, str]
) -> Iterator[Problem]:
    """`audio`: sha256 by recording; `unused`: why files that are there are no recordings."""
    train, known = tables.train, set(tables.labels)
    other_case = by_casefold(audio)
    yield from tables.problems
    names = "train_audio/" + train["filename"]
    for line, name, label, secondary in zip(
        train.index, names, train["primary_label"], train["secondary_labels"], strict=True
    ):
        where = f"train.csv:{line}"
        if name in unused:
            yield Problem("row whose file is passed over", where, f"{name}: {unused[name]}")
        elif name not in audio:
            near = other_case.get(name.casefold())
            yield Problem(
                "row without a file", where, name + (f"; there is {near}" if near else "")
            )
        for unknown in sorted({label, *secondary} - known):
            yield Problem("unknown label", where, unknown)
    for line in names.index[names.duplicated()]:
        yield Problem("file name there twice", f"train.csv:{line}", names[line])
    labelled = set(names)
    first: dict[str, str] = {}
    for path in sorted(audio):
        if path not in labelled:
            yield Problem("file without a row", path, "")
        if (same := first.setdefault(audio[path], path)) != path:
            yield Problem("content there twice", path, f"the same as {same}")
    with_rows = set(train["primary_label"])
    for label in tables.labels:
        if label not in with_rows:
            yield Problem("species without a recording", "taxonomy", label)


def training_problems(source: Source) -> list[Problem]:
    """What the stage will find, before anything runs."""
    audio = {file.path: file.sha256 for file in source.audio["train_audio"]}
    return list(_problems(source.csv, audio, _unused(source)))
