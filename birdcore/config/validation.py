"""How the rounds of a recipe must fit each other, its data and its folds."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from birdcore.config.round import Round
from birdcore.config.validation_errors import WrongSetting, nearest

if TYPE_CHECKING:
    from birdcore.config.recipe import Recipe


EXTERNAL_TEACHER = "external_teacher"
ENSEMBLE = "ensemble"
"""The name of a teacher, and of a member of the ensemble, that is no round."""


def rounds_fit(recipe: "Recipe") -> None:
    """Raises WrongSetting for a round that can't be made of what comes before it."""
    _rounds_are_known(recipe)
    _data_fit(recipe)
    _starts_fit(recipe)


def _rounds_are_known(recipe: "Recipe") -> None:
    earlier: list[str] = []
    taken: set[str] = set()
    for at, one in enumerate(recipe.round):
        for key in ("init_from", "teacher"):
            wanted = getattr(one, key)
            if key == "teacher" and wanted == EXTERNAL_TEACHER:
                continue
            if wanted is not None and wanted not in earlier:
                raise WrongSetting(_no_round(wanted, earlier, "earlier "), "round", at, key)
        if taken.intersection(one.names):
            raise WrongSetting("an earlier round has this name", "round", at, "name")
        if one.name == ENSEMBLE:
            raise WrongSetting(
                "the ensemble's scores have this name: choose another", "round", at, "name"
            )
        earlier.append(one.name)
        taken.update(one.names)
    for at, member in enumerate(recipe.members):
        if member not in {*taken, EXTERNAL_TEACHER}:
            raise WrongSetting(_no_round(member, sorted(taken)), "ensemble", "members", at)


def _data_fit(recipe: "Recipe") -> None:
    heard = {r.name for r in recipe.heard}
    if not heard:
        raise WrongSetting(
            'no round learns the competition\'s classes: add one with data = "birdclef"',
            "round",
        )
    for at, one in enumerate(recipe.round):
        if one.data == "xeno-canto" and recipe.xeno_canto is None:
            raise WrongSetting("needs a table [xeno_canto]", "round", at, "data")
        if recipe.external_teacher is None:
            for key, wants in (
                (("objective",), one.objective == "embeddings"),
                (("teacher",), one.teacher == EXTERNAL_TEACHER),
                (("label", "external_weight"), one.label.external_weight > 0),
            ):
                if wants:
                    raise WrongSetting("needs a table [external_teacher]", "round", at, *key)
        if one.teacher is not None and not {one.teacher, one.name} <= {*heard, EXTERNAL_TEACHER}:
            raise WrongSetting(
                "a teacher and its student know the competition's classes, and one of these does "
                "not", "round", at, "teacher",
            )  # fmt: skip
        folds = recipe.folds_of(one)
        if one.teacher not in (None, EXTERNAL_TEACHER):
            _teachers_fit(recipe, at, one)
        if max(folds) >= recipe.folds.count:
            raise WrongSetting(
                f"name folds from 0 to {recipe.folds.count - 1}", "round", at, "folds"
            )
        if len(set(folds)) < len(folds):
            raise WrongSetting("a fold is named twice", "round", at, "folds")
    for at, member in enumerate(recipe.ensemble.members or ()):
        if member == EXTERNAL_TEACHER:
            if recipe.external_teacher is None:
                raise WrongSetting("needs a table [external_teacher]", "ensemble", "members", at)
        elif member not in {name for one in recipe.heard for name in one.names}:
            raise WrongSetting("does not know the competition's classes", "ensemble", "members", at)


def _teachers_fit(recipe: "Recipe", at: int, one: Round) -> None:
    folds = set(recipe.folds_of(one))
    taught = set(recipe.folds_of(next(r for r in recipe.round if r.name == one.teacher)))
    lacks = None
    if one.label.teachers == "own" and not folds <= taught:
        lacks = f"{one.teacher!r} has no model of each of this round's folds"
    if one.label.teachers == "out-of-fold" and not folds == taught == {*range(recipe.folds.count)}:
        lacks = f"{one.teacher!r} and this round need a model of every fold"
    if lacks is not None:
        raise WrongSetting(lacks, "round", at, "label", "teachers")


def _starts_fit(recipe: "Recipe") -> None:
    rounds = {r.name: r for r in recipe.round}
    for at, one in enumerate(recipe.round):
        if one.init_from is not None and one.backbones != rounds[one.init_from].backbones:
            theirs = ", ".join(rounds[one.init_from].backbones)
            raise WrongSetting(
                f"needs the backbones of {one.init_from!r}: {theirs}", "round", at, "backbones"
            )
        # A model of another fold has learnt what this one is validated on, and hands it on
        # through rounds of other data.
        before, lacking = one, None
        while before.init_from is not None:
            before = rounds[before.init_from]
            if not set(recipe.folds_of(one)) <= set(recipe.folds_of(before)):
                lacking = lacking or before.name
            if lacking is not None and before.data == one.data:
                raise WrongSetting(
                    f"must be among the folds of {lacking!r}, from which it starts",
                    "round", at, "folds",
                )  # fmt: skip


def _no_round(name: str, rounds: Sequence[str], kind: str = "") -> str:
    if name == "outside":  # the word of earlier versions
        return f'"outside" is now "{EXTERNAL_TEACHER}"'
    there_are = f"There are {', '.join(rounds)}" if rounds else "This is the first"
    return f"no {kind}round has this name{nearest(name, rounds) or '.'} {there_are}"
