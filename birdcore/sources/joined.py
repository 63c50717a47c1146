"""One catalogue of the data folder and all further sources.

Folds, training, predictions and the submission read this one catalogue as they read that of the
data folder alone. A class of a further source is the data folder's class of that species; what is
none is left out, or a further class where the recipe wants all. A source whose annotators did not
know a class says nothing of it, also where it says that what is not named is absent.
"""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from math import inf, nan

import pandas as pd
import pyarrow as pa

from birdcore.annotations.annotation import EVERY_CLASS
from birdcore.csv_table import Problem
from birdcore.sources.annotated import AnnotatedRecordings
from birdcore.sources.catalog import RECORDINGS, Catalog
from birdcore.sources.class_matching import match_classes

JOINED = RECORDINGS.append(pa.field("source", pa.string())).append(pa.field("weight", pa.float64()))
"""Columns of its recordings: which source each is of ("" for the data folder), and how often it is
drawn, relative to those of the data folder."""
SPECIES = ("label", "scientific_name", "common_name", "class_name", "inat_taxon_id")
NO_CLASS = "species that is no class of the data folder"


@dataclass(frozen=True)
class Further:
    """The catalogue of a further source, and how it is joined.

    Attributes:
        name: Of its folder.
        catalog: Its recordings, with names that begin with the folder's.
        weight: How often they are drawn.
        all_classes: Whether species that are no class yet become one.
        synonyms: What is accepted in place of a name, by `name_key`.
    """

    name: str
    catalog: Catalog
    weight: float = 1.0
    all_classes: bool = False
    synonyms: Mapping[str, str] | None = None


def join(main: Catalog, further: Sequence[Further]) -> Catalog:
    """One catalogue of all; its recordings have the columns of `JOINED`.

    Args:
        main: That of the data folder, whose classes come first, in their order.
        further: Those of the other sources.

    Raises:
        ValueError: No class of a source is one of the data folder.
    """
    parts = [replace(main, recordings=main.recordings.assign(source="", weight=1.0))]
    judged = [set(main.species["label"])]
    species, problems = main.species, list(main.problems)
    for one in further:
        own = one.catalog.species.fillna("")
        labels = match_classes(species, own, one.synonyms or {})
        if one.all_classes:
            added = _added(own[~own["label"].isin(labels)], species)
            labels |= dict(zip(added["as"], added["label"], strict=True))
            species = pd.concat([species, added[list(SPECIES)]], ignore_index=True)
        if not labels:
            raise ValueError(
                f"source {one.name}: none of its species is a class of the data folder; its first "
                f"is {own['label'].iloc[0]!r}, the data folder's {species['label'].iloc[0]!r}: "
                'name its synonyms, or take them as further classes by classes = "all"'
                if len(own)
                else f"source {one.name}: nothing is heard in it that is a class"
            )
        problems += one.catalog.problems
        problems += [
            Problem(NO_CLASS, f"{one.name}: {label}", "its recordings and labels are left out")
            for label in own["label"]
            if label not in labels
        ]
        parts.append(_relabelled(one, own, labels))
        judged.append(set(labels.values()))
    recordings = pd.concat([part.recordings for part in parts], ignore_index=True)
    every = list(species["label"])
    heard = [
        _unjudged(part.annotated, [label for label in every if label not in classes])
        for part, classes in zip(parts, judged, strict=True)
        if part.annotated is not None
    ]
    usable = recordings["primary_label"][recordings["usable"]]
    metrics = {
        "recordings": len(recordings),
        "usable": len(usable),
        "species": len(species),
        "species_with_recordings": int(species["label"].isin(usable).sum()),
        "problems": len(problems),
        "usable_of": {
            one.name: int((recordings["usable"] & (recordings["source"] == one.name)).sum())
            for one in further
        },
    }
    return Catalog(recordings, species, tuple(problems), metrics, _together(heard))


def _added(own: pd.DataFrame, species: pd.DataFrame) -> pd.DataFrame:
    """The rows of new classes; where a label is another species' already, the name is the label.

    The column `as` has the labels of the source.
    """
    taken = set(species["label"])
    added = own.assign(**{"as": own["label"]})
    added["label"] = added["label"].where(~added["label"].isin(taken), added["scientific_name"])
    return added.sort_values("label")


def _relabelled(one: Further, own: pd.DataFrame, labels: Mapping[str, str]) -> Catalog:
    """A source's catalogue with labels of the run; what has none is not used."""
    found = one.catalog.recordings
    name_of = own.set_index("label")
    recordings = found.assign(
        source=one.name,
        weight=one.weight,
        primary_label=found["primary_label"].map(labels).fillna(""),
    )
    recordings["secondary_labels"] = [
        [labels[label] for label in secondary if label in labels]
        for secondary in found["secondary_labels"]
    ]
    for column in ("scientific_name", "common_name"):
        named = found["primary_label"].map(name_of[column]).fillna("")
        recordings[column] = found[column].where(found[column] != "", named)
    recordings["usable"] &= recordings["primary_label"] != ""
    return replace(
        one.catalog, recordings=recordings, annotated=_heard(one.catalog.annotated, labels)
    )


def _heard(
    annotated: AnnotatedRecordings | None, labels: Mapping[str, str]
) -> AnnotatedRecordings | None:
    if annotated is None:
        return None
    table = annotated.annotations
    named = table["label"].map({**labels, EVERY_CLASS: EVERY_CLASS})
    return replace(annotated, annotations=table.assign(label=named)[named.notna()])


def _unjudged(annotated: AnnotatedRecordings, others: Sequence[str]) -> AnnotatedRecordings:
    """The same, with classes that nobody listened for unknown wherever something else is heard.

    Where nothing is heard, none of them is.
    """
    present = annotated.annotations["kind"] == "present"
    heard: Set[str] = set(annotated.annotations["recording"][present])
    who = [name for name in ("recording", "annotator") if name in annotated.complete]
    complete = annotated.complete[who].drop_duplicates()
    complete = complete[complete["recording"].isin(heard)]
    if complete.empty or not others:
        return annotated
    unknown = complete.merge(pd.DataFrame({"label": others}), how="cross").assign(
        start_s=0.0, end_s=inf, low_hz=nan, high_hz=nan, kind="uncertain", source=""
    )
    return replace(annotated, annotations=pd.concat([annotated.annotations, unknown]))


def _together(parts: Sequence[AnnotatedRecordings]) -> AnnotatedRecordings | None:
    if not parts:
        return None
    tables = zip(*(part.tables for part in parts), strict=True)
    joined = [pd.concat(alike, ignore_index=True) for alike in tables]
    # Of a source whose annotators are not told apart, beside one where they are.
    joined = [t.fillna({"annotator": ""}) if "annotator" in t else t for t in joined]
    return AnnotatedRecordings(*joined)
