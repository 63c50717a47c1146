"""Artifacts to and from a store's remote, each file checked by its size and sha256.

An object store renames nothing, so the manifest is written last: an artifact that has one is whole.
Files lie under their sha256, so two machines that make one artifact at once never mix theirs.
"""

import hashlib
import os
import shutil
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pyarrow.fs import FileSelector, LocalFileSystem, copy_files

from birdcore.store.artifact import MANIFEST, Manifest, Ref, StoredFile
from birdcore.store.files import Irregular, replacing
from birdcore.store.manifest import MOST_BYTES, ManifestError, parse_manifest
from birdcore.store.remote import Remote, RemoteError

AT_ONCE = 8
"""Files of an artifact under way at once."""
PIECE = 1 << 23
"""Bytes that are read at once."""


def remote_manifest(remote: Remote, ref: Ref) -> Manifest | None:
    """The manifest of an artifact of the remote, or None where there is none that is valid."""
    try:
        return read_remote_manifest(remote, ref)
    except (ManifestError, Irregular):  # damaged, and so not there
        return None


def read_remote_manifest(remote: Remote, ref: Ref) -> Manifest | None:
    """The manifest of an artifact of the remote, or None where there is none.

    Raises:
        ManifestError, Irregular: It is not valid; the message says why.
    """
    try:
        content = remote.read(MOST_BYTES, ref.stage, ref.key, MANIFEST)
    except RemoteError as error:
        raise ManifestError(str(error)) from None
    return None if content is None else parse_manifest(content, ref)


def remote_refs(remote: Remote) -> list[Ref]:
    """All artifacts of the remote, in one listing of its objects."""
    if remote.is_folder:  # its own listing follows links in circles
        folders = (p.parent for p in Path(remote.root).glob(f"*/*/{MANIFEST}"))
        own = (f for f in folders if not f.is_symlink() and not f.parent.is_symlink())
        return sorted(ref for f in own if (ref := Ref.of(f.parent.name, f.name)) is not None)
    with remote.access():
        found = remote.files.get_file_info(FileSelector(remote.root, recursive=True))
    names = [info.path.removeprefix(f"{remote.root}/").split("/") for info in found]
    there = (n for n in names if len(n) == 3 and n[2] == MANIFEST)
    return sorted(ref for n in there if (ref := Ref.of(n[0], n[1])) is not None)


def send(remote: Remote, manifest: Manifest, folder: Path) -> None:
    """Upload an artifact from the folder that holds its files and its manifest.

    A file that is there in its size is not sent again.
    """
    ref = Ref(manifest.stage, manifest.key)
    paths = [remote.path(*_object_name(ref, file)) for file in manifest.files]
    with remote.access():
        sizes = [info.size for info in remote.files.get_file_info(paths)] if paths else []
    lacking = [f for f, size in zip(manifest.files, sizes, strict=True) if size != f.bytes]

    def send_file(file: StoredFile) -> None:
        source, there = folder / file.name, remote.path(*_object_name(ref, file))
        with remote.access():
            if remote.is_folder:
                Path(there).parent.mkdir(parents=True, exist_ok=True)
                part = Path(f"{there}.{os.getpid()}-{threading.get_native_id()}")
                with replacing(Path(there), part):
                    shutil.copyfile(source, part)
                return
            copy_files(str(source), there, LocalFileSystem(), remote.files)

    _in_parallel(send_file, lacking)
    remote.write((folder / MANIFEST).read_bytes(), ref.stage, ref.key, MANIFEST)


def fetch(remote: Remote, manifest: Manifest, folder: Path) -> None:
    """Download an artifact's files into a folder, each checked by its size and sha256.

    Raises:
        RemoteError: One is missing or damaged. The artifact's manifest is then removed from the
            remote, so that the artifact is made again.
    """
    ref = Ref(manifest.stage, manifest.key)
    folder.mkdir(parents=True, exist_ok=True)

    def fetch_file(file: StoredFile) -> None:
        here = folder / file.name
        here.parent.mkdir(parents=True, exist_ok=True)
        if not _receive(remote, ref, file, here):
            remote.delete(*_object_name(ref, file))  # else it would pass for sent when it is made
            forget(remote, ref)
            raise RemoteError(
                f"{file.name} of {ref} is missing or damaged in {remote.url}: "
                "run again, it will be made anew"
            )

    _in_parallel(fetch_file, manifest.files)


def forget(remote: Remote, ref: Ref) -> None:
    """Remove an artifact's manifest from the remote: from then on it is not there."""
    remote.delete(ref.stage, ref.key, MANIFEST)


def _receive(remote: Remote, ref: Ref, file: StoredFile, here: Path) -> bool:
    """Download one file; whether it is the one of the manifest. No more than its size is read."""
    digest, lacks = hashlib.sha256(), file.bytes
    try:
        path = remote.path(*_object_name(ref, file))
        with (
            remote.access(),
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


def _object_name(ref: Ref, file: StoredFile) -> tuple[str, ...]:
    return ref.stage, ref.key, file.sha256, file.name


def _in_parallel(transfer: Callable[[StoredFile], None], files: Sequence[StoredFile]) -> None:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(transfer, files))
