"""The remote of a store: what many machines share, an object store or a folder on the network.

    REMOTE/store.json                      the layout's version
    REMOTE/<stage>/<key>/<sha256>/<name>   an artifact's files, by what they hold
    REMOTE/<stage>/<key>/manifest.json     written after them: what has one is whole
    REMOTE/shards.parquet                  the ledger, so that all machines cut the same shards

An object is there in full or not at all, but nothing renames a folder of them, so the manifest
comes last. Files lie by content: two machines that make one artifact at once never mix theirs.
"""

import hashlib
import os
import re
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pyarrow as pa
from pyarrow.fs import FileSelector, FileSystem, LocalFileSystem, copy_files

from birdcore.store.artifact import MANIFEST, Manifest, Ref, StoredFile
from birdcore.store.files import replacing, write_bytes
from birdcore.store.format import MARK, NAME, refuse_other
from birdcore.store.manifest import MOST_BYTES, ManifestError, parse_manifest
from birdcore.store.regular import Irregular, refuse_links

AT_ONCE = 8
"""Files of an artifact under way at once."""
PIECE = 1 << 23
MARK_BYTES = 1 << 16
REFUSED = re.compile(r"ACCESS_DENIED|ACCESS_KEY|SIGNATURE|NO_SUCH_BUCKET|CREDENTIALS|status 403")
"""What no other try mends, in the words of object stores."""


class RemoteError(ValueError):
    """The remote can't be used as it is; the message says why and what to do."""


class RemoteUnavailable(ConnectionError):
    """The remote could not be reached, which may be over at the next try."""


@dataclass(frozen=True)
class Remote:
    """Where it is: a file system, and the folder in it."""

    url: str
    files: FileSystem
    root: str

    def path(self, *parts: str) -> str:
        return "/".join([self.root, *parts])


@cache
def open_remote(url: str, *, make: bool = True) -> Remote:
    """The remote at a URL: s3://bucket/prefix, gs://bucket/prefix, file:///folder.

    Keys come from the environment (AWS_ACCESS_KEY_ID and so on), as they do for every other tool.
    Raises RemoteError where the URL is none of these, or there is no store that is not to be made,
    StoreError where it is one of another layout, and RemoteUnavailable where nobody answers.
    """
    try:
        with _reached(url):  # it asks for a bucket's region
            files, root = FileSystem.from_uri(url)
        if not root.strip("/"):
            raise pa.ArrowInvalid("it names no bucket or folder")
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise RemoteError(
            f"{url} can't be a store ({error}): name a folder, s3://bucket/prefix, "
            "gs://bucket/prefix or file:///folder"
        ) from error
    remote = Remote(url, files, root.rstrip("/"))
    _mark(remote, make)
    return remote


def read(remote: Remote, most_bytes: int, *parts: str) -> bytes | None:
    """A small file, or None where it is not there.

    Raises RemoteError where it has more than `most_bytes`, Irregular for a link or a device.
    """
    path = _ordinary(remote, *parts)
    with _reached(remote.url):
        try:
            with remote.files.open_input_stream(path) as stream:
                content = bytes(stream.read(most_bytes + 1))
        except FileNotFoundError:
            return None
    if len(content) > most_bytes:
        raise RemoteError(f"{'/'.join(parts)} in {remote.url} has more than {most_bytes} bytes")
    return content


def write(remote: Remote, content: bytes, *parts: str) -> None:
    """A small file, in one object; raises Irregular where a link leads elsewhere."""
    path = _ordinary(remote, *parts)
    with _reached(remote.url):
        if isinstance(remote.files, LocalFileSystem):  # where a file can be seen half written
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            write_bytes(Path(path), content)
            return
        with remote.files.open_output_stream(path) as stream:
            stream.write(content)


def remote_manifest(remote: Remote, ref: Ref) -> Manifest | None:
    """What the remote says of an artifact, or None where that is not there or not believed."""
    try:
        return read_remote_manifest(remote, ref)
    except (ManifestError, Irregular):  # damaged, and so not there
        return None


def read_remote_manifest(remote: Remote, ref: Ref) -> Manifest | None:
    """What the remote says of an artifact, or None where that is not there.

    Raises ManifestError or Irregular, which say why, where it can't be believed.
    """
    try:
        content = read(remote, MOST_BYTES, ref.stage, ref.key, MANIFEST)
    except RemoteError as error:
        raise ManifestError(str(error)) from None
    return None if content is None else parse_manifest(content, ref)


def remote_refs(remote: Remote) -> list[Ref]:
    """All artifacts of the remote, in one listing of its objects."""
    if isinstance(remote.files, LocalFileSystem):  # its own listing follows links in circles
        folders = (p.parent for p in Path(remote.root).glob(f"*/*/{MANIFEST}"))
        own = (f for f in folders if not f.is_symlink() and not f.parent.is_symlink())
        return sorted(ref for f in own if (ref := Ref.of(f.parent.name, f.name)) is not None)
    with _reached(remote.url):
        found = remote.files.get_file_info(FileSelector(remote.root, recursive=True))
    names = [one.path.removeprefix(f"{remote.root}/").split("/") for one in found]
    there = (n for n in names if len(n) == 3 and n[2] == MANIFEST)
    return sorted(ref for n in there if (ref := Ref.of(n[0], n[1])) is not None)


def send(remote: Remote, manifest: Manifest, folder: Path) -> None:
    """Bring an artifact there from the folder that holds its files and its manifest."""
    ref = Ref(manifest.stage, manifest.key)
    paths = [_ordinary(remote, *_object(ref, file)) for file in manifest.files]
    with _reached(remote.url):
        sizes = [info.size for info in remote.files.get_file_info(paths)] if paths else []
    lacking = [f for f, size in zip(manifest.files, sizes, strict=True) if size != f.bytes]

    def one(file: StoredFile) -> None:
        source, there = folder / file.name, remote.path(*_object(ref, file))
        with _reached(remote.url):
            if isinstance(remote.files, LocalFileSystem):
                Path(there).parent.mkdir(parents=True, exist_ok=True)
                part = Path(f"{there}.{os.getpid()}-{threading.get_native_id()}")
                with replacing(Path(there), part):
                    shutil.copyfile(source, part)
                return
            copy_files(str(source), there, LocalFileSystem(), remote.files)

    _all(one, lacking)
    write(remote, (folder / MANIFEST).read_bytes(), ref.stage, ref.key, MANIFEST)


def fetch(remote: Remote, manifest: Manifest, folder: Path) -> None:
    """Bring an artifact's files from there to a folder, each checked by its size and sha256.

    Raises RemoteError where one is missing or damaged: then the artifact is not there any more.
    """
    ref = Ref(manifest.stage, manifest.key)
    folder.mkdir(parents=True, exist_ok=True)

    def one(file: StoredFile) -> None:
        here = folder / file.name
        here.parent.mkdir(parents=True, exist_ok=True)
        if not _receive(remote, ref, file, here):
            _delete(remote, *_object(ref, file))  # else it would pass for sent when it is made
            forget(remote, ref)
            raise RemoteError(
                f"{file.name} of {ref} is missing or damaged in {remote.url}: "
                "run again, it will be made anew"
            )

    _all(one, manifest.files)


def _receive(remote: Remote, ref: Ref, file: StoredFile, here: Path) -> bool:
    """Bring one file; whether it is what the manifest promises. No more than that is read."""
    digest, lacks = hashlib.sha256(), file.bytes
    try:
        path = _ordinary(remote, *_object(ref, file))
        with (
            _reached(remote.url),
            remote.files.open_input_stream(path) as stream,
            here.open("xb") as out,
        ):
            while piece := stream.read(min(PIECE, lacks + 1)):
                lacks -= len(piece)
                if lacks < 0:
                    return False
                digest.update(piece)
                out.write(piece)
    except (FileNotFoundError, Irregular):
        return False
    return lacks == 0 and digest.hexdigest() == file.sha256


def forget(remote: Remote, ref: Ref) -> None:
    """Take an artifact's manifest away: from then on it is not there."""
    _delete(remote, ref.stage, ref.key, MANIFEST)


def _mark(remote: Remote, make: bool) -> None:
    mark = read(remote, MARK_BYTES, NAME)
    if mark is not None:
        refuse_other(mark.decode(errors="replace"), remote.url)
    elif make:
        write(remote, MARK.encode(), NAME)
    else:
        raise RemoteError(f"{remote.url} is no store: say with --store where it is")


def _object(ref: Ref, file: StoredFile) -> tuple[str, ...]:
    return ref.stage, ref.key, file.sha256, file.name


def _ordinary(remote: Remote, *parts: str) -> str:
    """The path; raises Irregular where the remote is a folder and a link leads elsewhere."""
    path = remote.path(*parts)
    if isinstance(remote.files, LocalFileSystem):
        refuse_links(Path(remote.root), Path(path))
    return path


def _delete(remote: Remote, *parts: str) -> None:
    with suppress(FileNotFoundError, Irregular):
        path = _ordinary(remote, *parts)
        with _reached(remote.url):
            remote.files.delete_file(path)


def _all(one: Callable[[StoredFile], None], files: Sequence[StoredFile]) -> None:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(one, files))


@contextmanager
def _reached(url: str) -> Iterator[None]:
    """Say in our words what the network and the object store answer."""
    try:
        yield
    except OSError as error:
        if error.errno is not None or isinstance(error, FileNotFoundError):
            raise  # of a folder on the network: the system's own words
        if REFUSED.search(str(error)):
            raise RemoteError(
                f"{url} refuses us ({error}): check the bucket's name, and "
                "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            ) from error
        raise RemoteUnavailable(f"{url} can't be reached: {error}") from error
