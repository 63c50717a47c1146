"""The remote of a store, which many machines share: an object store or a folder on the network.

    REMOTE/store.json                      the layout's version
    REMOTE/<stage>/<key>/<sha256>/<name>   an artifact's files, by their content
    REMOTE/<stage>/<key>/manifest.json     written after them (birdcore/store/transfer.py)
    REMOTE/shards.parquet                  the ledger, so that all machines cut the same shards

An object is there in full or not at all; in a folder, files are written under another name first.

    ValueError
      RemoteError          the remote can't be used as it is
    ConnectionError
      RemoteUnavailable    it could not be reached; the next try may succeed
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pyarrow as pa
from pyarrow.fs import FileSystem, LocalFileSystem

from birdcore.store.files import Irregular, refuse_links, write_bytes
from birdcore.store.format import MARK, NAME, refuse_other

MARK_BYTES = 1 << 16
REFUSED = re.compile(r"ACCESS_DENIED|ACCESS_KEY|SIGNATURE|NO_SUCH_BUCKET|CREDENTIALS|status 403")
"""What object stores answer where another try would get the same answer."""


class RemoteError(ValueError):
    """The remote can't be used as it is; the message says why and what to do."""


class RemoteUnavailable(ConnectionError):
    """The remote could not be reached; the next try may succeed."""


@dataclass(frozen=True)
class Remote:
    """A file system and the folder in it; small files of it are read and written in one piece.

    Names are given in parts: `remote.read(1000, "mel", key, "manifest.json")`. All methods raise
    RemoteUnavailable where nobody answers, RemoteError where access is refused, and but for
    `delete` Irregular where the remote is a folder and a link leads out of it.
    """

    url: str
    files: FileSystem
    root: str

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder on the network, and no object store."""
        return isinstance(self.files, LocalFileSystem)

    def path(self, *parts: str) -> str:
        """The path in the file system."""
        path = "/".join([self.root, *parts])
        if self.is_folder:
            refuse_links(Path(self.root), Path(path))
        return path

    def read(self, most_bytes: int, *parts: str) -> bytes | None:
        """A file's content, or None where there is none; RemoteError above `most_bytes`."""
        path = self.path(*parts)
        with self.access():
            try:
                with self.files.open_input_stream(path) as stream:
                    content = bytes(stream.read(most_bytes + 1))
            except FileNotFoundError:
                return None
        if len(content) > most_bytes:
            raise RemoteError(f"{'/'.join(parts)} in {self.url} has more than {most_bytes} bytes")
        return content

    def write(self, content: bytes, *parts: str) -> None:
        path = self.path(*parts)
        with self.access():
            if self.is_folder:
                Path(path).parent.mkdir(parents=True, exist_ok=True)
                write_bytes(Path(path), content)
                return
            with self.files.open_output_stream(path) as stream:
                stream.write(content)

    def delete(self, *parts: str) -> None:
        """Remove a file; nothing where there is none, or a link."""
        with suppress(FileNotFoundError, Irregular):
            path = self.path(*parts)
            with self.access():
                self.files.delete_file(path)

    @contextmanager
    def access(self) -> Iterator[None]:
        """Turn what the network and the object store answer into the errors of this module."""
        with _translated(self.url):
            yield


@cache
def open_remote(url: str, *, make: bool = True, missing_ok: bool = False) -> Remote:
    """The remote at a URL: s3://bucket/prefix, gs://bucket/prefix, file:///folder.

    Keys come from the environment (AWS_ACCESS_KEY_ID and so on), as they do for every other tool.

    Args:
        url: Without keys.
        make: Begin a store where there is none.
        missing_ok: Accept that there is none.

    Raises:
        RemoteError: The URL is none of these, or there is no store and `make` is off.
        StoreError: The store has another layout.
        RemoteUnavailable: Nobody answers.
    """
    try:
        with _translated(url):  # a bucket's region is looked up
            files, root = FileSystem.from_uri(url)
        if not root.strip("/"):
            raise pa.ArrowInvalid("it names no bucket or folder")
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise RemoteError(
            f"{url} can't be a store ({error}): name a folder, s3://bucket/prefix, "
            "gs://bucket/prefix or file:///folder"
        ) from error
    remote = Remote(url, files, root.rstrip("/"))
    mark = remote.read(MARK_BYTES, NAME)
    if mark is not None:
        refuse_other(mark.decode(errors="replace"), url)
    elif make:
        remote.write(MARK.encode(), NAME)
    elif not missing_ok:
        raise RemoteError(f"{url} is no store: say with --store where it is")
    return remote


@contextmanager
def _translated(url: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno is not None or isinstance(error, FileNotFoundError):
            raise  # of a folder on the network: the system's message is plain enough
        if REFUSED.search(str(error)):
            raise RemoteError(
                f"{url} refuses access ({error}): check the bucket's name, and "
                "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            ) from error
        raise RemoteUnavailable(f"{url} can't be reached: {error}") from error
