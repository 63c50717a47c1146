"""Rounds that are done several times, as the rounds that they are."""

from birdcore.config.recipe import Recipe
from birdcore.config.round import Round


def unrolled(recipe: Recipe) -> Recipe:
    """Each round of `iterations` = n as n rounds: `name-1`, `name-2` ... and `name`.

    Each is taught by the one before, and starts from it where the first starts from its teacher.
    The ensemble is of the last ones, unless the recipe names its members.
    """
    if all(one.iterations == 1 for one in recipe.round):
        return recipe
    rounds = tuple(again for one in recipe.round for again in _again(one))
    members = recipe.ensemble.model_copy(update={"members": recipe.members})
    return recipe.model_copy(update={"round": rounds, "ensemble": members})


def _again(one: Round) -> list[Round]:
    rounds: list[Round] = []
    for name in one.names:
        changes: dict[str, object] = {"name": name, "iterations": 1}
        if rounds:
            changes["teacher"] = rounds[-1].name
            if one.init_from == one.teacher:
                changes["init_from"] = rounds[-1].name
        rounds.append(one.model_copy(update=changes))
    return rounds
