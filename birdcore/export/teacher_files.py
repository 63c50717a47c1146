"""The heads of a bundle and their external teacher: files, terms, and how they are run.

    BUNDLE/teacher/FILE                     the teacher's model as it came, and its weights
    BUNDLE/model/ROUND/probe/fold-N/        probe.json, probe.safetensors, teacher.json

The script (`kit/heads.py`, `kit/engines.py`) runs the file by OpenVINO or ONNX Runtime, birdflow as
`birdcore.teachers` does, and neither is the other's code. So what the heads say by each engine is
compared with what they say in birdflow before the bundle has its name, and `config.json` lists the
engines that agree.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from birdcore.detection.probes import PROBE_FILES
from birdcore.export.bundle_config import BundledTeacher
from birdcore.export.kit import heads as kit
from birdcore.export.kit.base import Model
from birdcore.export.kit.bundle import TEACHER
from birdcore.export.kit.engines import TEACHER_ENGINES
from birdcore.export.licences import reason_to_refuse
from birdcore.export.model_files import check_samples
from birdcore.inference.trained_model import ENSEMBLE_FILE, FOLDER, EnsembleSpec
from birdcore.models.probe import Probe, load_probe, prior_logits
from birdcore.store.files import file_sha256
from birdcore.teachers.external_teacher import ExternalTeacher, Floats, TeacherFile
from birdcore.teachers.teacher_use import ClassColumns, TeacherUse
from birdcore.text import plain_text

TOLERANCE = 5e-4
"""Of probabilities of heads, where those of a submission may differ by 1e-3."""
CHECKED_WINDOWS = 4


class Heads(NamedTuple):
    """The heads of a run by their folders, and the teacher that they read."""

    probes: Mapping[str, Probe]
    use: TeacherUse
    teacher: ExternalTeacher
    file: TeacherFile


def read_heads(
    models: Path, spec: EnsembleSpec, description: str | None, *, accept: bool, leave_out: bool
) -> Heads:
    """The heads of a run's `model` folder, whose teacher may be given away, or is left out.

    Args:
        models: The folder.
        spec: Its ensemble, which has probes.
        description: The path of a TOML that describes the teacher, where its file is the user's.
        accept: The owner of the bundle takes the decision: nothing is refused.
        leave_out: Whether the teacher's file is not copied.

    Raises:
        ValueError: The teacher is not there, its files are others, its licence forbids giving it
            away or is not known, it has no file, or the run is of an earlier birdflow.
    """
    if spec.windows is None:
        raise ValueError(
            f"{models / ENSEMBLE_FILE} does not say where the teacher's windows lie, since the run "
            "is of an earlier birdflow: run its recipe again, for which nothing is made anew"
        )
    folders = [name for names in spec.probes.values() for name in names]
    use, *others = (TeacherUse.read(models / name) for name in folders)
    if any(other != use for other in others):
        raise ValueError(f"{models}: its probes read the embeddings of different teachers")
    teacher = use.open(description)
    if teacher.file is None:
        raise ValueError(f"{teacher.name} is a teacher without a file, which a bundle can't hold")
    licence = teacher.credit.license
    if not (accept or leave_out) and reason_to_refuse(licence):
        raise ValueError(
            f"the external teacher {teacher.credit.name} has the licence {plain_text(licence)!r}, "
            "which is not known to allow that its file is given away: --without-teacher leaves it "
            "out, for whoever predicts to bring it; --accept-licences copies it all the same"
        )
    probes = {name: load_probe(models / name) for name in folders}
    return Heads(probes, use, teacher, teacher.file)


def write_heads(
    models: Path, spec: EnsembleSpec, heads: Heads, bundle: Path, *, leave_out: bool
) -> BundledTeacher:
    """Write heads and teacher into a bundle, and compare what they say there with birdflow.

    Raises:
        ValueError: No engine of the script runs the teacher, or all say something else.
    """
    for name in heads.probes:
        (bundle / FOLDER / name).mkdir(parents=True)
        for part in PROBE_FILES:
            shutil.copyfile(models / name / part, bundle / FOLDER / name / part)
    teacher, file, credit = heads.teacher, heads.file, heads.teacher.credit
    folder = file.path.parent
    paths = {path.relative_to(folder).as_posix(): path for path in (file.path, *file.weights)}
    for name, path in () if leave_out else paths.items():
        copy = bundle / TEACHER / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    assert spec.windows is not None, "refused by read_heads"
    described = BundledTeacher(
        name=credit.name,
        author=credit.author,
        licence=credit.license,
        url=credit.url,
        citation=credit.citation,
        file=file.path.name,
        files={name: file_sha256(path) for name, path in paths.items()},
        included=not leave_out,
        engines=(),
        difference=0.0,
        sample_rate=teacher.sample_rate,
        window_s=teacher.window_s,
        hop_s=spec.windows.hop_s,
        frame_rate=spec.windows.frame_rate,
        shape=file.shape,
        half=file.half,
        peak=file.peak,
        embedding=file.embedding,
        label=file.label,
        scores=file.scores,
        slope=file.slope,
        intercept=file.intercept,
        limit=file.limit,
        columns=ClassColumns(heads.use, teacher).columns,
        member=next((name for name in spec.weights if name.startswith(f"{spec.teacher}/")), None),
    )
    differences = _differences(heads, described, bundle)
    return described.model_copy(
        update={"engines": tuple(differences), "difference": max(differences.values())}
    )


def _differences(heads: Heads, described: BundledTeacher, bundle: Path) -> dict[str, float]:
    """By how much probabilities of the heads differ from birdflow's, by each engine that is right.

    Raises:
        ValueError: None is.
    """
    settings = described.model_dump()
    samples = check_samples(described.sample_rate, CHECKED_WINDOWS * heads.teacher.window)
    waves = samples.reshape(CHECKED_WINDOWS, -1)
    expected = _as_birdflow(heads, waves)
    own = [kit.read_head(bundle / FOLDER / name) for name in heads.probes]
    differences, reasons = {}, []
    for name, open_by in TEACHER_ENGINES.items():
        try:
            run = open_by(heads.file.path, settings)
            found = [_as_the_kit(own, settings, wave, run) for wave in waves]
        except Exception as error:  # each engine has errors of its own
            reasons.append(f"{name}: {(str(error).strip().splitlines() or ['?'])[-1]}")
            continue
        difference = float(np.abs(np.stack(found, axis=1) - expected).max())
        if difference <= TOLERANCE:
            differences[name] = difference
        else:
            reasons.append(f"{name}: probabilities differ from birdflow's by {difference:.2g}")
    if not differences:
        raise ValueError(
            f"{heads.file.path} can't be run without birdflow, so it can't be exported: "
            f"{'; '.join(reasons)}"
        )
    return differences


def _as_birdflow(heads: Heads, waves: Floats) -> Floats:
    """Probabilities (heads, W, K) of windows as a run has them, its teacher in half precision."""
    of_all, embeddings = heads.teacher.open(1)(waves)
    columns = ClassColumns(heads.use, heads.teacher)
    of_classes = torch.from_numpy(columns.of(of_all)).half().float()
    prior = prior_logits(of_classes) * torch.from_numpy(columns.known)
    inputs = torch.from_numpy(embeddings).half(), prior
    return np.stack([probe.probabilities(*inputs).numpy() for probe in heads.probes.values()])


def _as_the_kit(
    own: list[kit.Head], settings: Mapping[str, Any], wave: Floats, run: Model
) -> Floats:
    """Probabilities (heads, K) of one window by the script's functions."""
    _, scores, embeddings = kit.hear(wave, settings, run)
    prior = kit.prior_logits(kit.of_classes(scores, settings), settings)
    halves = kit.halved(embeddings)
    return np.stack([head.probabilities(halves, prior)[0] for head in own])


def add_to_card(card: Path, teacher: BundledTeacher) -> None:
    """Say in a bundle's model card whose the teacher's file is, as its licence asks for."""
    files = "\n".join(f"- `{TEACHER}/{name}`, sha256 {sha}" for name, sha in teacher.files.items())
    where = "as it was published" if teacher.included else "not part of this: bring it"
    about = "\n".join(filter(None, (teacher.citation, teacher.url)))
    text = (
        f"\n## The external teacher\n\n{teacher.name} by {teacher.author}, {teacher.licence}; the "
        f"heads in this folder read its embeddings. Its file, {where}:\n\n{files}\n\n{about}\n"
    )
    with card.open("a", encoding="utf-8") as file:
        file.write(text)
