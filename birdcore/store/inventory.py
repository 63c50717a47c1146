"""What lies in a store on this machine: artifacts, unfinished work, and which files are damaged.

Every line is read from the folders themselves and not from a list of them, so what a killed
process left behind is found too.
"""

import os
import re
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from birdcore.store.artifact import Ref
from birdcore.store.files import CHECKPOINTS, file_sha256, regular_bytes
from birdcore.store.store import WORK, Store

KEY = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Entry:
    """An artifact's folder; `name` and `made_at` are empty where its manifest can't be read."""

    ref: Ref
    name: str
    made_at: str
    files: int
    bytes: int


@dataclass(frozen=True)
class Work:
    """A folder in which a step is being made (`live`), or was when its process died."""

    ref: Ref
    bytes: int
    live: bool
    checkpoint: bool


def entries(store: Store) -> list[Entry]:
    """All artifacts by stage and key, also those whose files are gone in part."""
    return [_entry(store, ref) for ref in _named(store.root)]


def works(store: Store) -> list[Work]:
    """What is under `work/`, by stage and key."""
    found = []
    for ref in _named(store.root / WORK):
        folder = store.work(ref)
        checkpoint = not folder.is_symlink() and any(folder.glob(CHECKPOINTS))
        found.append(Work(ref, measure(folder)[1], store.is_being_made(ref), checkpoint))
    return found


def trash_bytes(store: Store) -> int:
    """Bytes in the trash: what a process had moved there and died before it had removed it."""
    return measure(store.trash())[1]


def measure(folder: Path) -> tuple[int, int]:
    """Files below a folder and their bytes, without links and what vanishes meanwhile."""
    count = total = 0
    if folder.is_symlink():
        return 0, 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                info = Path(parent, name).lstat()
                if stat.S_ISREG(info.st_mode):
                    total += info.st_size
                    count += 1
    return count, total


def damage(store: Store, ref: Ref) -> list[str]:
    """What is wrong with the files of an artifact, a line for each file; reads every byte.

    Empty for an artifact that is not on this machine.
    """
    if not os.path.lexists(store.path(ref)):  # gone since it was listed
        return []
    manifest = store.local_manifest(ref)
    if manifest is None:
        return ["its manifest can't be read"]
    lacking = [f.name for f in manifest.files if _bytes(store.path(ref), f.name) != f.bytes]
    if lacking:
        return [f"{name} is missing or cut" for name in lacking]
    changed = [f.name for f in manifest.files if file_sha256(store.path(ref) / f.name) != f.sha256]
    return [f"{name} is not what it was when it was made" for name in changed]


def _named(folder: Path) -> list[Ref]:
    """Folders two levels down whose name is a key, as no other folder in a store has.

    What a link leads to is not in the store; a link whose name is a key is a damaged artifact.
    """
    if folder.is_symlink():
        return []
    found = (path for path in folder.glob("*/*") if not path.parent.is_symlink())
    refs = (Ref.of(p.parent.name, p.name) for p in found if KEY.fullmatch(p.name))
    return sorted(ref for ref in refs if ref is not None)


def _entry(store: Store, ref: Ref) -> Entry:
    manifest = store.local_manifest(ref)
    files, size = measure(store.path(ref))
    if manifest is None:
        return Entry(ref, "", "", files, size)
    return Entry(ref, manifest.name, manifest.made_at, files, size)


def _bytes(folder: Path, name: str) -> int | None:
    try:
        return regular_bytes(folder, name)
    except OSError:
        return None
