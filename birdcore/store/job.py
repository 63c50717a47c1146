"""A job: one step while it runs, with the store to read from and a folder to write to.

`run(job)` of a stage is a function of this alone, so a stage runs from a notebook as in a flow.
"""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from birdcore.store.artifact import Artifact, Manifest, Metrics, Progress, Step
from birdcore.store.files import empty, regular_files
from birdcore.store.manifest import build_manifest, write_manifest
from birdcore.unicode_names import find_by_name

if TYPE_CHECKING:
    from birdcore.store.store import Store


@dataclass(frozen=True)
class Job:
    """What a stage's `run` gets.

    Attributes:
        step: What is to be done.
        store: Where its inputs are.
        folder: Where its files are to be written; all of them become the artifact.
        progress: To be called with (done, total, text).
    """

    step: Step
    store: "Store"
    folder: Path
    progress: Progress

    @property
    def config(self) -> Mapping[str, Any]:
        return self.step.config

    def inputs(self, name: str) -> list[Artifact]:
        """The artifacts of an input, their files on this machine."""
        return [self.store.get(ref) for ref in self.step.inputs.get(name, ())]

    def input(self, name: str) -> Artifact:
        """The one artifact of an input; raises ValueError where there are more or none."""
        (artifact,) = self.inputs(name)
        return artifact

    def source(self, path: str) -> Path:
        """A raw file of the step, where it lies on this machine."""
        assert path in self.step.files, path
        return find_by_name(Path(self.step.root), path)


StageFunction: TypeAlias = Callable[[Job], Metrics]


def no_progress(done: int, total: int, text: str) -> None:
    """A progress function that shows nothing."""


def execute(job: Job, run: StageFunction, *, resumes: bool) -> Manifest:
    """StageFunction a stage in the job's folder; returns the manifest, which is written there too.

    What an earlier try has left in the folder is removed first, and what a failed one has written
    after it, unless the stage resumes.

    Raises:
        Irregular: There is a link in the folder, through which files elsewhere would be written.
        Exception: Whatever `run` raises.
    """
    if not resumes:
        empty(job.folder)
    list(regular_files(job.folder))  # raises at a link
    began = time.monotonic()
    try:
        metrics = run(job)
        manifest = build_manifest(job.step, job.folder, metrics, time.monotonic() - began)
        write_manifest(manifest, job.folder)
    except BaseException:
        if not resumes:
            with suppress(OSError):  # the first error is the one to report
                empty(job.folder)
        raise
    return manifest
