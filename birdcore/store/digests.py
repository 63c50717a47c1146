"""A cache of sha256 of raw files, so that only new and changed files are read.

A digest is kept with all by which a file system tells files and their versions apart: size, times
of modification and of change, inode and device. Size and modification time alone do not suffice: an
archive sets the same for all files that it unpacks, and two files that swap names keep theirs. A
file that changed a moment before it was read is not kept: a later write in the same tick of the
file system's clock would leave all of these as they are (git calls that "racily clean").
"""

import hashlib
import os
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from birdcore.store.artifact import Progress
from birdcore.store.files import file_sha256, parquet_bytes, write_bytes
from birdcore.store.job import no_progress

SETTLED_NS = 3_000_000_000
"""Times of FAT have steps of two seconds."""


@dataclass(frozen=True)
class Seen:
    """What a file system knows of a file without reading it."""

    bytes: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    device: int

    def detects_changes(self, now_ns: int) -> bool:
        """Whether a change after `now_ns` would show here."""
        known = self.inode != 0 and self.ctime_ns > 0
        return known and max(self.mtime_ns, self.ctime_ns) < now_ns - SETTLED_NS


@dataclass(frozen=True)
class Digest:
    seen: Seen
    sha256: str

    @property
    def bytes(self) -> int:
        return self.seen.bytes


class Digester(Protocol):
    """What tells files of different content apart, such as a `Store`."""

    def digests(
        self, paths: Iterable[Path], progress: Progress = no_progress
    ) -> dict[Path, Digest]:
        """A digest of each file; two are equal where the contents are."""
        ...


def digests(
    paths: Iterable[Path], cache: Path | None, progress: Progress = no_progress
) -> dict[Path, Digest]:
    """The digest of each file as it is now.

    A file that can't be read gets one of its name, and is looked at again the next time.

    Args:
        paths: The files.
        cache: A file of digests, read and written; None to remember nothing.
        progress: Called with how many of the new and changed files have been read, and their
            number.

    Raises:
        FileNotFoundError: A file is not there.
    """
    known = {} if cache is None else _read(cache)
    now: dict[Path, Digest] = {}
    unread: list[tuple[Path, Seen]] = []
    for path in paths:
        seen = _seen(path)
        digest = known.get(_key(path))
        if digest and digest.seen == seen:
            now[path] = digest
        else:
            unread.append((path, seen))
    if not unread:
        return now
    began = time.time_ns()
    with ThreadPoolExecutor() as pool:
        contents = pool.map(_content, [path for path, _ in unread])
        for done, ((path, seen), sha) in enumerate(zip(unread, contents, strict=True)):
            progress(done, len(unread), path.name)
            unreadable = hashlib.sha256(f"unreadable {path.name}".encode()).hexdigest()
            now[path] = Digest(seen, sha or unreadable)
            if sha and seen.detects_changes(began) and _seen(path) == seen:
                known[_key(path)] = now[path]
            else:
                known.pop(_key(path), None)
    if cache is not None:
        with suppress(OSError):  # of a folder that may only be read, all is read again
            _write(cache, known)
    return now


def _key(path: Path) -> str:
    return str(path.absolute())


def _seen(path: Path) -> Seen:
    stat = os.stat(path)
    return Seen(stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino, stat.st_dev)


def _content(path: Path) -> str | None:
    """The file's sha256; None where it can't be read, which the stage clean reports."""
    try:
        return file_sha256(path)
    except FileNotFoundError:
        raise
    except OSError:
        return None


NUMBERS = [field.name for field in fields(Seen)]


def _read(path: Path) -> dict[str, Digest]:
    try:
        columns = pq.read_table(path).to_pydict()
        seen = [Seen(*row) for row in zip(*(columns[name] for name in NUMBERS), strict=True)]
        rows = zip(columns["path"], seen, columns["sha256"], strict=True)
        return {name: Digest(of_file, sha) for name, of_file, sha in rows}
    except (OSError, ValueError, TypeError, LookupError, pa.ArrowException):
        return {}  # damaged, or of a version that remembered less: all is read again


def _write(path: Path, digests: dict[str, Digest]) -> None:
    rows = [astuple(digest.seen) for digest in digests.values()]
    columns: dict[str, pa.Array] = {
        name: pa.array([row[index] for row in rows], pa.uint64() if index > 2 else pa.int64())
        for index, name in enumerate(NUMBERS)
    }
    columns |= {
        "path": pa.array(list(digests), pa.string()),
        "sha256": pa.array([d.sha256 for d in digests.values()], pa.string()),
    }
    write_bytes(path, parquet_bytes(pa.table(columns)))
