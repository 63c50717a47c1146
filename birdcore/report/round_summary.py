"""The ladder: what each round is, what it learnt from, and how good its models are."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from birdcore.config.validation import EXTERNAL_TEACHER
from birdcore.stages.train import history
from birdcore.store.artifact import Artifact

SOURCES = {"birdclef": "the competition's recordings", "xeno-canto": "Xeno-canto's recordings"}


@dataclass(frozen=True)
class Rung:
    """A round of the recipe with its models.

    `auc` is the mean over models of what each scores on its held-out recordings, `low` and `high`
    the worst and best of them; None where that can't be scored. `losses` are means over models,
    epoch by epoch.
    """

    name: str
    models: int
    backbones: tuple[str, ...]
    epochs: int
    trained_on: int
    segments: int
    learns: str
    auc: float | None
    low: float
    high: float
    losses: tuple[float, ...]


def rungs(
    settings: Mapping[str, Mapping[str, Any]], rounds: Mapping[str, list[Artifact]]
) -> list[Rung]:
    """`settings`: of each round, as the recipe has them; `rounds`: the models of each."""
    return [_rung(name, one, rounds[name]) for name, one in settings.items()]


def _rung(name: str, one: Mapping[str, Any], models: list[Artifact]) -> Rung:
    metrics = [model.metrics for model in models]
    aucs = [each["auc"] for each in metrics if each["auc"] is not None]
    curves = [[line["loss"] for line in history(model.folder)] for model in models]
    shortest = min(map(len, curves))
    return Rung(
        name=name,
        models=len(models),
        backbones=tuple(one["backbones"]),
        epochs=one["epochs"],
        trained_on=round(np.mean([each["trained_on"] for each in metrics])),
        segments=round(np.mean([each["segments"] for each in metrics])),
        learns=_learns(one),
        auc=float(np.mean(aucs)) if aucs else None,
        low=min(aucs, default=0.0),
        high=max(aucs, default=0.0),
        losses=tuple(np.mean([curve[:shortest] for curve in curves], axis=0).tolist()),
    )


def _learns(one: Mapping[str, Any]) -> str:
    """What a round learns, and from whom, in a sentence without its name."""
    source = SOURCES[one["data"]]
    if one["learns"] == "embeddings":
        said = f"learns the outside teacher's embeddings of {source}"
    elif one["teacher"] is None:
        said = f"learns people's labels of {source}"
    else:
        teacher = "the outside teacher" if one["teacher"] == EXTERNAL_TEACHER else one["teacher"]
        of = {"both": "clips and soundscapes"}.get(one["label"]["of"], one["label"]["of"])
        said = f"learns people's labels of {source}, and what {teacher} says of {of}"
    return f"{said}; starts from {one['start']}" if one["start"] else said


def links(settings: Mapping[str, Mapping[str, Any]]) -> list[tuple[int, int, str]]:
    """Which round (by position) starts or teaches which later one."""
    place = {name: at for at, name in enumerate(settings)}
    return [
        (place[one[kind]], at, kind)
        for at, one in enumerate(settings.values())
        for kind in ("start", "teacher")
        if one[kind] in place
    ]
