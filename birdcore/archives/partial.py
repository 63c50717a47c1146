"""Half a download, and how it goes on.

`partial/XC<id>.part` is the lock as well: who downloads a recording holds a flock on it, which ends
with its holder however that ends. Beside it lies where its bytes are from, so that a later process
may ask the archive for the rest of the same file. A kill loses nothing that was written; after a
power cut the end of a partial may be what the file system made of it, which the check of the whole
recording is there to find.
"""

import fcntl
import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from io import FileIO
from pathlib import Path

from birdcore.archives.folder import FAILED, FETCHED, LARGEST_NOTE, PARTIAL, failure, find, name_of
from birdcore.store.files import open_content, read_regular, write_text

OURS = re.compile(r"(?:XC|iNat)([0-9]+)\.(?:part|json)|\.(?:XC|iNat)([0-9]+)\.json\..*")
TORN = re.compile(r"\.(?:XC|iNat)[0-9]+\.json\.")
SETTLED_S = 3600.0


@dataclass(frozen=True)
class Origin:
    """Where a partial's bytes are from.

    validator: the ETag or date by which the archive knows the same file again; empty where it
    named none, and no part can be asked for. total: bytes of the whole file, None where not said.
    """

    url: str
    validator: str
    total: int | None


@dataclass(frozen=True)
class Partial:
    """A partial that this process holds."""

    path: Path
    file: FileIO

    @property
    def size(self) -> int:
        return os.fstat(self.file.fileno()).st_size

    @property
    def _note(self) -> Path:
        return self.path.with_suffix(".json")

    def origin(self) -> Origin | None:
        try:
            return Origin(**json.loads(read_regular(self._note, LARGEST_NOTE)))
        except (OSError, ValueError, TypeError, RecursionError):
            return None

    def set_origin(self, origin: Origin) -> None:
        write_text(self._note, json.dumps(asdict(origin)) + "\n")

    def append(self, piece: bytes) -> None:
        rest = memoryview(piece)
        while rest:
            rest = rest[self.file.write(rest) :]

    def begins_with(self, beginnings: tuple[bytes, ...]) -> bool:
        """Whether what is there begins so, spaces apart."""
        with self.path.open("rb") as file:
            return file.read(64).lstrip().startswith(beginnings)

    def restart(self) -> None:
        """Empty the file, and only then forget where it was from."""
        self.file.truncate(0)
        self._note.unlink(missing_ok=True)

    def doubt(self) -> None:
        """Take back that the file is whole, so that more of it is asked for, or all of it anew."""
        if (origin := self.origin()) and origin.validator:
            self.set_origin(replace(origin, total=None))
        else:
            self.restart()

    def remove(self) -> None:
        """Leave nothing of it; also where the file itself was published."""
        self._note.unlink(missing_ok=True)
        if _is_at(self.path, self.file):
            self.path.unlink()


@contextmanager
def held(folder: Path, number: int, wait: bool = True) -> Iterator[Partial]:
    """Hold a recording's partial, which is made where it is not there.

    Raises BlockingIOError where another has it and `wait` is False.
    """
    path = folder / PARTIAL / f"{name_of(folder, number)}.part"
    while True:
        with open(path, "ab", buffering=0, opener=open_content) as file:
            fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(path, file):  # else it was published or removed while we waited
                yield Partial(path, file)
                return


def sweep(folder: Path) -> int:
    """Remove partials of no use, and return how many files that were.

    Of no use is what was published or given up, what can't be gone on with, and what a killed
    process left of a note. Partials that others hold are left alone, and notes that others may
    just be writing.
    """
    before = _files(folder)
    partials = [OURS.fullmatch(path.name) for path in before if path.parent.name == PARTIAL]
    for number in {int(match[1] or match[2]) for match in partials if match}:
        with suppress(BlockingIOError), held(folder, number, wait=False) as partial:
            failed = failure(folder, number)
            is_over = find(folder, number) or (failed and failed.permanent)
            if is_over or not partial.size or not partial.origin():
                partial.remove()
            for torn in partial.path.parent.glob(f".{name_of(folder, number)}.json.*"):
                torn.unlink()  # only who holds the partial writes here, and that is us
    for path in before:
        with suppress(FileNotFoundError):
            if TORN.match(path.name) and time.time() - path.stat().st_mtime > SETTLED_S:
                path.unlink()
    return len(before - _files(folder))


def _files(folder: Path) -> set[Path]:
    return {path for kind in (PARTIAL, FETCHED, FAILED) for path in (folder / kind).glob("*")}


def _is_at(path: Path, file: FileIO) -> bool:
    with suppress(FileNotFoundError):
        return os.path.samestat(path.lstat(), os.fstat(file.fileno()))
    return False
