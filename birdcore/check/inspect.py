"""From a folder to the facts of a check: files listed, headers and tables read, copies found."""

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from birdcore.audio.header import Header, read_header
from birdcore.audio.rules import CleaningRules
from birdcore.audio.stream import Rejected
from birdcore.check.classes import class_facts, fold_groups, imbalances
from birdcore.check.copies import copies_by_content, copies_by_sound, labels_of
from birdcore.check.facts import Check, Finding, Form, UseFacts
from birdcore.check.machine import Machine, this_machine
from birdcore.check.places import places_of
from birdcore.check.reading import Reading, read_folder
from birdcore.check.starter import starter_recipe
from birdcore.csv_table import Problem
from birdcore.sources.listing import list_audio
from birdcore.sources.source import Use
from birdcore.store.artifact import Progress
from birdcore.store.job import no_progress

THREADS = 16
"""Headers that are read at once: disks and network folders answer late, and little is computed."""
FIRST = 3
"""Problems of a kind that are named."""
TOLERANCE_S = 0.1
"""A label may end so much after its recording: rates and codecs round."""
USES: dict[Use, str] = {
    "labelled": "labelled clips",
    "annotated": "with labelled times",
    "unlabelled": "unlabelled",
    "test": "test",
}
SAID_BETTER = (
    "content there twice",
    "clip that is a negative as well",
    "test recording in the training data",
    "species without a recording",
)
"""Kinds of problems that a check says in its own parts, with classes and uses."""


def check_folder(
    folder: Path,
    *,
    by_sound: bool = False,
    machine: Machine | None = None,
    progress: Progress = no_progress,
) -> Check:
    """Look at a folder of recordings.

    Args:
        folder: Any folder.
        by_sound: Compare recordings by sound as well, for which all of them are decoded.
        machine: What the starter recipe is for; this machine by default.
        progress: Told how many files have been read.

    Raises:
        ValueError: There is no such folder.

    Example:
        >>> check = check_folder(Path("recordings"))  # doctest: +SKIP
        >>> check.usable, check.layout, len(check.classes)  # doctest: +SKIP
        (True, 'a folder for each class', 9)
    """
    began = time.monotonic()
    if not folder.is_dir():
        raise ValueError(f"{folder}: there is no such folder")
    listing = list_audio(folder, "")
    headers, damaged = _headers(listing.audio, progress)
    reading = read_folder(folder, listing)
    places = places_of(reading, listing.audio)
    forms = Counter(Form(h.format, h.rate, h.channels) for h in headers.values())
    check = {
        "folder": str(folder),
        "layout": reading.layout,
        "why": reading.why,
        "refused": reading.refused or _nothing_whole(listing.audio, headers),
        "forms": tuple(forms.most_common()),
        "damaged": findings(damaged),
        "places": places,
    }
    if reading.source is None or reading.catalog is None:
        ignored = findings(reading.problems)
        return Check(**check, ignored=ignored, seconds=time.monotonic() - began)  # type: ignore[arg-type]
    lengths = {name: header.seconds or 0.0 for name, header in headers.items()}
    classes = class_facts(reading.catalog, lengths)
    labels = labels_of(reading)
    copies = copies_by_content(reading.source, labels)
    if by_sound:
        copies += copies_by_sound(listing.audio, reading.source, labels, copies, progress)
    problems = [each for each in reading.problems if each.problem not in SAID_BETTER]
    problems += [*_beyond_the_end(reading, lengths), *_short(reading, lengths)]
    groups = fold_groups(reading.catalog, classes)
    usable = not check["refused"]
    return Check(
        **check,  # type: ignore[arg-type]
        uses=_uses(reading, lengths),
        classes=classes,
        ignored=findings(problems),
        copies=findings(copies),
        imbalances=imbalances(classes),
        groups=groups,
        recipe=starter_recipe(reading, classes, groups, headers, machine or this_machine())
        if usable
        else "",
        seconds=time.monotonic() - began,
    )


def findings(problems: Iterable[Problem]) -> tuple[Finding, ...]:
    """Problems by kind, each kind with its first ones."""
    by_kind: dict[str, list[Problem]] = defaultdict(list)
    for problem in problems:
        by_kind[problem.problem].append(problem)
    return tuple(Finding(kind, len(alike), tuple(alike[:FIRST])) for kind, alike in by_kind.items())


def _headers(
    audio: Mapping[str, Path], progress: Progress
) -> tuple[dict[str, Header], list[Problem]]:
    """The headers of recordings, and which of them can't be read, or not in full."""

    def read(path: Path) -> Header | str:
        try:
            return read_header(path)
        except Rejected as error:
            return str(error)

    headers: dict[str, Header] = {}
    damaged: list[Problem] = []
    with ThreadPoolExecutor(THREADS, "header") as pool:
        found = pool.map(read, audio.values())
        for done, (name, header) in enumerate(zip(audio, found, strict=True)):
            progress(done, len(audio), name)
            if isinstance(header, str):
                damaged.append(Problem("can't be read", name, header))
                continue
            headers[name] = header
            if header.problem:
                damaged.append(Problem("not whole", name, header.problem))
    return headers, damaged


def _nothing_whole(audio: Mapping[str, Path], headers: Mapping[str, Header]) -> str:
    return "no recording of it can be read" if audio and not headers else ""


def _uses(reading: Reading, lengths: Mapping[str, float]) -> tuple[UseFacts, ...]:
    assert reading.source is not None
    return tuple(
        UseFacts(
            USES[subset.use],
            len(subset.files),
            sum(lengths.get(file.path, 0.0) for file in subset.files) / 3600,
        )
        for subset in reading.source.subsets
        if subset.files
    )


def _beyond_the_end(reading: Reading, lengths: Mapping[str, float]) -> list[Problem]:
    """Labels that end after their recordings."""
    if reading.catalog is None or reading.catalog.annotated is None:
        return []
    rows = reading.catalog.annotated.annotations
    columns = ("recording", "start_s", "end_s", "source")
    return [
        Problem(
            "label beyond its recording's end",
            source,
            f"{start:.7g} to {end:.7g} s of {name}, which has {lengths[name]:.7g} s",
        )
        for name, start, end, source in rows[list(columns)].itertuples(index=False)
        if lengths.get(name) and end > lengths[name] + TOLERANCE_S
    ]


def _short(reading: Reading, lengths: Mapping[str, float]) -> list[Problem]:
    """Clips that cleaning rejects for their length."""
    least = CleaningRules().min_duration_s
    assert reading.source is not None
    return [
        Problem("clip that is too short", file.path, f"{lengths[file.path]:.2f} s, below {least} s")
        for file in reading.source.subset("labelled").files
        if 0 < lengths.get(file.path, 0.0) < least
    ]
