"""Files that are there in full or not at all, and nothing but ordinary files and folders.

Whoever may write to a shared store may put a link, a FIFO or a device where a file or a folder of
birdflow is expected. To follow a link would read, overwrite or delete files elsewhere with the
user's rights, and to open a FIFO waits for ever. So every path in a store is read, written and
removed by the functions of this module.
"""

import errno
import hashlib
import os
import shutil
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa


CHECKPOINTS = "checkpoint-*.pt"
"""What a stage that resumes leaves in its folder for its next try: no part of the artifact."""


class Irregular(OSError):
    """A link, FIFO, socket or device where an ordinary file or folder belongs."""

    def __init__(self, path: Path, mode: int) -> None:
        kind = "a link" if stat.S_ISLNK(mode) else "no ordinary file"
        super().__init__(errno.ELOOP, f"{kind} is not used here: remove it", str(path))


def file_sha256(path: Path) -> str:
    """sha256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync(path: Path) -> None:
    """Wait until a file, or the list of a folder's files, is safe on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 file so that it is there in full or not at all."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes | memoryview) -> None:
    """Write a file so that it is there in full or not at all, also after a power cut."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_native_id()}")
    with replacing(path, temporary):
        temporary.unlink(missing_ok=True)
        with temporary.open("xb") as file:  # "x" follows no link that others put there
            file.write(content)


def parquet_bytes(table: "pa.Table", **options: Any) -> bytes:
    """A Parquet file in memory, for `write_bytes`; options are those of `pq.write_table`."""
    import pyarrow as pa  # here, so that a step is declared without it
    import pyarrow.parquet as pq

    file = pa.BufferOutputStream()
    pq.write_table(table, file, **options)
    return bytes(file.getvalue().to_pybytes())


@contextmanager
def replacing(path: Path, temporary: Path) -> Iterator[None]:
    """Rename `temporary` to `path` once it is written and synced; remove it after an error.

    The removal matters on a full disk, which a cut file would go on filling.

    Example:
        >>> with replacing(folder / "a.csv", folder / ".a.csv"):  # doctest: +SKIP
        ...     (folder / ".a.csv").write_text("x,y")
    """
    try:
        yield
        sync(temporary)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def publish(folder: Path, final: Path) -> None:
    """Rename a folder of finished files to `final`, once all of it is safe on the disk.

    Raises:
        Irregular: There is a link or a device in it.
    """
    files = list(regular_files(folder))
    inside = {folder / parent for file in files for parent in file.relative_to(folder).parents}
    for path in [*files, *inside, folder]:
        sync(path)
    final.parent.mkdir(parents=True, exist_ok=True)
    folder.rename(final)
    sync(final.parent)


def open_content(path: str | Path, flags: int) -> int:
    """An opener for `open` that follows no link and does not wait at a FIFO."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)


def refuse_links(root: Path, path: Path) -> None:
    """Raises Irregular where a part of `path` below `root` is a link, FIFO, socket or device."""
    part = root
    for name in path.relative_to(root).parts:
        part = part / name
        try:
            mode = part.lstat().st_mode
        except FileNotFoundError:
            return
        _refuse_irregular(part, mode)


def read_regular(path: Path, most_bytes: int) -> bytes:
    """The content of an ordinary file; raises as `read_with_owner` does."""
    return read_with_owner(path, most_bytes)[0]


def read_with_owner(path: Path, most_bytes: int) -> tuple[bytes, os.stat_result]:
    """The content of an ordinary file, and whose it is, from one descriptor.

    Looked up by name, the owner could be that of another file than the one that is read.

    Raises:
        Irregular: It is a link, FIFO, socket or device.
        ValueError: It has more than `most_bytes`.
    """
    mode = path.lstat().st_mode
    if not stat.S_ISREG(mode):
        raise Irregular(path, mode)
    with open(path, "rb", opener=open_content) as file:
        info = os.fstat(file.fileno())
        if not stat.S_ISREG(info.st_mode):  # another one came under the name meanwhile
            raise Irregular(path, info.st_mode)
        content = file.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise ValueError(f"{path} has more than {most_bytes} bytes")
    return content, info


def regular_bytes(folder: Path, name: str) -> int:
    """The size of the file `name` (with slashes) below a folder.

    Raises:
        Irregular: A link leads there.
        IsADirectoryError: It is a folder.
    """
    path = folder
    for part in name.split("/"):
        path = path / part
        info = path.lstat()
        _refuse_irregular(path, info.st_mode)
    if not stat.S_ISREG(info.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    return info.st_size


def regular_files(folder: Path) -> Iterator[Path]:
    """All files below a folder, by name; raises Irregular at what is neither file nor folder."""
    for path in sorted(folder.iterdir()):
        mode = path.lstat().st_mode
        _refuse_irregular(path, mode)
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


def checkpoint_files(folder: Path) -> list[Path]:
    """Checkpoints in a folder, also those half written or set aside."""
    return list(folder.glob(f"*{CHECKPOINTS}*"))


def empty(folder: Path) -> None:
    """Remove all that is in a folder, and keep the folder."""
    for path in folder.iterdir():
        remove(path)


def _refuse_irregular(path: Path, mode: int) -> None:
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise Irregular(path, mode)
