"""A teacher of which there is a file: its description, its model and its labels, brought together.

All three are read and compared when the teacher is, so that nothing begins that can't end, and no
class is called by its neighbour's name.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np

from birdcore.config.external_teacher import TEACHERS_FOLDER, TOML
from birdcore.store.files import file_sha256
from birdcore.teachers.description import Description, deciding, read_description
from birdcore.teachers.external_data import external_data
from birdcore.teachers.external_teacher import Credit, ExternalTeacher, Infer, TeacherFile
from birdcore.teachers.file_model import FileModel, open_file
from birdcore.teachers.labels import read_labels


def file_teacher(name: str, places: Mapping[str, str]) -> ExternalTeacher:
    """The teacher that a description and its files are.

    Args:
        name: Of a description that comes with birdflow, where `places` has none.
        places: Paths of "description", "file" and "labels"; the last two go before what the
            description says.

    Raises:
        ValueError: Something is not there, damaged, or does not fit; in one line with its file.
    """
    path = Path(places.get("description", TEACHERS_FOLDER / f"{name}{TOML}"))
    described = read_description(path)
    file = _place(path, "file", places.get("file", described.file))
    listed = _place(path, "labels", places.get("labels", described.labels))
    labels = read_labels(listed, described.labels_column, described.common_names_column)
    weights = external_data(file)
    model = open_file(file, described, 1)
    probabilities, embeddings = model(np.zeros((1, described.samples), np.float32))
    if probabilities.shape[1] != len(labels.names):
        raise ValueError(
            f"{listed}: names {len(labels.names)} classes, and the output {described.label!r} of "
            f"{file} has {probabilities.shape[1]}"
        )
    files = {"file": file, "labels": listed}
    # By number, since what the model's file is called does not matter.
    files |= {f"weights {at}" if at else "weights": one for at, one in enumerate(weights)}
    settings = json.dumps(deciding(described), sort_keys=True).encode()
    own = {"description": str(path.absolute())} if "description" in places else {}
    return ExternalTeacher(
        name=re.sub(r"[^a-z0-9]+", "-", path.stem.lower()).strip("-") or "teacher",
        sample_rate=described.sample_rate,
        window_s=described.window_s,
        classes=labels.names,
        width=embeddings.shape[1],
        files={role: file_sha256(one) for role, one in files.items()}
        | {"description": hashlib.sha256(settings).hexdigest()},
        credit=Credit(
            described.name, described.author, described.licence, described.url, described.citation
        ),
        open=_opening(model, file, described),
        common_names=labels.common_names,
        places=own | {"file": str(file.absolute()), "labels": str(listed.absolute())},
        file=_as_file(model, weights),
    )


def _as_file(model: FileModel, weights: tuple[Path, ...]) -> TeacherFile:
    described, graph = model.description, model.graph
    at_once = described.batch if model.form.batch is None else model.form.batch
    return TeacherFile(
        model.path,
        (*([at_once] if at_once else []), *model.form.window),
        graph.tensors.get(described.embedding, described.embedding),
        graph.tensors.get(described.label, described.label),
        described.scores,
        weights=weights,
        half=graph.dtype == np.float16,
        peak=described.peak,
        slope=described.slope,
        intercept=described.intercept,
    )


def _opening(model: FileModel, file: Path, described: Description) -> Callable[[int], Infer]:
    """Opens the model, which was opened already to be checked: that one goes to whoever asks first,
    since a large model takes seconds."""
    ready = [model]

    def open_for(threads: int) -> Infer:
        if threads == 1:
            with suppress(IndexError):  # somebody has it
                return ready.pop()
        return open_file(file, described, threads)

    return open_for


def _place(path: Path, key: str, place: str | None) -> Path:
    if place is None:
        raise ValueError(
            f"{path}: names no {key}: say where yours is, as {key} in [external_teacher] or in a "
            "description of your own (docs/teachers.md)"
        )
    if not Path(place).is_file():
        raise ValueError(f"{place}: there is no such file, which {path} needs as its {key}")
    return Path(place)
