"""A collection: the folder in which recordings of an archive gather, over days and runs.

    recordings/XC551455.mp3   whole, checked and never changed; the name is made of the id
    fetched/XC551455.json     what it is: written after the recording has got its name
    failed/XC551455.json      why it could not be had
    partial/XC551455.part     a download under way, or what a killed one left (see partial.py)

Those of iNaturalist are called iNat263113 and lie in a folder of the same kind in this one,
`inaturalist`, since each archive counts its own.

One small note per recording, each there in full or not at all: any number of processes may add to
a collection without waiting for each other. A recording without a note was published by a process
that was killed just then; one whose size is not that of its note is not taken for what it was.
"""

import json
import os
from contextlib import suppress
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from birdcore.archives.fields import OTHER_SUFFIX
from birdcore.audio.container import AUDIO_SUFFIXES
from birdcore.store.files import open_content, write_text

INATURALIST = "inaturalist"
RECORDINGS, FETCHED, FAILED, PARTIAL = "recordings", "fetched", "failed", "partial"
SUFFIXES = AUDIO_SUFFIXES | {OTHER_SUFFIX}


@dataclass(frozen=True, slots=True)
class Fetched:
    """A recording that is there: its file's name, digest and size, whence (no key) and when."""

    id: int
    name: str
    sha256: str
    bytes: int
    url: str
    when: str


@dataclass(frozen=True, slots=True)
class Failed:
    """A recording that could not be had; `permanent`: it is not asked for again.

    `sha256` is of a file that came and could not be used, else empty.
    """

    id: int
    reason: str
    permanent: bool
    when: str
    sha256: str = ""


Note = TypeVar("Note", Fetched, Failed)
LARGEST_NOTE = 1 << 16
_TYPES: dict[object, type] = {int: int, str: str, bool: bool}


def folder_of(collection: Path, table: str) -> Path:
    """The folder of an archive in a collection, by the archive's table in the recipe.

    Raises:
        ValueError: The collection has the name of the folder of iNaturalist.
    """
    if collection.name == INATURALIST:
        raise ValueError(
            f"{collection} has the name of the folder that iNaturalist has in a collection: "
            "give another --collection, such as the folder above it"
        )
    return collection / INATURALIST if table == INATURALIST else collection


def name_of(folder: Path, number: int) -> str:
    """What a recording of a folder is called, such as XC551455 or iNat263113."""
    return f"{'iNat' if folder.name == INATURALIST else 'XC'}{number}"


def set_up(folder: Path) -> None:
    """Make the collection's folders where they are not there."""
    for name in (RECORDINGS, FETCHED, FAILED, PARTIAL):
        (folder / name).mkdir(parents=True, exist_ok=True)


def recording_name(folder: Path, number: int, suffix: str) -> str:
    """The file name of a recording; nothing else from the archive has a part in it."""
    assert isinstance(number, int), number
    assert suffix in SUFFIXES, suffix
    return name_of(folder, number) + suffix


def recording_path(folder: Path, fetched: Fetched) -> Path:
    return folder / RECORDINGS / fetched.name


def collected(folder: Path) -> dict[int, Fetched]:
    """All recordings that are there, by id and in its order."""
    try:
        with os.scandir(folder / RECORDINGS) as entries:
            sizes = {entry.name: entry.stat().st_size for entry in entries}
    except FileNotFoundError:
        return {}
    notes = _notes(folder / FETCHED, Fetched)
    return {note.id: note for note in notes if sizes.get(note.name) == note.bytes}


def failures(folder: Path) -> dict[int, Failed]:
    """Why recordings are not there, by id and in its order."""
    notes = _notes(folder / FAILED, Failed)
    return {note.id: note for note in notes if find(folder, note.id) is None}


def find(folder: Path, number: int) -> Fetched | None:
    """The recording, or None where it is not there as its note says."""
    note = _read(_path(folder, FETCHED, number), Fetched)
    if note is None:
        return None
    try:
        whole = recording_path(folder, note).stat().st_size == note.bytes
    except FileNotFoundError:
        return None
    return note if whole else None


def has_note(folder: Path, number: int) -> bool:
    """Whether a recording's note is there and can be read, whatever became of its file."""
    return _read(_path(folder, FETCHED, number), Fetched) is not None


def failure(folder: Path, number: int) -> Failed | None:
    return _read(_path(folder, FAILED, number), Failed)


def note_fetched(folder: Path, note: Fetched) -> None:
    """Say that a recording is there, after it is; an earlier failure is then over."""
    _write(_path(folder, FETCHED, note.id), note)
    _path(folder, FAILED, note.id).unlink(missing_ok=True)


def note_failed(folder: Path, note: Failed) -> None:
    _write(_path(folder, FAILED, note.id), note)


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _path(folder: Path, kind: str, number: int) -> Path:
    return folder / kind / f"{name_of(folder, number)}.json"


def _write(path: Path, note: Fetched | Failed) -> None:
    content = {f.name: getattr(note, f.name) for f in fields(note)}
    write_text(path, json.dumps(content) + "\n")


def _notes(folder: Path, kind: type[Note]) -> list[Note]:
    """All notes that can be read, by id."""
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        paths = [e.path for e in entries if e.name.endswith(".json")]
        notes = (_read(path, kind) for path in paths)
        return sorted((note for note in notes if note is not None), key=lambda note: note.id)
    return []


def _read(path: Path | str, kind: type[Note]) -> Note | None:
    """A note; None where it is missing, is none, or names what a collection does not hold."""
    try:
        with open(path, "rb", buffering=0, opener=open_content) as file:
            note = kind(**json.loads(str(file.read(LARGEST_NOTE), "utf-8")))
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    if not all(isinstance(getattr(note, f.name), _TYPES[f.type]) for f in fields(kind)):
        return None
    stem = name_of(Path(path).parents[1], note.id)
    if not str(path).endswith(f"/{stem}.json"):
        return None
    if isinstance(note, Fetched):
        name, dot, suffix = note.name.rpartition(".")
        if name != stem or dot + suffix not in SUFFIXES:
            return None
    return note
