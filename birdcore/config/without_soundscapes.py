"""What is left of a recipe where there are no unlabelled soundscapes.

A shipped recipe has students that learn from them, and takes its background from them. On a folder
that has none its other rounds train all the same: what needs soundscapes steps aside, which is
said, and the round before stands where a round that is left out stood.
"""

from collections.abc import Iterable, Mapping, Sequence

from birdcore.config.external_teacher import EXTERNAL_TEACHER
from birdcore.config.recipe import Recipe
from birdcore.config.round import Round
from birdcore.config.validation import check_rounds
from birdcore.config.validation_errors import WrongSetting


def without_soundscapes(
    recipe: Recipe, *, annotated: bool = False
) -> tuple[Recipe, tuple[tuple[str, str], ...]]:
    """A recipe as it can be run without unlabelled soundscapes.

    Args:
        recipe: A valid recipe.
        annotated: Whether there are annotated recordings: where a round's teacher labels what is
            not annotated of them, or its background is taken from them, it needs no others.

    Returns:
        The recipe, and what of it steps aside: which rounds, and why. The same recipe and nothing
        where it needs no soundscapes, or where no round would be left to learn the classes.
    """
    kept: dict[str, Round] = {}
    left_out: dict[str, Round] = {}
    silenced, clips_alone = [], []
    for one in recipe.round:
        needs_others = not (annotated and one.label.unannotated == "teacher")
        if one.teacher is not None and one.label.source == "soundscapes" and needs_others:
            left_out[one.name] = one
            continue
        changes: dict[str, object] = {}
        if one.teacher is not None and one.label.source == "both" and needs_others:
            changes["label"] = one.label.model_copy(update={"source": "clips"})
            clips_alone.append(one.name)
        if one.background.probability and not (annotated and one.background.annotated):
            changes["background"] = one.background.model_copy(update={"probability": 0.0})
            silenced.append(one.name)
        changes |= _other_models(one, left_out, kept)
        kept[one.name] = one.model_copy(update=changes)
    members = recipe.ensemble.members
    if members is not None:
        members = tuple(dict.fromkeys(_teacher(name, left_out) for name in members))
    taxon_weights = {
        taxon: _summed((_teacher(name, left_out), weight) for name, weight in weights.items())
        for taxon, weights in recipe.ensemble.taxon_weights.items()
    }
    changed = {"members": members, "taxon_weights": taxon_weights}
    ensemble = recipe.ensemble.model_copy(update=changed)
    rest = recipe.model_copy(update={"round": tuple(kept.values()), "ensemble": ensemble})
    if not rest.classifier_rounds or not _fits(rest):
        return recipe, ()
    asides = (
        (tuple(left_out), "left out: the teacher labels soundscapes"),
        (clips_alone, "the teacher labels clips alone"),
        (silenced, "background is off: it is taken from soundscapes"),
    )
    return rest, tuple((_rounds(names), what) for names, what in asides if names)


def _other_models(
    one: Round, left_out: Mapping[str, Round], kept: Mapping[str, Round]
) -> dict[str, object]:
    """What a round is taught by and starts from, where these rounds are left out."""
    changes: dict[str, object] = {}
    if one.teacher is not None and one.teacher in left_out:
        changes["teacher"] = _teacher(one.teacher, left_out)
    start = one.init_from
    while start is not None and start in left_out:
        start = left_out[start].init_from or left_out[start].teacher
    if start != one.init_from:
        before = kept.get(start or "")
        alike = before is not None and before.backbones == one.backbones
        changes |= {"init_from": start} if alike else {"init_from": None, "init_weights": "all"}
    return changes


def _summed(weights: Iterable[tuple[str, float]]) -> dict[str, float]:
    sums: dict[str, float] = {}
    for name, weight in weights:
        sums[name] = sums.get(name, 0.0) + weight
    return sums


def _teacher(name: str, left_out: Mapping[str, Round]) -> str:
    """The round that stands where a round stood: itself, or what would have taught it."""
    while name in left_out:
        name = left_out[name].teacher or EXTERNAL_TEACHER
    return name


def _fits(recipe: Recipe) -> bool:
    try:
        check_rounds(recipe)
    except WrongSetting:
        return False
    return True


def _rounds(names: Sequence[str]) -> str:
    return f"round{'s' * (len(names) > 1)} {', '.join(names)}"
