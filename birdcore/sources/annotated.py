"""Annotated recordings of a catalogue: what is heard in them when, and which belong together."""

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from birdcore.annotations.annotation import SCHEMA, Annotation
from birdcore.sources.folds import EVERYWHERE
from birdcore.store.artifact import Artifact

COMPLETE = pa.schema(
    [
        ("recording", pa.string()),
        ("start_s", pa.float64()),
        ("end_s", pa.float64()),
        ("annotator", pa.string()),
    ]
)
GROUPS = pa.schema([("recording", pa.string()), ("group", pa.string())])
FILES = ("annotations.parquet", "complete.parquet", "groups.parquet")


@dataclass(frozen=True)
class AnnotatedRecordings:
    """The tables of annotated recordings.

    Attributes:
        annotations: A row for each label, with the columns of `birdcore.annotations`' SCHEMA.
        complete: Where what is not named is absent: recording, start_s and end_s; these don't
            overlap within a recording. Where people are told apart, both tables have a column
            annotator, and stretches of different people may overlap.
        groups: Which recordings validate together, such as those of one site and day: recording
            and group.
    """

    annotations: pd.DataFrame
    complete: pd.DataFrame
    groups: pd.DataFrame

    def write(self, folder: Path) -> None:
        for table, name in zip(self.tables, FILES, strict=True):
            table.to_parquet(folder / name, index=False)

    @property
    def tables(self) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
        """The three tables, in the order of `FILES`."""
        return self.annotations, self.complete, self.groups

    def below(self, folder: str) -> "AnnotatedRecordings":
        """The same with names, of recordings and groups, that begin with a folder's."""
        moved = (
            table.assign(
                **{
                    name: f"{folder}/" + table[name]
                    for name in ("recording", "group")
                    if name in table
                }
            )
            for table in self.tables
        )
        return AnnotatedRecordings(*moved)

    @property
    def by_person(self) -> list["AnnotatedRecordings"]:
        """The same person by person: what the first annotator of each recording says, what the
        second says, and so on; all of it where people are not told apart."""
        if "annotator" not in self.annotations:
            return [self]
        both = ["recording", "annotator"]
        people = pd.concat([self.annotations[both], self.complete[both]]).drop_duplicates()
        people = people.sort_values(both, ignore_index=True)
        number = people.groupby("recording").cumcount()
        return [
            AnnotatedRecordings(
                self.annotations.merge(people[number == each]),
                self.complete.merge(people[number == each]),
                self.groups,
            )
            for each in range(number.max() + 1 if len(number) else 0)
        ]

    def without(self, names: Set[str]) -> "AnnotatedRecordings":
        """What is left without some recordings."""
        return AnnotatedRecordings(*(t[~t["recording"].isin(names)] for t in self.tables))


def annotated_recordings(
    annotations: Iterable[Annotation],
    complete: Sequence[tuple[str, float, float] | tuple[str, float, float, str]],
    groups: Sequence[tuple[str, str]],
) -> AnnotatedRecordings:
    """The tables of annotations, and of rows with the columns of the other two; a stretch without
    an annotator is of all, or of those who are not told apart."""
    stretches = [(*row, "")[: len(COMPLETE)] for row in complete]
    rows: tuple[Iterable[tuple[object, ...]], ...] = (map(astuple, annotations), stretches, groups)
    first, second, third = (
        pa.Table.from_pylist(
            [dict(zip(schema.names, row, strict=True)) for row in of_one], schema
        ).to_pandas()
        for of_one, schema in zip(rows, (SCHEMA, COMPLETE, GROUPS), strict=True)
    )
    if not any((table["annotator"] != "").any() for table in (first, second)):
        first, second = (table.drop(columns="annotator") for table in (first, second))
    return AnnotatedRecordings(first, second, third)


def read_annotated(catalog: Artifact) -> AnnotatedRecordings | None:
    """Those of a catalogue; None where it has no annotated recordings."""
    if not (catalog / FILES[0]).is_file():
        return None
    return AnnotatedRecordings(*(pd.read_parquet(catalog / name) for name in FILES))


def annotated_folds(
    annotated: AnnotatedRecordings, clips: Mapping[str, int], count: int, seed: int
) -> pd.Series:
    """Folds of annotated recordings: groups stay together, and labels are spread over the folds.

    A group that alone has a class trains everywhere: held out, it could not be learnt.

    Args:
        annotated: The recordings.
        clips: How many recordings of each class there are beside them.
        count: How many folds.
        seed: Decides between groups that are alike.

    Returns:
        A fold (0 to count - 1, or EVERYWHERE) of each recording, by its name.
    """
    group_of = annotated.groups.set_index("recording")["group"]
    present = annotated.annotations[annotated.annotations["kind"] == "present"]
    labels = present.groupby(present["recording"].map(group_of))["label"].agg(set).to_dict()
    times: dict[str, int] = dict(clips)
    for of_group in labels.values():
        for label in of_group:
            times[label] = times.get(label, 0) + 1
    names = sorted(set(group_of))
    order = np.random.default_rng(seed).permutation(len(names))
    # The groups of most labels first, so that later ones can even out what these left.
    by_labels = sorted((names[at] for at in order), key=lambda name: -len(labels.get(name, ())))
    sizes, held = np.zeros(count), dict[str, np.ndarray]()
    fold_of: dict[str, int] = {}
    for name in by_labels:
        own = sorted(labels.get(name, ()))
        if any(times[label] == 1 for label in own):
            fold_of[name] = EVERYWHERE
            continue
        alike = sum((held.setdefault(label, np.zeros(count)) for label in own), np.zeros(count))
        fold = int(np.lexsort([np.arange(count), sizes, alike])[0])
        fold_of[name] = fold
        sizes[fold] += 1
        for label in own:
            held[label][fold] += 1
    return group_of.map(fold_of).astype("int64")
