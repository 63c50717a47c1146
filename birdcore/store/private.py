"""Folders and files that only this account may read and write.

Whoever can make, replace or read a lock, a login or a database can stop or control what relies on
it. So these lie in folders of mode 0700 that belong to this account, and no link is followed.
"""

import os
import stat
from pathlib import Path

from birdcore.store.files import replacing


class NotPrivateError(PermissionError):
    """A folder or file is a link, or another account's; the message names it."""


def private_folder(path: Path) -> Path:
    """A folder of mode 0700 of this account, made where it lacks; its files get mode 0600.

    Raises:
        NotPrivateError: The path is a link, or belongs to another account.
    """
    if path.is_symlink():
        raise NotPrivateError(f"{path} is a link, which others may turn elsewhere: remove it")
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        _refuse_others(path, os.fstat(handle))
        os.fchmod(handle, 0o700)
    finally:
        os.close(handle)
    for file in path.iterdir():
        there = file.lstat()
        if stat.S_ISREG(there.st_mode) and there.st_uid == os.getuid() and there.st_mode & 0o077:
            file.chmod(0o600)
    return path


def open_private(path: Path, flags: int = os.O_RDWR | os.O_CREAT) -> int:
    """The descriptor of a file of mode 0600, made where it lacks.

    Raises:
        NotPrivateError: It belongs to another account.
        OSError: It is a link.
    """
    handle = os.open(path, flags | os.O_NOFOLLOW, 0o600)
    try:
        _refuse_others(path, os.fstat(handle))
    except BaseException:
        os.close(handle)
        raise
    return handle


def write_private(path: Path, text: str) -> None:
    """Write a file of mode 0600 so that it is there in full or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    handle = open_private(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    with replacing(path, temporary), open(handle, "w", encoding="utf-8") as file:
        file.write(text)


def _refuse_others(path: Path, found: os.stat_result) -> None:
    if found.st_uid != os.getuid():
        raise NotPrivateError(
            f"{path} belongs to another account (user id {found.st_uid}), who could read or "
            "change what lies there"
        )
