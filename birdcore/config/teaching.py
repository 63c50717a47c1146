"""Which external teachers a round hears, for what, and what of it can't be.

A recipe may have one external teacher or several. Who labels and with which weight, and whose
embeddings a round reads, is decided here once: what is checked as a recipe is read is what its
steps are made of.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from birdcore.config.external_teacher import EXTERNAL_TEACHER
from birdcore.config.round import PseudoLabels, Round
from birdcore.config.validation_errors import WrongSetting, nearest

if TYPE_CHECKING:
    from birdcore.config.recipe import Recipe

ENSEMBLE = "ensemble"
"""What the ensemble's scores are called, and nothing else."""
NO_TABLE = "needs a table [external_teacher]"
OF_SOUNDSCAPES = (
    "threshold", "high", "low", "segment_s", "minmax", "keep_fraction", "max_label_sum",
)  # fmt: skip
"""Settings of `label` that labels of clips have no use for."""
OF_NETWORKS = ("output", "step_s")
"""Those that have a use where networks label alone."""


def teacher_names(recipe: "Recipe") -> tuple[str, ...]:
    """What a recipe calls its external teachers."""
    return tuple(one.name for one in recipe.external_teacher)


def embedder(recipe: "Recipe", round_config: Round) -> str | None:
    """The external teacher whose embeddings a round reads; None for a round that reads none."""
    if round_config.objective == "labels":
        return None
    return round_config.embeddings_of or teacher_names(recipe)[0]


def label_weights(recipe: "Recipe", round_config: Round) -> dict[str, float]:
    """The weight of each external teacher in a round's pseudo-labels, where it is above 0.

    The round's teacher has what they leave, be it an earlier round, which is not among them, or an
    external teacher, which is.
    """
    teacher, weight = round_config.teacher, round_config.label.external_weight
    if teacher is None:
        return {}
    others = [name for name in teacher_names(recipe) if name != teacher]
    if isinstance(weight, Mapping):
        weights = {name: weight.get(name, 0.0) for name in others}
    else:
        weights = {name: weight / len(others) for name in others}
    if len(others) < len(recipe.external_teacher):
        weights[teacher] = max(0.0, round(1.0 - sum(weights.values()), 9))
    return {name: weights[name] for name in teacher_names(recipe) if weights.get(name)}


def check_teachers(recipe: "Recipe") -> None:
    """Raises WrongSetting for external teachers whose names are missing or taken, and for rounds
    that want of them what they can't have."""
    taken = {name for one in recipe.round for name in one.names}
    earlier: list[str] = []
    for index, one in enumerate(recipe.external_teacher):
        wrong = None
        if one.name == EXTERNAL_TEACHER and len(recipe.external_teacher) > 1:
            wrong = "is missing: of several external teachers each has a name of its own"
        elif one.name in earlier:
            wrong = "an earlier external teacher has this name"
        elif one.name in taken:
            wrong = "a round has this name"
        elif one.name == ENSEMBLE:
            wrong = "the ensemble's scores have this name: choose another"
        if wrong is not None:
            raise WrongSetting(wrong, EXTERNAL_TEACHER, index, "name")
        earlier.append(one.name)
    for index, round_config in enumerate(recipe.round):
        _check_embeddings(recipe, index, round_config)
        _check_weights(recipe, index, round_config)


def _check_embeddings(recipe: "Recipe", index: int, round_config: Round) -> None:
    names, said = teacher_names(recipe), round_config.embeddings_of
    if round_config.objective == "labels":
        return
    if not names:
        raise WrongSetting(NO_TABLE, "round", index, "objective")
    if said is None and len(names) > 1:
        raise WrongSetting(
            f'is missing: objective = "{round_config.objective}" reads the embeddings of one of '
            f"the external teachers {', '.join(names)}", "round", index, "embeddings_of",
        )  # fmt: skip
    if said is not None and said not in names:
        raise WrongSetting(no_teacher(said, names), "round", index, "embeddings_of")


def _check_weights(recipe: "Recipe", index: int, round_config: Round) -> None:
    names, weight = teacher_names(recipe), round_config.label.external_weight
    key = ("round", index, "label", "external_weight")
    if not weight:
        return
    if not names:
        raise WrongSetting(NO_TABLE, *key)
    weights = weight if isinstance(weight, Mapping) else {}
    for name in weights:
        if name not in names:
            raise WrongSetting(no_teacher(name, names), *key, name)
        if name == round_config.teacher:
            raise WrongSetting(
                "is the round's teacher, which has what the weights of others leave: leave it out",
                *key, name,
            )  # fmt: skip
    if (total := sum(weights.values())) > 1 + 1e-9:
        raise WrongSetting(
            f"weights sum to {total:g}: at most 1, of which the round's teacher has the rest", *key
        )
    teacher = round_config.teacher
    if teacher in names and teacher not in label_weights(recipe, round_config):
        raise WrongSetting(f"leaves nothing to the round's teacher, {teacher!r}", *key)


def check_labels(recipe: "Recipe", said: Sequence[Collection[str]]) -> None:
    """Raises WrongSetting for settings of `label` that a round has no use for.

    Args:
        recipe: The recipe.
        said: The keys of `label` that each round says itself: what all rounds share may be meant
            for others.
    """
    defaults = PseudoLabels()
    probes = {one.name for one in recipe.round if one.objective == "probe"}
    for index, (one, keys) in enumerate(zip(recipe.round, said, strict=True)):
        unread: dict[str, str] = {}
        if one.teacher is None:
            why = (
                "is read where a teacher labels, and this round has no `teacher`: add one, or "
                "leave it out"
            )
            unread = dict.fromkeys(keys, why)
        elif one.label.source == "clips":
            why = 'is of soundscapes, and label.source = "clips": leave it out, or say "both"'
            unread = dict.fromkeys(OF_SOUNDSCAPES, why)
        if one.teacher in (*teacher_names(recipe), *probes) and one.iterations == 1:
            why = (
                f"is of networks that label, and the teacher {one.teacher!r} is none: leave it out"
            )
            unread |= dict.fromkeys(OF_NETWORKS, why)
        for key in keys:
            if key in unread and getattr(one.label, key) != getattr(defaults, key):
                raise WrongSetting(unread[key], "round", index, "label", key)


def no_teacher(name: str, names: Sequence[str]) -> str:
    """What is said of a name that none of the external teachers has."""
    if name == EXTERNAL_TEACHER:
        if not names:
            return NO_TABLE
        return f"means an only teacher without a name: name one of {', '.join(names)}"
    return (
        f"no external teacher has this name{nearest(name, names) or '.'} There are "
        f"{', '.join(names)}"
    )
