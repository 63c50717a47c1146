"""The folder of a bundle: what it says, its arrays, and its models, opened."""

import hashlib
import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from birdcore.export.kit.base import Model, Refused
from birdcore.export.kit.engines import ENGINES, TEACHER_ENGINES, by_first_engine
from birdcore.export.kit.front_ends import (
    FRONT_ENDS,
    JOIN,
    FrontEnd,
    arrays_of,
    open_front_end,
)
from birdcore.export.kit.heads import Head, hear, of_classes, prior_logits, read_head

FORMATS = (1, 2)  # 2: with a teacher, or with what is done after prediction
CONFIG_KEYS = {"blend", "cell_frames", "classes", "members", "power", "predict", "scale", "weights"}
TEACHER_KEYS = {"probes", "teacher"}
TEACHER = "teacher"  # the folder of its file


def read_bundle(bundle: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """What config.json says, and the arrays; refused where the bundle is of another version."""
    path = bundle / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Refused(f"{bundle} is no bundle: config.json can't be read ({error})") from error
    found = config.get("format") if isinstance(config, dict) else None
    if found not in FORMATS:
        raise Refused(
            f"{path} has format {found}, this script reads {' and '.join(map(str, FORMATS))}: use "
            "the predict.py that was exported with it"
        )
    with_teacher = bool(TEACHER_KEYS & config.keys())
    front_end, heads_alone = config.get("front_end"), with_teacher and config.get("members") == {}
    name = front_end.get("name") if isinstance(front_end, dict) else None
    unknown = set(str(name).split(JOIN)) - FRONT_ENDS.keys()
    if unknown and not heads_alone:
        known = ", ".join(map(repr, FRONT_ENDS))
        raise Refused(f"{path}: the front end {name!r} is unknown, this script computes {known}")
    needed = CONFIG_KEYS | (TEACHER_KEYS if with_teacher else set())
    if lacking := sorted(needed - config.keys()):
        raise Refused(f"{path} is damaged: it has no {', '.join(lacking)}")
    try:
        with np.load(bundle / "front_end.npz") as stored:
            arrays = dict(stored)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise Refused(f"{bundle}: front_end.npz can't be read ({error})") from error
    of_models = set() if heads_alone else {"power_table", *arrays_of(str(name))}
    if lacking := sorted({"response", *of_models} - arrays.keys()):
        raise Refused(f"{bundle}: front_end.npz is damaged: it has no {', '.join(lacking)}")
    return config, arrays


def open_models(
    bundle: Path, config: Mapping[str, Any], front_end: FrontEnd, engine: str
) -> dict[str, Model]:
    """The models by folder, opened by the first engine that is installed, or the one named."""
    described = [model for models in config["members"].values() for model in models]
    folders = [model["folder"] for model in described]

    def opened(name: str) -> dict[str, Model]:
        return {folder: ENGINES[name](bundle / folder) for folder in folders}

    models = by_first_engine(ENGINES if engine == "auto" else [engine], opened, bundle)
    channels = front_end.channels
    bins = front_end.features(np.zeros(1, np.float32)).shape[1] // channels
    for model in described:
        silence = np.zeros((1, channels, bins, model["frames"]), np.float32)
        found, classes = models[model["folder"]](silence)[0].shape[1], len(config["classes"])
        if found != classes:
            raise Refused(f"{model['folder']} has {found} classes, config.json {classes}")
    return models


def open_teacher(bundle: Path, teacher: Mapping[str, Any], engine: str) -> Model:
    """The teacher's file, which is the one that the heads were trained with, opened likewise."""
    for name, expected in teacher["files"].items():
        path = bundle / TEACHER / name
        if not path.is_file():
            raise Refused(
                f"{path} is not there: it is {teacher['name']}'s, and yours to bring (sha256 "
                f"{expected}; {teacher['url'] or teacher['author']})"
            )
        if (found := sha256(path)) != expected:
            raise Refused(
                f"{path} is not the file that the heads were trained with: its sha256 is {found}, "
                f"not {expected}"
            )
    names = [name for name in teacher["engines"] if engine in ("auto", name)]
    if not names:
        does = " or ".join(teacher["engines"])
        raise Refused(f"--engine {engine} does not run {teacher['name']}: leave it to {does}")
    path = bundle / TEACHER / teacher["file"]
    return by_first_engine(names, lambda name: TEACHER_ENGINES[name](path, teacher), bundle)


def sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


class Bundle(NamedTuple):
    """A bundle that is open: what config.json says, the arrays, the front end and its models by
    their folders, heads by the members that they are folds of, and the teacher where there are
    any."""

    config: Mapping[str, Any]
    arrays: Mapping[str, Any]
    front_end: FrontEnd | None
    models: Mapping[str, Model]
    heads: Mapping[str, Sequence[Head]]
    teacher: Model | None


def open_bundle(
    folder: Path, config: Mapping[str, Any], arrays: Mapping[str, Any], engine: str
) -> Bundle:
    """All that predicts; refused where something of it is damaged or lacking."""
    models: dict[str, Model] = {}
    front_end = None
    if config["members"]:
        front_end = open_front_end(config["front_end"], arrays)
        models = open_models(folder, config, front_end, engine)
    heads = {
        member: [read_head(folder / fold) for fold in folds]
        for member, folds in config.get("probes", {}).items()
    }
    if not heads:
        return Bundle(config, arrays, front_end, models, heads, None)
    described = config["teacher"]
    teacher = open_teacher(folder, described, engine)
    try:
        silence = np.zeros(round(described["sample_rate"] * described["window_s"]), np.float32)
        _, scores, embeddings = hear(silence, described, teacher)
        prior = prior_logits(of_classes(scores, described), described)
        for head in (head for folds in heads.values() for head in folds):
            if head.probabilities(embeddings, prior).shape[1] != len(config["classes"]):
                raise ValueError("other classes")
    except (ValueError, IndexError, KeyError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise Refused(
            f"{folder}: a head does not fit config.json or its teacher: {reason}"
        ) from error
    return Bundle(config, arrays, front_end, models, heads, teacher)
