"""The same recording more than once: a leak where its copies are used or labelled differently."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from birdcore.check.reading import Reading
from birdcore.config.data import Data
from birdcore.csv_table import Problem
from birdcore.sources.class_folders import folder_labels
from birdcore.sources.source import FOLDERS, TABLES, Source, Use
from birdcore.store.artifact import Progress

if TYPE_CHECKING:  # its module imports SciPy
    from birdcore.audio.fingerprints import Fingerprint

NEGATIVES = "negatives"


def labels_of(reading: Reading) -> dict[str, str]:
    """The class of each clip, copies among them.

    Of recordings with tables: whether anything is heard in them.
    """
    source, catalog = reading.source, reading.catalog
    if source is None or catalog is None:
        return {}
    if source.layout == FOLDERS:
        names = [file.path for subset in source.subsets for file in subset.files]
        labels, silent = folder_labels(sorted(names), Data.model_validate(source.settings))
        return labels | dict.fromkeys(silent, NEGATIVES)
    clips = catalog.recordings[catalog.recordings["primary_label"].notna()]
    named = dict(zip(clips["recording"], clips["primary_label"], strict=True))
    if source.layout == TABLES and catalog.annotated is not None:
        rows = catalog.annotated.annotations
        heard = set(rows[rows["kind"] == "present"]["recording"])
        silent = set(catalog.annotated.complete["recording"]) - heard
        named |= dict.fromkeys(heard, "positives") | dict.fromkeys(silent, NEGATIVES)
    return named


def copies_by_content(source: Source, labels: Mapping[str, str]) -> list[Problem]:
    """Files of the same content; an empty file is no copy of another.

    Args:
        source: Its digests tell files of different content apart.
        labels: The class of each clip.
    """
    uses = uses_of(source)
    by_content: dict[str, list[str]] = defaultdict(list)
    for subset in source.subsets:
        for file in subset.files:
            if file.bytes:
                by_content[file.sha256].append(file.path)
    return [
        _copy(copy, names[0], uses, labels, "content")
        for names in by_content.values()
        for copy in names[1:]
    ]


def copies_by_sound(
    audio: Mapping[str, Path],
    source: Source,
    labels: Mapping[str, str],
    known: Iterable[Problem],
    progress: Progress,
) -> list[Problem]:
    """Recordings that share a stretch of sound, however encoded; those `known` are left out."""
    from birdcore.audio.fingerprints import Fingerprint, gather
    from birdcore.compute_threads import torch_pool
    from birdcore.detection.threads import default_threads
    from birdcore.sources.duplicates import match

    uses = uses_of(source)
    said = {each.where for each in known}
    names = [name for name in audio if name in uses and name not in said]
    found: dict[str, Fingerprint] = {}
    with torch_pool(default_threads(), "fingerprint") as pool:
        made = pool.map(_fingerprint, (audio[name] for name in names))
        for done, (name, fingerprint) in enumerate(zip(names, made, strict=True)):
            progress(done, len(names), name)
            if fingerprint is not None:
                found[name] = fingerprint
    table = gather(found)
    pairs = {
        (max(each.recording, each.same_as), min(each.recording, each.same_as)): each
        for each in match(table, table)
        if each.recording != each.same_as
    }
    copies = (
        (_copy(*pair, uses, labels, "sound"), found)
        for pair, found in sorted(pairs.items(), key=lambda item: -item[1].agreeing)
    )
    return [
        copy._replace(detail=f"{copy.detail}: {match.agreeing} of {match.landmarks} landmarks")
        for copy, match in copies
    ]


def uses_of(source: Source) -> dict[str, Use]:
    return {file.path: subset.use for subset in source.subsets for file in subset.files}


def _fingerprint(path: Path) -> "Fingerprint | None":
    from birdcore.audio.decode import Rejected, decode
    from birdcore.audio.fingerprints import fingerprint

    try:
        audio = decode(path)
        return fingerprint(audio.blocks(), audio.rate)
    except Rejected:
        return None


def _copy(
    one: str, other: str, uses: Mapping[str, Use], labels: Mapping[str, str], what: str
) -> Problem:
    """What it means that two recordings are the same."""
    detail = f"the same as {other}"
    both = {uses[one], uses[other]}
    if len(both) == 2 and "test" in both:
        test, train = (one, other) if uses[one] == "test" else (other, one)
        kind = f"test recording in the training data, by {what}"
        return Problem(kind, test, f"the same as {train}")
    first, second = labels.get(one, ""), labels.get(other, "")
    if first and second and first != second:
        detail = f"{first}; the same as {other}, {second}"
        return Problem(f"same {what} in two classes", one, detail)
    if len(both) == 2:
        return Problem(f"same {what} in two uses", one, f"{uses[one]}; {detail}, {uses[other]}")
    return Problem(f"same {what} twice", one, detail)
