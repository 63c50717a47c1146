"""Locks across processes, which end with their holder however that ends."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def held(work: Path, *, wait: bool = True) -> Iterator[bool]:
    """Hold the work folder itself as a lock; False where it was published while we waited.

    Raises BlockingIOError where another process holds it and we do not `wait`, another OSError
    where it is a link.
    """
    handle = None
    while handle is None:
        work.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):  # another process has just published or removed it
            handle = os.open(work, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        ours = False
        with suppress(FileNotFoundError):
            ours = os.path.samestat(work.lstat(), os.fstat(handle))
        yield ours
    finally:
        os.close(handle)
