"""Stage `external_teacher`: a teacher's outputs for one shard of recordings.

Windows as long as the teacher's go over the kept audio of each recording, on the time axis of its
mel, the last one to its end. Publishes `heard.parquet` (see `birdcore/teachers/outputs.py`): the
embedding of each window, and probabilities of the species of the competition, by
scientific name or as they are mapped to the teacher's classes. The metrics name those that the
teacher does not know, and what was mapped how.
"""

from collections.abc import Sequence
from pathlib import Path

from pydantic import Field

from birdcore.config import Clean
from birdcore.config.section import Section
from birdcore.sources.shards import Shard
from birdcore.store.artifact import Metrics, Ref, Step
from birdcore.store.store import Job
from birdcore.teachers import ExternalTeacher, teacher_named
from birdcore.teachers.class_mapping import BY_NAME, Mapped, Mappings, SpeciesColumns, described

VERSION = 1

THREADS = 1
"""Of one shard: shards side by side are faster than threads in one."""


class Settings(Section):
    """What the stage reads.

    Attributes:
        teacher: The teacher's name.
        model: sha256 of each of its files.
        hop_s: Seconds from window to window.
        species: Scientific names, of which probabilities are kept.
        fade_s: The cross-fade at cuts, seconds.
        mapped: Species that are found among the teacher's classes otherwise than by their name.
    """

    teacher: str
    model: dict[str, str]
    hop_s: float
    species: tuple[str, ...]
    fade_s: float
    mapped: dict[str, Mapped] = Field(default_factory=dict)


def step(
    shard: Shard,
    cleaned: Ref,
    teacher: ExternalTeacher,
    hop_s: float,
    species: Sequence[str],
    clean: Clean,
    root: Path,
    mapped: Mappings = BY_NAME,
) -> Step:
    """A teacher's outputs for one shard.

    Args:
        shard: The recordings.
        cleaned: What cleaning kept of them.
        teacher: The teacher.
        hop_s: Seconds from window to window.
        species: Scientific names, of which probabilities are kept; may be none.
        clean: The recipe's [clean].
        root: Where the recordings' files are.
        mapped: How species are found that do not go by their name (`map_species`).

    Raises:
        ValueError: Windows would leave gaps.
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
        "fade_s": clean.fade_s if shard.use == "labelled" else 0.0,
        "mapped": {name: mapped[name]._asdict() for name in sorted(set(species) & set(mapped))},
    }
    files = {f.path: f.sha256 for f in shard.files}
    name = f"external_teacher {teacher.name} {shard.name}"
    return Step(
        "external_teacher",
        VERSION,
        name,
        config,
        {"clean": (cleaned,)},
        files,
        str(root),
        {"mapped": {}},
        teacher.places,
    )


def run(job: Job) -> Metrics:
    import numpy as np

    from birdcore.audio.cleaned import KEPT
    from birdcore.audio.cleaning import kept_recordings
    from birdcore.pseudo_labels.soft import segment_starts
    from birdcore.teachers.external_teacher import windows
    from birdcore.teachers.outputs import TeacherInfo, write_outputs

    settings = Settings.model_validate(job.config)
    teacher = teacher_named(settings.teacher, job.step.places)
    if dict(teacher.files) != settings.model:
        raise ValueError(
            f"the files of {teacher.name} here are not those that were planned with: "
            "install one version of them everywhere"
        )
    columns = SpeciesColumns(teacher.classes, settings.species, settings.mapped)
    known = columns.known
    infer = teacher.open(THREADS)
    names: list[str] = []
    starts = [np.empty(0)]
    embeddings = [np.empty((0, teacher.width), np.float16)]
    probabilities = [np.empty((0, len(known)), np.float16)]
    recordings = 0
    kept = job.input("clean") / KEPT
    for name, blocks in kept_recordings(
        kept, job.source, teacher.sample_rate, settings.fade_s, job.progress
    ):
        recordings += 1
        samples = sum(map(len, blocks()))
        seconds = samples / teacher.sample_rate
        begin = segment_starts(seconds, teacher.window_s, settings.hop_s)
        names += [name] * len(begin)
        starts.append(begin)
        for batch in windows(blocks(), samples, begin, teacher):
            p, embedding = infer(batch)
            probabilities.append(columns.of(p).astype(np.float16))
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
        "recordings": recordings,
        "windows": len(names),
        "species": len(known),
        "unknown": [name for name in settings.species if name not in known],
        "teacher": f"{teacher.credit.name}, {teacher.credit.license}",
        **({"mapped": described(settings.mapped)} if settings.mapped else {}),
    }
