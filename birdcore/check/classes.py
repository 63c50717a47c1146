"""Classes of a catalogue: how much there is of each, how unevenly, and what folds can hold out."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import pandas as pd

from birdcore.check.facts import ClassFacts, Groups
from birdcore.sources.catalog import Catalog
from birdcore.text import first_of

NAMED = 5
"""Classes that a remark names."""
UNEVEN = 20
"""So many times as many recordings of the commonest class as of the rarest are worth a remark."""


def class_facts(catalog: Catalog, lengths: Mapping[str, float]) -> tuple[ClassFacts, ...]:
    """What there is of each class, in the order of the catalogue.

    Args:
        catalog: Recordings and classes.
        lengths: Seconds by recording, of those that can be read; others do not count.
    """
    clips: dict[str, set[str]] = defaultdict(set)
    groups: dict[str, set[str]] = defaultdict(set)
    readable = catalog.recordings["recording"].isin(lengths.keys())
    usable = catalog.recordings[catalog.recordings["usable"] & readable]
    recordist = _recordists(usable)
    for name, label, group in zip(
        usable["recording"], usable["primary_label"], recordist, strict=True
    ):
        clips[label].add(name)
        groups[label].add(group)
    events: Counter[str] = Counter()
    annotated: dict[str, set[str]] = defaultdict(set)
    if catalog.annotated is not None:
        group_of = dict(catalog.annotated.groups.itertuples(index=False, name=None))
        rows = catalog.annotated.annotations
        present = rows[(rows["kind"] == "present") & rows["recording"].isin(lengths.keys())]
        for name, label in zip(present["recording"], present["label"], strict=True):
            events[label] += 1
            annotated[label].add(name)
            groups[label].add(f"annotated {group_of.get(name, name)}")
    return tuple(
        ClassFacts(
            label=label,
            name=common or (scientific if scientific != label else ""),
            group=group,
            clips=len(clips[label]),
            hours=sum(lengths.get(name, 0.0) for name in clips[label]) / 3600,
            events=events[label],
            annotated=len(annotated[label]),
            groups=len(groups[label]),
        )
        for label, scientific, common, group in _named(catalog.species)
    )


def fold_groups(catalog: Catalog, classes: Sequence[ClassFacts]) -> Groups:
    """What folds can keep together."""
    usable = catalog.recordings[catalog.recordings["usable"]]
    author = usable["author"].str.strip().str.casefold()
    annotated = catalog.annotated
    return Groups(
        recordists=int(author[author != ""].nunique()),
        nameless=int((author == "").sum()),
        annotated=0 if annotated is None else int(annotated.groups["group"].nunique()),
        unscored=tuple(each.label for each in classes if each.groups == 1),
    )


def imbalances(classes: Sequence[ClassFacts]) -> tuple[str, ...]:
    """Remarks on how unevenly classes are there; none where there is nothing to say."""
    found = sorted((each for each in classes if each.recordings), key=lambda c: c.recordings)
    remarks = []
    if none := [each.label for each in classes if not each.recordings]:
        remarks.append(f"no recording of {_listed(none)}")
    if not found:
        return tuple(remarks)
    rarest, commonest = found[0], found[-1]
    if commonest.recordings >= UNEVEN * rarest.recordings:
        remarks.append(
            f"{commonest.label} has {commonest.recordings} recordings, {rarest.label} "
            f"{rarest.recordings}"
        )
    if one := [each.label for each in found if each.recordings == 1]:
        remarks.append(f"a single recording of {_listed(one)}: never validated")
    has_clips = any(each.clips for each in classes)
    if has_clips and (alone := [each.label for each in found if not each.clips]):
        remarks.append(f"only recordings with labelled times have {_listed(alone)}")
    return tuple(remarks)


def _listed(labels: Sequence[str]) -> str:
    many = f"{len(labels)} classes: " if len(labels) > 1 else ""
    return f"{many}{first_of(labels, NAMED)}"


def _recordists(usable: pd.DataFrame) -> "pd.Series[str]":
    """Recordists, or recordings where these are not known: what has one fold."""
    author = usable["author"].str.strip().str.casefold()
    return author.where(author != "", usable["recording"])


def _named(species: pd.DataFrame) -> list[tuple[str, str, str, str]]:
    columns = ["label", "scientific_name", "common_name", "class_name"]
    return list(species[columns].fillna("").itertuples(index=False, name=None))
