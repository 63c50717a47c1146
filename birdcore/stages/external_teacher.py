"""Stage `external_teacher`: what an outside teacher hears in one shard of recordings.

Windows as long as the teacher's go over the kept audio of each recording, on the time axis of its
mel, the last one to its end. Publishes `heard.parquet` (see `birdcore/teachers/outputs.py`): the
embedding of each window, and probabilities of the species that the competition asks for, by
scientific name. Which of these the teacher does not know is told in the metrics.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from birdcore.audio.blocks import Block, Reader
from birdcore.audio.cleaned import KEPT
from birdcore.audio.cleaning import kept_recordings
from birdcore.config import Clean
from birdcore.pseudo_labels.soft import segment_starts
from birdcore.sources.birdclef import LABELLED
from birdcore.sources.shards import Shard
from birdcore.store.artifact import Metrics, Ref, Step
from birdcore.store.store import Job
from birdcore.teachers.birdnet import birdnet
from birdcore.teachers.external_teacher import ExternalTeacher, Floats, species_columns
from birdcore.teachers.outputs import TeacherInfo, write_outputs

VERSION = 1

TEACHERS: dict[str, Callable[[], ExternalTeacher]] = {"birdnet": birdnet}
THREADS = 1
"""Of one shard: shards side by side hear more than threads in one."""
BATCH = 64


def teacher_named(name: str) -> ExternalTeacher:
    """A teacher by its name; raises ValueError for another name, and where it is not installed."""
    if name not in TEACHERS:
        raise ValueError(f"no outside teacher {name!r}: there is {', '.join(TEACHERS)}")
    return TEACHERS[name]()


def step(
    shard: Shard,
    cleaned: Ref,
    teacher: ExternalTeacher,
    hop_s: float,
    species: Sequence[str],
    clean: Clean,
    root: Path,
) -> Step:
    """Hearing of one shard, a window every `hop_s`; `species` may be none.

    Raises ValueError where windows would leave gaps.
    """
    if not 0 < hop_s <= teacher.window_s:
        raise ValueError(
            f"windows of {teacher.window_s:g} s every {hop_s:g} s leave gaps: "
            f"take more than 0 and at most {teacher.window_s:g} s"
        )
    config = {
        "teacher": teacher.name,
        "model": dict(teacher.files),
        "hop_s": hop_s,
        "species": sorted(set(species)),
        "fade_s": clean.fade_s if shard.kind in LABELLED else 0.0,
    }
    files = {f.path: f.sha256 for f in shard.files}
    name = f"external_teacher {teacher.name} {shard.name}"
    return Step("external_teacher", VERSION, name, config, {"clean": (cleaned,)}, files, str(root))


def run(job: Job) -> Metrics:
    teacher = teacher_named(job.config["teacher"])
    if dict(teacher.files) != job.config["model"]:
        raise ValueError(
            f"the files of {teacher.name} here are not those that were planned with: "
            "install one version of them everywhere"
        )
    species: list[str] = job.config["species"]
    columns = species_columns(teacher.classes, species)
    known = tuple(name for name, at in zip(species, columns, strict=True) if at >= 0)
    hear = teacher.open(THREADS)
    names: list[str] = []
    starts: list[NDArray[np.float64]] = [np.empty(0)]
    embeddings = [np.empty((0, teacher.width), np.float16)]
    probabilities = [np.empty((0, len(known)), np.float16)]
    heard = 0
    kept = job.input("clean") / KEPT
    for name, blocks in kept_recordings(
        kept, job.source, teacher.sample_rate, job.config["fade_s"], job.progress
    ):
        heard += 1
        samples = sum(map(len, blocks()))
        begin = segment_starts(samples / teacher.sample_rate, teacher.window_s, job.config["hop_s"])
        names += [name] * len(begin)
        starts.append(begin)
        for some in windows(blocks(), samples, begin, teacher):
            p, embedding = hear(some)
            probabilities.append(p[:, columns[columns >= 0]].astype(np.float16))
            embeddings.append(embedding.astype(np.float16))
    write_outputs(
        job.folder / "heard.parquet",
        TeacherInfo(teacher.window_s, known, teacher.credit),
        names,
        np.concatenate(starts),
        np.concatenate(embeddings),
        np.concatenate(probabilities),
    )
    return {
        "recordings": heard,
        "windows": len(names),
        "species": len(known),
        "unknown": [name for name in species if name not in known],
        "teacher": f"{teacher.credit.name}, {teacher.credit.license}",
    }


def windows(
    blocks: Iterable[Block], count: int, starts: NDArray[np.float64], teacher: ExternalTeacher
) -> Iterator[Floats]:
    """Windows (N, samples) that begin at `starts` (seconds, in order), a batch after the other.

    `count` is how many samples there are in all. Less than a window is repeated, as crops of its
    mel are.
    """
    first = np.rint(starts * teacher.sample_rate).astype(np.int64)
    first = np.minimum(first, max(count - teacher.window, 0))
    reader, near = Reader(blocks), np.empty(0, np.float32)
    for some in np.array_split(first, -(-len(first) // BATCH)):
        begin, end = some[0], some[-1] + teacher.window
        near = near[len(near) - (reader.position - begin) :]
        reader.skip(begin - reader.position)
        near = np.concatenate([near, reader.take(end - reader.position)])
        if count < teacher.window:
            near = np.resize(near, teacher.window)
        yield np.stack([near[at : at + teacher.window] for at in some - begin])
