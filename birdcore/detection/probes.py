"""Probes as what finds events: a teacher with other classes.

A probe reads its teacher's embeddings, so the two together are a model that hears the teacher's
windows and says which of the probe's classes are in them.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from birdcore.inference.trained_model import EnsembleSpec
from birdcore.models.probe import SPEC_FILE, WEIGHTS_FILE, Probe, load_probe, prior_logits
from birdcore.teachers.external_teacher import ExternalTeacher, Floats, Infer
from birdcore.teachers.teacher_use import FILE as TEACHER_FILE
from birdcore.teachers.teacher_use import ClassColumns, TeacherUse

PROBE_FILES = (SPEC_FILE, WEIGHTS_FILE, TEACHER_FILE)
"""What a folder of one probe holds."""


def probe_teacher(
    folder: Path, spec: EnsembleSpec, description: str | None = None
) -> ExternalTeacher:
    """The teacher of an ensemble of probes, with their classes in place of its own.

    Args:
        folder: The `model` folder of a run.
        spec: Its ensemble, in which no member is a network of our own.
        description: The path of a TOML that describes the teacher, where its file is the user's.

    Raises:
        ValueError: The teacher is not there, its files are others, or a probe's are damaged; or
            probes read the embeddings of several.
    """
    use, *others = [
        TeacherUse.read(folder / name) for names in spec.probes.values() for name in names
    ]
    if other := next((one for one in others if one.model != use.model), None):
        raise ValueError(
            f"the probes in {folder} read the embeddings of {use.teacher} and of {other.teacher}, "
            "and recordings are heard with one teacher: name probes of one as ensemble.members, "
            "and run the recipe again"
        )
    teacher = use.open(description)
    silent = [name for name in spec.left_out if name not in spec.probes]
    if silent := [name for name in silent if not name.startswith(f"{spec.teacher}/")]:
        warnings.warn(
            "of the run's ensemble these do not predict here, where recordings are heard with "
            f"{teacher.name} alone, so predictions differ from the run's own: {', '.join(silent)}",
            stacklevel=3,
        )
    members = {
        name: [load_probe(folder / one) for one in names] for name, names in spec.probes.items()
    }
    (classes,) = {probe.spec.classes for probes in members.values() for probe in probes}
    columns, bare = ClassColumns(use, teacher), teacher.open

    def opened(threads: int) -> Infer:
        return _inferred(bare(threads), members, columns, spec)

    return replace(teacher, classes=classes, common_names=(), open=opened)


def _inferred(
    teacher: Infer,
    members: Mapping[str, Sequence[Probe]],
    columns: ClassColumns,
    spec: EnsembleSpec,
) -> Infer:
    weights, known = spec.as_probabilities(), torch.from_numpy(columns.known)
    itself = next((name for name in spec.weights if name.startswith(f"{spec.teacher}/")), None)

    def infer(waves: Floats) -> tuple[Floats, Floats]:
        of_all, embeddings = teacher(waves)
        of_classes = columns.of(of_all)
        prior = prior_logits(torch.from_numpy(of_classes)) * known
        inputs = torch.from_numpy(embeddings), prior
        said: dict[str, Floats] = {
            name: torch.stack([probe.probabilities(*inputs) for probe in probes]).mean(0).numpy()
            for name, probes in members.items()
        }
        if itself is not None:
            said[itself] = of_classes
        return weights.blended(said).astype("float32"), embeddings

    return infer
