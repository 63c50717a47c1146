"""What a run was made from: recordings and species, licences, what was rejected, settings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from birdcore.sources.catalog import read_recordings
from birdcore.sources.source import STAND_INS
from birdcore.store.artifact import Artifact, Ref
from birdcore.store.store import Store
from birdcore.training.records import EXTERNAL, FILE, merged, read_attribution, terms

if TYPE_CHECKING:
    from birdcore.report.evaluation import Evaluation  # whose models' imports take seconds

SUBSETS = {
    "train_audio": "Labelled recordings",
    "train_short_audio": "Labelled recordings",
    "xeno_canto": "Xeno-canto's recordings",
    "inaturalist": "iNaturalist's sounds",
    "train_soundscapes": "Unlabelled soundscapes",
    "unlabeled_soundscapes": "Unlabelled soundscapes",
    "test_soundscapes": "Test soundscapes",
    STAND_INS: "Training soundscapes in place of test ones",
}
"""Titles of those that have one; others go by their names."""
REJECTED = 500
"""Rejected recordings that the page names; rejected.csv has all."""


@dataclass(frozen=True)
class Species:
    """A class of the submission.

    `auc` and `mean` (its mean probability where it is present) are None where it can't be
    evaluated; `auc_by` has the AUC of each round or member.
    """

    label: str
    common: str
    scientific: str
    group: str
    recordings: int
    pieces: int
    auc: float | None
    auc_by: Mapping[str, float | None]
    mean: float | None

    @property
    def name(self) -> str:
        return self.common or self.scientific or self.label


def species_of(catalog: Artifact, evaluation: Evaluation | None) -> list[Species]:
    """All classes, in the submission's order."""
    table = pd.read_parquet(catalog / "species.parquet").fillna("")
    recordings = read_recordings(catalog)
    counts = recordings[recordings["usable"]]["primary_label"].value_counts()
    return [
        Species(
            label=row["label"],
            common=row["common_name"],
            scientific=row["scientific_name"],
            group=row["class_name"],
            recordings=int(counts.get(row["label"], 0)),
            **_results(row["label"], evaluation),
        )
        for row in table.to_dict("records")
    ]


def _results(label: str, evaluation: Evaluation | None) -> dict[str, Any]:
    if evaluation is None or label not in evaluation.classes:
        auc_by = {} if evaluation is None else dict.fromkeys(evaluation.class_auc_by)
        return {"pieces": 0, "auc": None, "auc_by": auc_by, "mean": None}
    k = evaluation.classes.index(label)
    present = evaluation.truth[:, k]
    return {
        "pieces": int(present.sum()),
        "auc": _number(evaluation.auc[k]),
        "auc_by": {name: _number(auc[k]) for name, auc in evaluation.class_auc_by.items()},
        "mean": float(evaluation.probabilities[present, k].mean()) if present.any() else None,
    }


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def cleaning_counts(cleaned: Mapping[str, Sequence[Artifact]]) -> list[dict[str, Any]]:
    """Counts of the stage `clean` by subset of recordings."""
    names = ("recordings", "rejected", "hours", "with_speech", "cut_s")
    return [
        {"kind": SUBSETS.get(subset, subset)}
        | {name: sum(artifact.metrics[name] for artifact in shards) for name in names}
        for subset, shards in cleaned.items()
        if shards
    ]


def found_in_cleaning(
    cleaned: Mapping[str, Sequence[Artifact]], table: str, column: str
) -> list[tuple[str, str]]:
    """Recordings in a table of the stage `clean`, each with what a column of it says."""
    return [
        (str(name), str(text))
        for shards in cleaned.values()
        for artifact in shards
        for name, text in pd.read_parquet(artifact / f"{table}.parquet")[
            ["recording", column]
        ].itertuples(index=False)
    ]


def table_problems(catalog: Artifact) -> list[tuple[str, int]]:
    """Problems in the data's tables, with their counts."""
    counts = pd.read_parquet(catalog / "problems.parquet")["problem"].value_counts()
    return [(str(name), int(count)) for name, count in counts.items()]


@dataclass(frozen=True)
class Licences:
    """Recordings that the models were trained on, by licence; `forbid` counts restrictive terms."""

    recordings: int
    recordists: int
    counts: list[tuple[str, int]]
    forbid: dict[str, int]
    teachers: list[dict[str, str]]


def licences(models: Iterable[Artifact]) -> Licences:
    used = merged(read_attribution(model / FILE) for model in models)
    is_teacher = used["recording"].str.startswith(EXTERNAL)
    own = used[~is_teacher]
    counts = own["license"].replace("", "unknown").value_counts()
    teachers = used[is_teacher]
    teachers = teachers.assign(name=teachers["recording"].str.removeprefix(EXTERNAL))
    return Licences(
        recordings=len(own),
        recordists=own.loc[own["author"] != "", "author"].nunique(),
        counts=[(str(name), int(count)) for name, count in counts.items()],
        forbid=terms(own["license"]),
        teachers=[{str(k): str(v) for k, v in row.items()} for row in teachers.to_dict("records")],
    )


def artifacts_below(store: Store, refs: Iterable[Ref]) -> dict[str, int]:
    """Artifacts by stage that these were made of, including themselves, in order of execution."""
    seen: set[Ref] = set()
    counts: Counter[str] = Counter()

    def walk(ref: Ref) -> None:
        if ref in seen:
            return
        seen.add(ref)
        manifest = store.manifest(ref)
        for names in manifest.inputs.values() if manifest else ():
            for name in names:
                walk(Ref(*name.split("/", 1)))
        counts[ref.stage] += 1

    for ref in refs:
        walk(ref)
    return dict(counts)


def flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Settings by dotted name, as `--set` takes them; None is left out."""
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}.")
        elif value is not None:
            yield f"{prefix}{key}", _word(value)


def side_by_side(rounds: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[str], bool]]:
    """(setting, value in each round, whether rounds differ in it); those that differ come first."""
    tables = [dict(flat(one)) for one in rounds]
    names = list(dict.fromkeys(name for table in tables for name in table))
    rows = [(name, [table.get(name, "") for table in tables]) for name in names]
    marked = [(name, values, len(set(values)) > 1) for name, values in rows]
    return sorted(marked, key=lambda row: not row[2])


def _word(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(_word, value)) or "none"
    return str(value)
