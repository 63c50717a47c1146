"""The store: artifacts at `<stage>/<key>/`, each whole or not there.

An artifact is made under `work/` and renamed when it is whole: what lies under a final name is
complete, and a killed step leaves nothing but its work folder, from which it may go on.

A store of many machines has a remote (birdcore/store/remote.py), which says what there is. The
folder on
each machine is then what that one has made or fetched of it.
"""

import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from birdcore.store.artifact import Artifact, Manifest, Metrics, Progress, Ref, Step
from birdcore.store.files import file_sha256, write_bytes
from birdcore.store.format import StoreError, mark
from birdcore.store.locks import held
from birdcore.store.manifest import ManifestError, read_manifest, whole, write_manifest
from birdcore.store.publish import build_manifest, publish
from birdcore.store.regular import (
    Irregular,
    empty,
    read_regular,
    refuse_links,
    regular_files,
    remove,
)
from birdcore.store.remote import (
    Remote,
    fetch,
    read,
    read_remote_manifest,
    remote_manifest,
    send,
    write,
)
from birdcore.unicode_names import find_by_name

WORK, TRASH = "work", "trash"
INCOMING = ".incoming"
"""In a work folder: what is on its way from the remote."""
FETCHES = 10
"""So often an artifact may be made again elsewhere while it is fetched."""
SHARED_BYTES = 1 << 28
"""Of a file beside the artifacts: a ledger of a million recordings has a fifth of it."""


@dataclass(frozen=True)
class Job:
    """What a stage gets to work with: its step, the store to read from, a folder to write to."""

    step: Step
    store: "Store"
    folder: Path
    progress: Progress

    @property
    def config(self) -> Mapping[str, Any]:
        return self.step.config

    def inputs(self, name: str) -> list[Artifact]:
        return [self.store.get(ref) for ref in self.step.inputs.get(name, ())]

    def input(self, name: str) -> Artifact:
        (artifact,) = self.inputs(name)
        return artifact

    def source(self, path: str) -> Path:
        """A raw file of the step, where it lies on this machine."""
        assert path in self.step.files, path
        return find_by_name(Path(self.step.root), path)


def no_progress(done: int, total: int, text: str) -> None:
    """The progress of a caller who does not look."""


class Store:
    """A folder of artifacts, and where there is one its remote.

    Raises StoreError where the folder is no store, or one of another layout.
    """

    def __init__(self, root: Path, remote: Remote | None = None) -> None:
        self.root = Path(root).absolute()
        self.remote = remote
        mark(self.root)

    @property
    def location(self) -> str:
        """What `birdcore.store.location.open_store` finds it by: its folder, or the URL of its
        remote."""
        return str(self.root) if self.remote is None else self.remote.url

    def path(self, ref: Ref) -> Path:
        return self.root / ref.stage / ref.key

    def work(self, ref: Ref) -> Path:
        """Where the artifact is made."""
        return self.root / WORK / ref.stage / ref.key

    def _own_work(self, ref: Ref) -> Path:
        """The work folder; raises Irregular where a link leads elsewhere."""
        refuse_links(self.root, self.work(ref))
        return self.work(ref)

    def find(self, ref: Ref) -> Artifact | None:
        """The artifact, or None where it is not there in full (any file missing or cut).

        Of a store with a remote its files may still be there: `get` brings them.
        """
        if self.remote is None:
            return self._local(ref)
        manifest = remote_manifest(self.remote, ref)
        return Artifact(self.path(ref), manifest) if manifest else None

    def _local(self, ref: Ref) -> Artifact | None:
        """What of an artifact is on this machine, in full."""
        try:
            refuse_links(self.root, self.path(ref))
        except OSError:
            return None
        manifest = whole(self.path(ref), ref)
        return Artifact(self.path(ref), manifest) if manifest else None

    def get(self, ref: Ref) -> Artifact:
        """The artifact, its files on this machine; raises StoreError where it is not there."""
        for _ in range(FETCHES):
            artifact = self.find(ref)
            if artifact is None:
                raise StoreError(
                    f"{ref} is not in the store {self.location}{self._why_not(ref)}: "
                    "run again, it will be made anew"
                )
            if self.remote is None or self._is_local(artifact):
                return artifact
            self._fetch(self.remote, ref)
        raise StoreError(
            f"{ref} in the store {self.location} is another whenever it is fetched: "
            "find out who writes to it"
        )

    def _why_not(self, ref: Ref) -> str:
        """Why the manifest that is there is not believed; empty where there is none."""
        try:
            if self.remote is not None:
                read_remote_manifest(self.remote, ref)
            else:
                refuse_links(self.root, self.path(ref))
                read_manifest(self.path(ref), ref)
        except (ManifestError, Irregular) as error:
            return f" ({error})"
        except OSError:
            pass
        return ""

    def _is_local(self, artifact: Artifact) -> bool:
        """Whether the very files are here; metrics may be NaN, which is like nothing."""
        local, there = self._local(artifact.ref), artifact.manifest
        return local is not None and (
            (local.manifest.files, local.manifest.made_at) == (there.files, there.made_at)
        )

    def _fetch(self, remote: Remote, ref: Ref) -> None:
        """Have the files here; of an artifact that was made again elsewhere, the new ones."""
        work = self._own_work(ref)
        incoming = work / INCOMING
        with held(work) as ours:
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

    def is_being_made(self, ref: Ref) -> bool:
        """Whether a process holds the artifact's work folder now."""
        try:
            handle = os.open(self._own_work(ref), os.O_RDONLY | os.O_DIRECTORY)
        except (FileNotFoundError, NotADirectoryError, Irregular):
            return False
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(handle)
        return False

    def damage(self, ref: Ref) -> list[str]:
        """Files of an artifact whose content is not what its manifest says (reads every byte).

        Raises StoreError where it is not on this machine.
        """
        artifact = self._local(ref)
        if artifact is None:
            raise StoreError(f"{ref} is not in the folder {self.root}")
        return [
            f.name for f in artifact.manifest.files if file_sha256(artifact / f.name) != f.sha256
        ]

    def make(
        self,
        step: Step,
        run: Callable[[Job], Metrics],
        progress: Progress = no_progress,
        *,
        resumes: bool = False,
        refresh: bool = False,
    ) -> Artifact:
        """The step's artifact: the one in the store, or made now by `run` and published.

        `run` writes its files to `job.folder` and returns metrics (JSON). A stage that
        `resumes` finds there what a killed run of the same step had left. Whoever makes the same
        step at the same time waits and gets the one result.
        """
        while True:
            if not refresh and self.find(step.ref):
                return self.get(step.ref)
            work = self._own_work(step.ref)
            with held(work) as ours:
                if not ours:
                    continue
                if not refresh and self._is_made(step.ref):
                    shutil.rmtree(work, ignore_errors=True)
                    continue
                remove(work / INCOMING)
                manifest = whole(work, step.ref)  # made, and then the remote was away
                if manifest is None:
                    manifest = self._execute(step, run, progress, work, resumes)
                if self.remote is not None:
                    send(self.remote, manifest, work)
                return self._publish(manifest, work)

    def _execute(
        self,
        step: Step,
        run: Callable[[Job], Metrics],
        progress: Progress,
        work: Path,
        resumes: bool,
    ) -> Manifest:
        """Run the stage in its work folder; one that fails and does not resume leaves nothing."""
        if not resumes:
            empty(work)
        list(regular_files(work))  # raises at a link, through which nothing is written
        began = time.monotonic()
        try:
            metrics = run(Job(step, self, work, progress))
            manifest = build_manifest(step, work, metrics, time.monotonic() - began)
            write_manifest(manifest, work)
        except BaseException:
            if not resumes:
                with suppress(OSError):  # what went wrong first is what a person must know
                    empty(work)
            raise
        return manifest

    def _is_made(self, ref: Ref) -> bool:
        """Whether it is there; what was made before there was a remote is sent there."""
        if self.find(ref):
            return True
        local = self._local(ref) if self.remote is not None else None
        if self.remote is not None and local is not None:
            send(self.remote, local.manifest, local.folder)
        return local is not None

    def _publish(self, manifest: Manifest, folder: Path) -> Artifact:
        final = self.path(Ref(manifest.stage, manifest.key))
        refuse_links(self.root, final.parent)
        if os.path.lexists(final):
            # A damaged or refreshed artifact makes room in one rename, so that no reader
            # ever finds a folder that is half the old one and half the new one.
            gone = self.discard(final)
            with suppress(OSError):
                remove(gone)
        publish(folder, final)
        return Artifact(final, manifest)

    def discard(self, folder: Path) -> Path:
        """Move a folder out of the store in one rename; returns where it waits for its removal."""
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

    def abandon(self, ref: Ref) -> None:
        """Discard what a dead process left of an artifact; leave what is being made now."""
        work = self.work(ref)
        refuse_links(self.root, work.parent)
        if work.is_symlink() or not work.is_dir():  # which no process of ours makes
            self.discard(work)
            return
        with suppress(BlockingIOError), held(work, wait=False) as ours:
            if ours:
                self.discard(work)

    def read_shared(self, name: str) -> bytes | None:
        """A file beside the artifacts that all machines share, or None where it is not there.

        Raises ValueError where it has more bytes than any has, and Irregular where it is a link.
        """
        if self.remote is not None:
            return read(self.remote, SHARED_BYTES, name)
        try:
            return read_regular(self.root / name, SHARED_BYTES)
        except FileNotFoundError:
            return None

    def write_shared(self, name: str, content: bytes) -> None:
        if self.remote is not None:
            write(self.remote, content, name)
        else:
            write_bytes(self.root / name, content)

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """A lock across processes that ends with its holder, however that ends."""
        path = self.root / WORK / f"{name}.lock"
        refuse_links(self.root, path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
