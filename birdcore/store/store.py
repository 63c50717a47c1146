"""The store: artifacts at `<stage>/<key>/`, each whole or not there.

An artifact is made in a folder under `work/`, which is renamed when it is finished. So what lies
under a final name is complete, and a killed step leaves only its work folder, from which a stage
that resumes continues. The work folder is also the lock: of two processes that make the same key,
the second waits and finds it made.

A store that machines share has a remote (birdcore/store/remote.py), which decides what there is.
The folder on each machine then holds what that machine has made or fetched.
"""

import os
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from birdcore.store.artifact import Artifact, Manifest, Progress, Ref, Step
from birdcore.store.digests import Digest, digests
from birdcore.store.files import (
    Irregular,
    checkpoint_files,
    publish,
    read_regular,
    refuse_links,
    remove,
    write_bytes,
)
from birdcore.store.format import StoreError, is_store, mark
from birdcore.store.job import Job, StageFunction, execute, no_progress
from birdcore.store.locks import is_locked, lock_file, lock_folder
from birdcore.store.manifest import ManifestError, read_manifest, whole, write_manifest
from birdcore.store.remote import Remote
from birdcore.store.transfer import fetch, read_remote_manifest, remote_manifest, send

__all__ = ["Job", "Store", "no_progress"]

WORK, TRASH = "work", "trash"
INCOMING = ".incoming"
"""In a work folder: what is being fetched from the remote."""
FETCHES = 10
"""How often an artifact may be made again elsewhere while it is fetched."""
SHARED_BYTES = 1 << 28
"""Limit of a file beside the artifacts: a ledger of a million recordings has a fifth of it."""


class Store:
    """A folder of artifacts, and its remote where machines share it.

    Args:
        root: The folder.
        remote: See `birdcore.store.location.open_store`.
        make: Make the folder a store where it is none yet; without, it can only be read.

    Raises:
        StoreError: The folder holds other files, or a store of another layout.

    Example:
        >>> store = Store(Path("store"))  # doctest: +SKIP
        >>> artifact = store.make(catalog.step(scan(Path("birdclef"), store)), catalog.run)
        >>> artifact / "recordings.parquet", artifact.metrics["recordings"]
    """

    def __init__(self, root: Path, remote: Remote | None = None, *, make: bool = True) -> None:
        self.root = Path(root).absolute()
        self.remote = remote
        if make:
            mark(self.root)
        self.is_made = make or is_store(self.root)
        """Whether the folder is a store: else nothing is written to it."""

    @property
    def location(self) -> str:
        """What `birdcore.store.location.open_store` opens: its folder, or its remote's URL."""
        return str(self.root) if self.remote is None else self.remote.url

    def path(self, ref: Ref) -> Path:
        """Where the artifact lies on this machine."""
        return self.root / ref.stage / ref.key

    def work(self, ref: Ref) -> Path:
        """Where the artifact is made."""
        return self.root / WORK / ref.stage / ref.key

    def find(self, ref: Ref) -> Artifact | None:
        """The artifact, or None where any file of it is missing or cut.

        Of a store with a remote its files may still be there alone: `get` fetches them.
        """
        if self.remote is None:
            return self._find_local(ref)
        manifest = remote_manifest(self.remote, ref)
        return Artifact(self.path(ref), manifest) if manifest else None

    def get(self, ref: Ref) -> Artifact:
        """The artifact, its files on this machine.

        Raises:
            StoreError: It is not in the store.
            RemoteUnavailable: The remote could not be reached.
        """
        if (artifact := self.fetched(ref)) is None:
            raise StoreError(
                f"{ref} is not in the store {self.location}{self._why_not(ref)}: "
                "run again, it will be made anew"
            )
        return artifact

    def fetched(self, ref: Ref) -> Artifact | None:
        """The artifact, its files on this machine, or None where it is not in the store."""
        for _ in range(FETCHES):
            artifact = self.find(ref)
            if artifact is None or self.remote is None or self._is_local(artifact):
                return artifact
            self._fetch(self.remote, ref)
        raise StoreError(
            f"{ref} in the store {self.location} is another whenever it is fetched: "
            "find out who writes to it"
        )

    def manifest(self, ref: Ref) -> Manifest | None:
        """An artifact's manifest, also where other files of it are gone; else None."""
        if (manifest := self.local_manifest(ref)) is not None:
            return manifest
        return remote_manifest(self.remote, ref) if self.remote is not None else None

    def local_manifest(self, ref: Ref) -> Manifest | None:
        """An artifact's manifest on this machine."""
        try:
            return self._read_local_manifest(ref)
        except (OSError, ManifestError):
            return None

    def make(
        self,
        step: Step,
        run: StageFunction,
        progress: Progress = no_progress,
        *,
        resumes: bool = False,
        refresh: bool = False,
    ) -> Artifact:
        """The step's artifact: the one in the store, or made now by `run` and published.

        Args:
            step: What is to be made.
            run: Writes its files to `job.folder` and returns metrics (JSON).
            progress: Handed to `run` as `job.progress`.
            resumes: `run` finds in its folder what a killed run of the same step left there.
            refresh: Make it again where there is one.

        Raises:
            Exception: Whatever `run` raises; nothing is published then.
        """
        while True:
            if not refresh and self.find(step.ref):
                return self.get(step.ref)
            work = self._checked_work(step.ref)
            with lock_folder(work) as ours:
                if not ours:  # another process has just published it
                    continue
                if not refresh and self._is_made(step.ref):
                    shutil.rmtree(work, ignore_errors=True)
                    continue
                remove(work / INCOMING)
                manifest = whole(work, step.ref)  # made earlier, when the remote was away
                if manifest is None:
                    manifest = execute(Job(step, self, work, progress), run, resumes=resumes)
                if self.remote is not None:
                    send(self.remote, manifest, work)
                # Not before: what dies until here goes on from the last checkpoint.
                for checkpoint in checkpoint_files(work):
                    checkpoint.unlink()
                return self._publish(manifest, work)

    def is_being_made(self, ref: Ref) -> bool:
        """Whether a process holds the artifact's work folder now."""
        with suppress(Irregular, NotADirectoryError):
            return is_locked(self._checked_work(ref))
        return False

    def discard(self, folder: Path) -> Path:
        """Move a folder to the trash in one rename; returns where it waits for its removal."""
        trash = self.trash() / f"{folder.name}-{os.getpid()}-{time.time_ns()}"
        trash.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):  # another process was first
            folder.rename(trash)
        return trash

    def trash(self) -> Path:
        """Where folders wait for their removal; raises Irregular where a link leads there."""
        trash = self.root / WORK / TRASH
        refuse_links(self.root, trash)
        return trash

    def read_shared(self, name: str) -> bytes | None:
        """A file beside the artifacts that all machines share, or None where there is none.

        Raises:
            ValueError: It has more bytes than any such file.
            Irregular: It is a link or a device.
        """
        if self.remote is not None:
            return self.remote.read(SHARED_BYTES, name)
        try:
            return read_regular(self.root / name, SHARED_BYTES)
        except FileNotFoundError:
            return None

    def write_shared(self, name: str, content: bytes) -> None:
        """Write a file beside the artifacts that all machines share."""
        if self.remote is not None:
            self.remote.write(content, name)
        else:
            write_bytes(self.root / name, content)

    def digests(
        self, paths: Iterable[Path], progress: Progress = no_progress
    ) -> dict[Path, Digest]:
        """The sha256 of raw files; the store remembers those of files that did not change."""
        cache = self.root / "digests.parquet" if self.is_made else None
        with self.lock("digests"):
            return digests(paths, cache, progress)

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Hold a lock of this machine's processes; a killed one lets go of it."""
        if not self.is_made:  # nobody writes to what is not there
            yield
            return
        path = self.root / WORK / f"{name}.lock"
        refuse_links(self.root, path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with lock_file(path):
            yield

    def _checked_work(self, ref: Ref) -> Path:
        """The work folder; raises Irregular where a link leads elsewhere."""
        refuse_links(self.root, self.work(ref))
        return self.work(ref)

    def _read_local_manifest(self, ref: Ref) -> Manifest:
        refuse_links(self.root, self.path(ref))
        return read_manifest(self.path(ref), ref)

    def _find_local(self, ref: Ref) -> Artifact | None:
        """The artifact as far as it is whole on this machine."""
        try:
            refuse_links(self.root, self.path(ref))
        except OSError:
            return None
        manifest = whole(self.path(ref), ref)
        return Artifact(self.path(ref), manifest) if manifest else None

    def _is_local(self, artifact: Artifact) -> bool:
        """Whether these very files are here (metrics may be NaN, which never equals itself)."""
        local, there = self._find_local(artifact.ref), artifact.manifest
        return local is not None and (
            (local.manifest.files, local.manifest.made_at) == (there.files, there.made_at)
        )

    def _why_not(self, ref: Ref) -> str:
        """Why the manifest that is there is not valid; empty where there is none."""
        try:
            if self.remote is not None:
                read_remote_manifest(self.remote, ref)
            else:
                self._read_local_manifest(ref)
        except (ManifestError, Irregular) as error:
            return f" ({error})"
        except OSError:
            pass
        return ""

    def _fetch(self, remote: Remote, ref: Ref) -> None:
        """Fetch the files; of an artifact that was made again elsewhere, the new ones."""
        work = self._checked_work(ref)
        incoming = work / INCOMING
        with lock_folder(work) as ours:
            manifest = remote_manifest(remote, ref) if ours else None
            if manifest is None:  # another process was first, or it is gone
                return
            try:
                if not self._is_local(Artifact(self.path(ref), manifest)):
                    remove(incoming)
                    fetch(remote, manifest, incoming)
                    write_manifest(manifest, incoming)
                    self._publish(manifest, incoming)
            finally:
                with suppress(OSError):
                    remove(incoming)
                with suppress(OSError):  # a killed training's checkpoint stays where it is
                    work.rmdir()

    def _is_made(self, ref: Ref) -> bool:
        """Whether it is there; what was made before there was a remote is sent to it."""
        if self.find(ref):
            return True
        local = self._find_local(ref) if self.remote is not None else None
        if self.remote is not None and local is not None:
            send(self.remote, local.manifest, local.folder)
        return local is not None

    def _publish(self, manifest: Manifest, folder: Path) -> Artifact:
        final = self.path(Ref(manifest.stage, manifest.key))
        refuse_links(self.root, final.parent)
        if os.path.lexists(final):
            # A damaged or refreshed artifact is moved away in one rename, so that no reader
            # ever finds a folder that is half the old one and half the new one.
            gone = self.discard(final)
            with suppress(OSError):
                remove(gone)
        publish(folder, final)
        return Artifact(final, manifest)
