"""One row a round: what it is, what it was trained on, and how good its models are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from birdcore.config import Round
from birdcore.config.external_teacher import EXTERNAL_TEACHER
from birdcore.config.probe import PROBE
from birdcore.sources.source import SOURCES
from birdcore.store.artifact import Artifact
from birdcore.training.records import read_history


@dataclass(frozen=True)
class RoundSummary:
    """A round of the recipe with its models.

    `auc` is the mean over models of their AUC on held-out recordings, `low` and `high` the lowest
    and highest of them; None where it is undefined. `losses` are means over models by epoch.
    """

    name: str
    models: int
    backbones: tuple[str, ...]
    epochs: int
    trained_on: int
    segments: int
    description: str
    auc: float | None
    low: float
    high: float
    losses: tuple[float, ...]


def round_summaries(
    rounds: Sequence[Round], models: Mapping[str, Sequence[Artifact]]
) -> list[RoundSummary]:
    """The summary of each round, in order; `models` by round."""
    return [_summary(one, models[one.name]) for one in rounds]


def _summary(settings: Round, models: Sequence[Artifact]) -> RoundSummary:
    metrics = [model.metrics for model in models]
    aucs = [each["auc"] for each in metrics if each["auc"] is not None]
    curves = [[line["loss"] for line in read_history(model.folder)] for model in models]
    shortest = min(map(len, curves))
    is_probe = settings.objective == "probe"
    return RoundSummary(
        name=settings.name,
        models=len(models),
        backbones=(PROBE,) if is_probe else settings.backbones,
        epochs=shortest if is_probe else settings.epochs,
        trained_on=round(np.mean([each["trained_on"] for each in metrics])),
        segments=round(np.mean([each["segments"] for each in metrics])),
        description=_description(settings),
        auc=float(np.mean(aucs)) if aucs else None,
        low=min(aucs, default=0.0),
        high=max(aucs, default=0.0),
        losses=tuple(np.mean([curve[:shortest] for curve in curves], axis=0).tolist()),
    )


def _description(settings: Round) -> str:
    """What a round is trained on and by which teacher, as a sentence without its subject."""
    source = SOURCES[settings.data].title
    if settings.objective == "embeddings":
        text = f"trained on {_called(settings.embeddings_of)}'s embeddings of {source}"
    elif settings.objective == "probe":
        teacher = _called(settings.embeddings_of)
        text = f"a head on {teacher}'s embeddings, trained on the labels of {source}"
        text += " and the teacher's own of soundscapes" if settings.probe.soundscapes else ""
    elif settings.teacher is None:
        text = f"trained on the labels of {source}"
    else:
        teacher = _called(settings.teacher)
        labelled = (
            "clips and soundscapes" if settings.label.source == "both" else settings.label.source
        )
        text = f"trained on the labels of {source} and pseudo-labels by {teacher} of {labelled}"
    return f"{text}; initialised from {settings.init_from}" if settings.init_from else text


def _called(teacher: str | None) -> str:
    """A round or external teacher by its name; the only external teacher need not have one."""
    return "the external teacher" if teacher in (None, EXTERNAL_TEACHER) else str(teacher)


def links(rounds: Sequence[Round]) -> list[tuple[int, int, str]]:
    """(earlier round, later round, "start" or "teacher") by position."""
    index = {one.name: n for n, one in enumerate(rounds)}
    return [
        (index[earlier], n, kind)
        for n, one in enumerate(rounds)
        for kind, earlier in (("start", one.init_from), ("teacher", one.teacher))
        if earlier in index
    ]
