"""The far side of a store: what many machines share, an object store or a folder on the network.

    FAR/store.json                      the layout's version
    FAR/<stage>/<key>/<sha256>/<name>   an artifact's files, by what they hold
    FAR/<stage>/<key>/manifest.json     written after them: what has one is whole
    FAR/shards.parquet                  the ledger, so that all machines cut the same shards

An object is there in full or not at all, but nothing renames a folder of them, so the manifest
comes last. Files lie by content: two machines that make one artifact at once never mix theirs.
"""

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

from birdcore.artifact import MANIFEST, Manifest, Ref, StoredFile, parse_manifest
from birdcore.files import file_sha256, replacing, write_bytes
from birdcore.layout import MARK, NAME, refuse_other

AT_ONCE = 8
"""Files of an artifact under way at once."""
REFUSED = re.compile(r"ACCESS_DENIED|ACCESS_KEY|SIGNATURE|NO_SUCH_BUCKET|CREDENTIALS|status 403")
"""What no other try mends, in the words of object stores."""


class FarError(ValueError):
    """The far side can't be used as it is; the message says why and what to do."""


class FarAway(ConnectionError):
    """The far side could not be reached, which may be over at the next try."""


@dataclass(frozen=True)
class Far:
    """Where it is: a file system, and the folder in it."""

    url: str
    files: FileSystem
    root: str

    def path(self, *parts: str) -> str:
        return "/".join([self.root, *parts])


@cache
def far_side(url: str, *, make: bool = True) -> Far:
    """The far side at a URL: s3://bucket/prefix, gs://bucket/prefix, file:///folder.

    Keys come from the environment (AWS_ACCESS_KEY_ID and so on), as they do for every other tool.
    Raises FarError where the URL is none of these, or there is no store that is not to be made,
    StoreError where it is one of another layout, and FarAway where nobody answers.
    """
    try:
        with _reached(url):  # it asks for a bucket's region
            files, root = FileSystem.from_uri(url)
        if not root.strip("/"):
            raise pa.ArrowInvalid("it names no bucket or folder")
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise FarError(
            f"{url} can't be a store ({error}): name a folder, s3://bucket/prefix, "
            "gs://bucket/prefix or file:///folder"
        ) from error
    far = Far(url, files, root.rstrip("/"))
    _mark(far, make)
    return far


def read(far: Far, *parts: str) -> bytes | None:
    """A small file, or None where it is not there."""
    with _reached(far.url):
        try:
            with far.files.open_input_stream(far.path(*parts)) as stream:
                return bytes(stream.read())
        except FileNotFoundError:
            return None


def write(far: Far, content: bytes, *parts: str) -> None:
    """A small file, in one object."""
    path = far.path(*parts)
    with _reached(far.url):
        if isinstance(far.files, LocalFileSystem):  # where a file can be seen half written
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            write_bytes(Path(path), content)
            return
        with far.files.open_output_stream(path) as stream:
            stream.write(content)


def manifest_there(far: Far, ref: Ref) -> Manifest | None:
    """What the far side says of an artifact, or None where it is not there."""
    text = read(far, ref.stage, ref.key, MANIFEST)
    if text is None:
        return None
    try:
        manifest = parse_manifest(text.decode())
    except (ValueError, KeyError, TypeError):  # damaged, and so not there
        return None
    return manifest if manifest.key == ref.key else None


def refs_there(far: Far) -> list[Ref]:
    """All artifacts of the far side, in one listing of its objects."""
    with _reached(far.url):
        found = far.files.get_file_info(FileSelector(far.root, recursive=True))
    names = [one.path.removeprefix(f"{far.root}/").split("/") for one in found]
    return sorted(Ref(n[0], n[1]) for n in names if len(n) == 3 and n[2] == MANIFEST)


def send(far: Far, manifest: Manifest, folder: Path) -> None:
    """Bring an artifact there from the folder that holds its files and its manifest."""
    ref = Ref(manifest.stage, manifest.key)
    paths = [_object(far, ref, file) for file in manifest.files]
    with _reached(far.url):
        sizes = [info.size for info in far.files.get_file_info(paths)] if paths else []
    lacking = [f for f, size in zip(manifest.files, sizes, strict=True) if size != f.bytes]

    def one(file: StoredFile) -> None:
        source, there = folder / file.name, _object(far, ref, file)
        with _reached(far.url):
            if isinstance(far.files, LocalFileSystem):
                Path(there).parent.mkdir(parents=True, exist_ok=True)
                part = Path(f"{there}.{os.getpid()}-{threading.get_native_id()}")
                with replacing(Path(there), part):
                    shutil.copyfile(source, part)
                return
            copy_files(str(source), there, LocalFileSystem(), far.files)

    _all(one, lacking)
    write(far, (folder / MANIFEST).read_bytes(), ref.stage, ref.key, MANIFEST)


def fetch(far: Far, manifest: Manifest, folder: Path) -> None:
    """Bring an artifact's files from there to a folder, each checked by its sha256.

    Raises FarError where one is missing or damaged: then the artifact is not there any more.
    """
    ref = Ref(manifest.stage, manifest.key)
    folder.mkdir(parents=True, exist_ok=True)

    def one(file: StoredFile) -> None:
        here = folder / file.name
        here.parent.mkdir(parents=True, exist_ok=True)
        try:
            with _reached(far.url):
                copy_files(_object(far, ref, file), str(here), far.files, LocalFileSystem())
            whole = file_sha256(here) == file.sha256
        except FileNotFoundError:
            whole = False
        if not whole:
            _delete(far, _object(far, ref, file))  # else it would pass for sent when it is made
            forget(far, ref)
            raise FarError(
                f"{file.name} of {ref} is missing or damaged in {far.url}: "
                "run again, it will be made anew"
            )

    _all(one, manifest.files)


def forget(far: Far, ref: Ref) -> None:
    """Take an artifact's manifest away: from then on it is not there."""
    _delete(far, far.path(ref.stage, ref.key, MANIFEST))


def _mark(far: Far, make: bool) -> None:
    mark = read(far, NAME)
    if mark is not None:
        refuse_other(mark.decode(errors="replace"), far.url)
    elif make:
        write(far, MARK.encode(), NAME)
    else:
        raise FarError(f"{far.url} is no store: say with --store where it is")


def _object(far: Far, ref: Ref, file: StoredFile) -> str:
    return far.path(ref.stage, ref.key, file.sha256, file.name)


def _delete(far: Far, path: str) -> None:
    with _reached(far.url), suppress(FileNotFoundError):
        far.files.delete_file(path)


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
            raise FarError(
                f"{url} refuses us ({error}): check the bucket's name, and "
                "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            ) from error
        raise FarAway(f"{url} can't be reached: {error}") from error
