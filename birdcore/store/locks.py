"""Locks across processes on files and folders. A lock ends with its holder, however that ends.

All are `flock`s of the system: a killed process holds nothing, and waiting costs no polling. The
file or folder that is locked may be renamed or removed by its holder, so whoever has waited for it
checks that it still lies under its name. No link is followed to it.
"""

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def lock_folder(folder: Path, *, wait: bool = True) -> Iterator[bool]:
    """Hold a folder, made where it lacks, as a lock.

    Args:
        folder: Where something is made; its holder renames it when it is finished.
        wait: Wait for another holder.

    Yields:
        False where another process holds it and `wait` is off, or has renamed or removed it.

    Raises:
        OSError: It is a link.
    """
    handle = None
    while handle is None:
        # Another process may publish or remove it after any line: then it is made once more.
        with suppress(FileNotFoundError):
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except FileExistsError:
                if not stat.S_ISDIR(folder.lstat().st_mode):
                    raise
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        yield _flock(handle, wait) and _lies_at(folder, handle)
    finally:
        os.close(handle)


@contextmanager
def lock_file(path: Path, *, wait: bool = True) -> Iterator[bool]:
    """Hold a file, made where it lacks, as a lock; a link in its place is removed.

    Yields:
        False where another process holds it and `wait` is off.
    """
    ours = False
    while not ours:
        if path.is_symlink():
            path.unlink(missing_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
        try:
            if not _flock(handle, wait):
                yield False
                return
            ours = _lies_at(path, handle)  # else it was removed meanwhile: once more
            if ours:
                yield True
        finally:
            os.close(handle)


def is_locked(path: Path) -> bool:
    """Whether a process holds a file or folder as a lock; False for all that is neither."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        kind = os.fstat(handle).st_mode
        return (stat.S_ISREG(kind) or stat.S_ISDIR(kind)) and not _flock(handle, False, shared=True)
    finally:
        os.close(handle)


def _flock(handle: int, wait: bool, *, shared: bool = False) -> bool:
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    try:
        fcntl.flock(handle, kind if wait else kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _lies_at(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(path.lstat(), os.fstat(handle))
    except FileNotFoundError:
        return False
