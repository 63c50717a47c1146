"""Ordinary files and folders alone are read, written and removed: never what a link leads to.

Whoever may write to a shared store may put a link, a FIFO or a device where a file or a folder of
ours is expected. To follow a link would read, overwrite or delete files elsewhere with our rights,
and to open a FIFO waits for ever.
"""

import errno
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


class Irregular(OSError):
    """A link, FIFO, socket or device where an ordinary file or folder belongs."""

    def __init__(self, path: Path, mode: int) -> None:
        kind = "a link" if stat.S_ISLNK(mode) else "no ordinary file"
        super().__init__(errno.ELOOP, f"{kind} is not used here: remove it", str(path))


def open_content(path: str | Path, flags: int) -> int:
    """An opener for `open` that follows no link and waits for nobody at a FIFO."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)


def refuse_links(root: Path, path: Path) -> None:
    """Raises Irregular where a part of `path` below `root` is a link, FIFO, socket or device."""
    at = root
    for part in path.relative_to(root).parts:
        at = at / part
        try:
            mode = at.lstat().st_mode
        except FileNotFoundError:
            return
        _refuse(at, mode)


def read_regular(path: Path, most_bytes: int) -> bytes:
    """The content of an ordinary file.

    Raises Irregular where it is none, ValueError where it has more than `most_bytes`.
    """
    mode = path.lstat().st_mode
    if not stat.S_ISREG(mode):
        raise Irregular(path, mode)
    with open(path, "rb", opener=open_content) as file:
        content = file.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise ValueError(f"{path} has more than {most_bytes} bytes")
    return content


def regular_bytes(folder: Path, name: str) -> int:
    """The size of a file somewhere below a folder; raises Irregular where a link leads there."""
    at = folder
    for part in name.split("/"):
        at = at / part
        info = at.lstat()
        _refuse(at, info.st_mode)
    if not stat.S_ISREG(info.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(at))
    return info.st_size


def regular_files(folder: Path) -> Iterator[Path]:
    """All files below a folder, by name; raises Irregular at what is neither file nor folder."""
    for path in sorted(folder.iterdir()):
        mode = path.lstat().st_mode
        _refuse(path, mode)
        if stat.S_ISDIR(mode):
            yield from regular_files(path)
        else:
            yield path


def remove(path: Path) -> None:
    """Remove a file, a link (not what it leads to) or a folder with all that is in it."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)  # which follows no links
    else:
        with suppress(FileNotFoundError):
            path.unlink()


def empty(folder: Path) -> None:
    for path in folder.iterdir():
        remove(path)


def _refuse(path: Path, mode: int) -> None:
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise Irregular(path, mode)
