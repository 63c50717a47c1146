"""Digests that tell equal files from others without reading what can't be equal.

To find copies among terabytes, most bytes need not be read: files of different size differ, and of
the others most differ in a few kilobytes of their beginning, middle or end.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from birdcore.store.artifact import Progress
from birdcore.store.digests import Digest, Seen
from birdcore.store.files import file_sha256
from birdcore.store.job import no_progress

PROBED = 1 << 16
"""Bytes of a file's beginning, middle and end that are compared first."""


@dataclass(frozen=True)
class SameContent:
    """A `Digester` for a look at files: its digests are no sha256, and equal for copies alone."""

    def digests(
        self, paths: Iterable[Path], progress: Progress = no_progress
    ) -> dict[Path, Digest]:
        """A text for each file that copies of it have as well; empty files have their own."""
        seen = {path: _seen(path) for path in paths}
        known = {path: f"{each.bytes} bytes" for path, each in seen.items()}
        with ThreadPoolExecutor() as pool:
            for read in (_probe, _sha256):
                times = Counter(known.values())
                alike = [path for path, text in known.items() if times[text] > 1]
                for done, (path, text) in enumerate(zip(alike, pool.map(read, alike), strict=True)):
                    progress(done, len(alike), path.name)
                    known[path] = f"{known[path]} {text}"
        return {path: Digest(seen[path], known[path]) for path in seen}


def _seen(path: Path) -> Seen:
    stat = os.stat(path)
    return Seen(stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino, stat.st_dev)


def _probe(path: Path) -> str:
    with suppress(OSError), path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        found = hashlib.sha256()
        for start in (0, max(0, size // 2), max(0, size - PROBED)):
            file.seek(start)
            found.update(file.read(PROBED))
        return found.hexdigest() if size else f"empty {path}"
    return f"unreadable {path}"


def _sha256(path: Path) -> str:
    try:
        return file_sha256(path)
    except OSError:
        return f"unreadable {path}"
