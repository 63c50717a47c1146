"""The store: artifacts at `<stage>/<key>/`, each whole or not there.

An artifact is made under `work/` and renamed when it is whole: what lies under a final name is
complete, and a killed step leaves nothing but its work folder, from which it may go on.
"""

import fcntl
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from birdcore.artifact import (
    MANIFEST,
    Artifact,
    Facts,
    Manifest,
    Progress,
    Ref,
    Step,
    StoredFile,
    read_manifest,
)
from birdcore.files import file_sha256, sync, write_text

LAYOUT = 1
WORK, TRASH = "work", "trash"


class StoreError(ValueError):
    """The store can't be used as it is; the message says why and what to do."""


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
        return Path(self.step.root) / path


def no_progress(done: int, total: int, text: str) -> None:
    """The progress of a caller who does not look."""


class Store:
    """A folder of artifacts.

    Raises StoreError where the folder is no store, or one of another layout.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(root).absolute()
        self._mark()

    def _mark(self) -> None:
        mark = self.root / "store.json"
        if not mark.exists():
            if self.root.exists() and not self.root.is_dir():
                raise StoreError(f"{self.root} is a file: name a folder for the store")
            self.root.mkdir(parents=True, exist_ok=True)
            strangers = [p for p in self.root.iterdir() if p.name != "prefect"]
            # Another process may have made its first files here since we looked for the mark.
            if not mark.exists() and any(mark.name not in p.name for p in strangers):
                raise StoreError(
                    f"{self.root} holds files but no store.json: name an empty folder for the store"
                )
            write_text(mark, json.dumps({"birdflow": "store", "layout": LAYOUT}) + "\n")
        try:
            layout = json.loads(mark.read_text())["layout"]
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(f"{mark} can't be read: name another folder for the store") from error
        if layout != LAYOUT:
            raise StoreError(
                f"{self.root} has store layout {layout}, this birdflow reads {LAYOUT}: "
                "use another folder, or the birdflow that made it"
            )

    def path(self, ref: Ref) -> Path:
        return self.root / ref.stage / ref.key

    def work(self, ref: Ref) -> Path:
        """Where the artifact is made."""
        return self.root / WORK / ref.stage / ref.key

    def find(self, ref: Ref) -> Artifact | None:
        """The artifact, or None where it is not there in full (any file missing or cut)."""
        folder = self.path(ref)
        try:
            manifest = read_manifest(folder / MANIFEST)
            whole = manifest.key == ref.key and all(
                (folder / f.name).stat().st_size == f.bytes for f in manifest.files
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return Artifact(folder, manifest) if whole else None

    def get(self, ref: Ref) -> Artifact:
        """The artifact; raises StoreError where it is not there in full."""
        artifact = self.find(ref)
        if artifact is None:
            raise StoreError(
                f"{ref} is not in the store {self.root}: run again, it will be made anew"
            )
        return artifact

    def is_being_made(self, ref: Ref) -> bool:
        """Whether a process holds the artifact's work folder now."""
        try:
            handle = os.open(self.work(ref), os.O_RDONLY)
        except (FileNotFoundError, NotADirectoryError):
            return False
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(handle)
        return False

    def damage(self, ref: Ref) -> list[str]:
        """Files of an artifact whose content is not what its manifest says (reads every byte)."""
        artifact = self.get(ref)
        return [
            f.name for f in artifact.manifest.files if file_sha256(artifact / f.name) != f.sha256
        ]

    def make(
        self,
        step: Step,
        run: Callable[[Job], Facts],
        progress: Progress = no_progress,
        *,
        resumes: bool = False,
        refresh: bool = False,
    ) -> Artifact:
        """The step's artifact: the one in the store, or made now by `run` and published.

        `run` writes its files to `job.folder` and returns facts (counts, metrics; JSON). A stage
        that `resumes` finds there what a killed run of the same step had left. Whoever makes the
        same step at the same time waits and gets the one result.
        """
        while True:
            if not refresh and (artifact := self.find(step.ref)):
                return artifact
            work = self.work(step.ref)
            with _held(work) as ours:
                if not ours:
                    continue
                if not refresh and (artifact := self.find(step.ref)):
                    shutil.rmtree(work, ignore_errors=True)
                    return artifact
                if not resumes:
                    _empty(work)
                began = time.monotonic()
                facts = run(Job(step, self, work, progress))
                return self._publish(step, work, facts, time.monotonic() - began)

    def _publish(self, step: Step, work: Path, facts: Facts, took_s: float) -> Artifact:
        names = sorted(p for p in work.rglob("*") if p.is_file() and p.name != MANIFEST)
        manifest = Manifest(
            stage=step.stage,
            version=step.version,
            key=step.key,
            name=step.name,
            config=step.config,
            inputs={k: [f"{r.stage}/{r.key}" for r in refs] for k, refs in step.inputs.items()},
            sources=step.files,
            files=tuple(
                StoredFile(p.relative_to(work).as_posix(), p.stat().st_size, file_sha256(p))
                for p in names
            ),
            facts=facts,
            made_at=datetime.now(UTC).isoformat(timespec="seconds"),
            took_s=round(took_s, 3),
        )
        write_text(work / MANIFEST, json.dumps(asdict(manifest), indent=1) + "\n")
        for path in [*names, *(p for p in work.rglob("*") if p.is_dir()), work]:
            sync(path)
        final = self.path(step.ref)
        final.parent.mkdir(parents=True, exist_ok=True)
        if final.exists():
            # A damaged or refreshed artifact makes room in one rename, so that no reader
            # ever finds a folder that is half the old one and half the new one.
            shutil.rmtree(self.discard(final), ignore_errors=True)
        work.rename(final)
        sync(final.parent)
        return Artifact(final, manifest)

    def discard(self, folder: Path) -> Path:
        """Move a folder out of the store in one rename; returns where it waits for its removal."""
        trash = self.root / WORK / TRASH / f"{folder.name}-{os.getpid()}-{time.time_ns()}"
        trash.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):  # another process was first
            folder.rename(trash)
        return trash

    def abandon(self, ref: Ref) -> None:
        """Discard what a dead process left of an artifact; leave what is being made now."""
        with suppress(BlockingIOError), _held(self.work(ref), wait=False) as ours:
            if ours:
                self.discard(self.work(ref))

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """A lock across processes that ends with its holder, however that ends."""
        path = self.root / WORK / f"{name}.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


@contextmanager
def _held(work: Path, *, wait: bool = True) -> Iterator[bool]:
    """Hold the work folder itself as a lock; False where it was published while we waited.

    Raises BlockingIOError where another process holds it and we do not `wait`.
    """
    handle = None
    while handle is None:
        work.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):  # another process has just published or removed it
            handle = os.open(work, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        ours = False
        with suppress(FileNotFoundError):
            ours = os.path.samestat(work.stat(), os.fstat(handle))
        yield ours
    finally:
        os.close(handle)


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
