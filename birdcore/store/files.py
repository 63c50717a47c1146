"""Files that are there in full or not at all, and their digests."""

import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_text(path: Path, text: str) -> None:
    """Write a text file so that it is there in full or not at all."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes | memoryview) -> None:
    """Write a file so that it is there in full or not at all, also after a power cut."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_native_id()}")
    with replacing(path, temporary):
        temporary.unlink(missing_ok=True)
        with temporary.open("xb") as file:  # where others put a link, it is not written through
            file.write(content)


@contextmanager
def replacing(path: Path, temporary: Path) -> Iterator[None]:
    """Give `temporary` the name `path` when it is written and synced, or remove it.

    What a full disk has cut must not go on filling it.
    """
    try:
        yield
        sync(temporary)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
