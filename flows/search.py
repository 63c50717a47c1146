"""What `birdflow search` searches: windows that a teacher has heard, of a run or of a folder.

What a run's store holds of them is taken as it is. A folder is heard into the store first, by the
stages that a run has for it, so that a search that was stopped goes on where it was, and new
recordings alone are heard by the next one.
"""

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from birdcore.config import Clean, read_recipe
from birdcore.config.external_teacher import ExternalTeacher as TeacherSettings
from birdcore.csv_table import Problem
from birdcore.sources.birdclef_layout import TEST
from birdcore.sources.plain_folder import SUBSETS, read_listing
from birdcore.sources.shards import shards
from birdcore.sources.source import SourceFile, Subset
from birdcore.stages import clean, embedding_index, external_teacher
from birdcore.stages.table import make
from birdcore.store.artifact import Artifact, Progress, Ref, Step
from birdcore.store.job import no_progress
from birdcore.store.run_records import Run
from birdcore.store.store import Store
from birdcore.teachers import ExternalTeacher, teacher_named
from birdcore.teachers.teacher_use import TeacherUse
from birdcore.unicode_names import find_by_name
from flows.run_artifacts import heard_once, kind_of, manifests_of, refs_of, run_of

MOST_IN_SHARD = 128
TESTS = (TEST, SUBSETS["test"])
"""What shards of recordings of a test are called: who trains on verdicts of them can't be tested on
them, so they are not searched where the run has their truth."""


@dataclass(frozen=True)
class Heard:
    """Windows that were heard.

    Attributes:
        teacher: Who heard them.
        roots: Of each artifact of outputs, with the cleaning that it reads: where its recordings
            are.
        set_aside: Recordings that were not heard, and why.
    """

    teacher: ExternalTeacher
    roots: dict[tuple[Ref, Ref], Path]
    set_aside: tuple[Problem, ...] = ()

    @property
    def index(self) -> Step:
        """The index of the windows."""
        return embedding_index.step(list(self.roots))

    @property
    def in_order(self) -> list[Path]:
        """The roots in the order of the index's parts."""
        return [self.roots[each] for each in sorted(self.roots)]


def heard_by_run(store: Store, out: Path, description: str | None = None) -> Heard:
    """What the teacher of a run has heard.

    Args:
        store: The run's.
        out: Its results folder.
        description: Which of the run's teachers, where it has several; the path of a TOML that
            describes it, where its file is the user's.

    Raises:
        ValueError: The run has no teacher, several of which none is named, or it is not here.
    """
    run = run_of(store, out)
    is_tested = bool(refs_of(run, "score"))
    found = [
        (name, manifest)
        for name, manifest in manifests_of(store, run, "external_teacher")
        if not (is_tested and kind_of(name) in TESTS)
    ]
    if not found:
        raise ValueError(
            f"{out}: no external teacher has heard the recordings of this run: give their folder "
            "with --in, which is heard first"
        )
    teacher = _teacher([manifest.config for _, manifest in found], out, description)
    places = _places(run)
    own = [
        (name, manifest)
        for name, manifest in found
        if manifest.config["model"] == dict(teacher.files) and manifest.metrics["windows"]
    ]
    roots = {
        (artifact.ref, Ref.named(artifact.manifest.inputs["clean"][0])): _root(artifact, places)
        for artifact in heard_once(store, own)
    }
    if not roots:
        raise ValueError(f"{out}: {teacher.name} has heard no recording")
    return Heard(teacher, roots)


def heard_in_folder(
    store: Store, folder: Path, teacher: ExternalTeacher, progress: Progress = no_progress
) -> Heard:
    """The recordings of a folder, heard now as far as they have not been before.

    Args:
        store: Where to.
        folder: With those in folders below.
        teacher: Who hears.
        progress: Called with recordings heard, all of them, and a name.

    Raises:
        ValueError: There is no recording, or none could be heard.
    """
    folder = folder.absolute()
    audio, passed_over = read_listing(folder)
    read = store.digests(audio.values())
    files = [SourceFile(name, read[path].bytes, read[path].sha256) for name, path in audio.items()]
    subset = Subset(SUBSETS["unlabelled"], "unlabelled", tuple(files))
    workers = os.cpu_count() or 1
    size = min(-(-len(files) // workers), MOST_IN_SHARD)
    parts = shards([subset], store, size, keep=True)[subset.name]
    hop_s = min(TeacherSettings().hop_s, teacher.window_s)
    done = dict.fromkeys(range(len(parts)), 0)

    def hear(number: int) -> tuple[Artifact, Artifact]:
        def heard(own: int, total: int, name: str) -> None:
            done[number] = own
            progress(sum(done.values()), len(files), name)

        part = parts[number]
        cleaned = make(clean.step(part, Clean(), {}, folder), store, no_progress, refresh=False)
        step = external_teacher.step(part, cleaned.ref, teacher, hop_s, (), Clean(), folder)
        outputs = make(step, store, heard, refresh=False)
        heard(len(part.files), len(part.files), "")
        return outputs, cleaned

    from birdcore.compute_threads import torch_pool  # here, as torch takes seconds to import

    with torch_pool(workers, "hear") as pool:
        pairs = list(pool.map(hear, done))
    rejected = [
        Problem(str(row["reason"]), str(row["recording"]), "")
        for _, cleaned in pairs
        for _, row in pd.read_parquet(cleaned / "rejected.parquet").iterrows()
    ]
    roots = {(one.ref, other.ref): folder for one, other in pairs if one.metrics["windows"]}
    if not roots:
        why = f": {rejected[0].where}: {rejected[0].problem}" if rejected else ""
        raise ValueError(f"{folder}: no recording in it can be heard{why}")
    return Heard(teacher, roots, (*passed_over, *rejected))


def _teacher(
    heard: Sequence[Mapping[str, Any]], out: Path, description: str | None
) -> ExternalTeacher:
    """The teacher whose outputs are searched: the only one, or that of several which is named."""
    configs = {config["teacher"]: config for config in heard}
    names = " and ".join(configs)
    if description is not None:
        teacher = teacher_named(description)
        if dict(teacher.files) not in [config["model"] for config in configs.values()]:
            raise ValueError(
                f"{out}: its recordings were heard by {names}, and not by {teacher.name} with the "
                "files that it has here"
            )
        return teacher
    if len(configs) > 1:
        raise ValueError(
            f"{out}: {names} have heard its recordings, each by itself: give one of them, or the "
            "TOML that describes it, as --teacher"
        )
    (config,) = configs.values()
    return TeacherUse(teacher=config["teacher"], model=dict(config["model"]), species=()).open()


def _places(run: Run) -> list[Path]:
    """Folders from which the names of a run's recordings may begin."""
    data, collection = Path(run.request.data), Path(run.request.collection)
    beside: Sequence[Path] = ()
    with suppress(OSError, ValueError):  # the recipe may be gone, or another by now
        recipe = read_recipe(Path(run.request.recipe), run.request.settings)
        beside = [
            (Path(run.request.recipe).parent / source.path).parent for source in recipe.source
        ]
    return [data, *beside, collection, collection / "inaturalist"]


def _root(artifact: Artifact, places: Sequence[Path]) -> Path:
    """The folder in which the recordings of an artifact are; the first where they are gone."""
    name = next(iter(artifact.manifest.sources))
    there = (place for place in places if find_by_name(place, name).is_file())
    return next(there, places[0])
