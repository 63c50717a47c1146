"""How the rounds of a recipe must fit each other, its data and its folds."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from birdcore.config.external_teacher import EXTERNAL_TEACHER
from birdcore.config.front_end_checks import check_front_end
from birdcore.config.inaturalist import INaturalist
from birdcore.config.round import Round
from birdcore.config.teaching import ENSEMBLE, check_teachers, no_teacher, teacher_names
from birdcore.config.validation_errors import WrongSetting, nearest
from birdcore.config.xeno_canto import XenoCanto

if TYPE_CHECKING:
    from birdcore.config.recipe import Recipe


def check_rounds(recipe: "Recipe") -> None:
    """Raises WrongSetting for a round that can't be made of what comes before it."""
    _check_names(recipe)
    check_teachers(recipe)
    _check_data(recipe)
    _check_initial_weights(recipe)
    check_front_end(recipe)
    if recipe.mel.channels == "each" and recipe.external_teacher:
        raise WrongSetting(
            "does not go with [external_teacher], which hears a file once: choose "
            '"mean", "first" or "loudest", or leave the teacher out', "mel", "channels",
        )  # fmt: skip


def _check_names(recipe: "Recipe") -> None:
    earlier: list[str] = []
    taken: set[str] = set()
    teachers = teacher_names(recipe)
    for index, round_config in enumerate(recipe.round):
        for key in ("init_from", "teacher"):
            wanted = getattr(round_config, key)
            others = teachers if key == "teacher" else None
            if wanted is not None and wanted not in (*earlier, *(others or ())):
                wrong = _no_round(wanted, earlier, others, "earlier ")
                raise WrongSetting(wrong, "round", index, key)
        if taken.intersection(round_config.names):
            raise WrongSetting("an earlier round has this name", "round", index, "name")
        if round_config.name == ENSEMBLE:
            raise WrongSetting(
                "the ensemble's scores have this name: choose another", "round", index, "name"
            )
        earlier.append(round_config.name)
        taken.update(round_config.names)
    for index, member in enumerate(recipe.members):
        if member not in (*taken, *teachers):
            wrong = _no_round(member, sorted(taken), teachers)
            raise WrongSetting(wrong, "ensemble", "members", index)


def _check_data(recipe: "Recipe") -> None:
    classifiers, teachers = {r.name for r in recipe.classifier_rounds}, teacher_names(recipe)
    if not classifiers:
        raise WrongSetting(
            'no round learns the competition\'s classes: add one with data = "birdclef"',
            "round",
        )
    for index, round_config in enumerate(recipe.round):
        for table in (XenoCanto, INaturalist):
            if round_config.data == table.data() and getattr(recipe, table.table) is None:
                raise WrongSetting(f"needs a table [{table.table}]", "round", index, "data")
        if round_config.teacher is not None and not {round_config.teacher, round_config.name} <= {
            *classifiers,
            *teachers,
        }:
            raise WrongSetting(
                "a teacher and its student know the competition's classes, and one of these does "
                "not", "round", index, "teacher",
            )  # fmt: skip
        folds = recipe.folds_of(round_config)
        if round_config.teacher not in (None, *teachers):
            _check_teacher_folds(recipe, index, round_config)
        if max(folds) >= recipe.folds.count:
            raise WrongSetting(
                f"name folds from 0 to {recipe.folds.count - 1}", "round", index, "folds"
            )
        if len(set(folds)) < len(folds):
            raise WrongSetting("a fold is named twice", "round", index, "folds")
    for index, member in enumerate(recipe.ensemble.members or ()):
        if member not in {
            *teachers,
            *(name for round_config in recipe.classifier_rounds for name in round_config.names),
        }:
            raise WrongSetting(
                "does not know the competition's classes", "ensemble", "members", index
            )


def _check_teacher_folds(recipe: "Recipe", index: int, round_config: Round) -> None:
    folds = set(recipe.folds_of(round_config))
    teacher = next(r for r in recipe.round if r.name == round_config.teacher)
    taught = set(recipe.folds_of(teacher))
    lacks = None
    if round_config.label.teachers == "own" and not folds <= taught:
        lacks = f"{round_config.teacher!r} has no model of each of this round's folds"
    if round_config.label.teachers == "out-of-fold" and not folds == taught == {
        *range(recipe.folds.count)
    }:
        lacks = f"{round_config.teacher!r} and this round need a model of every fold"
    if teacher.objective == "probe" and round_config.label.external_weight:
        raise WrongSetting(
            f"does nothing under {teacher.name!r}, a probe, which has the external teacher's part "
            "in it by its own setting probe.prior: leave it out",
            "round", index, "label", "external_weight",
        )  # fmt: skip
    if round_config.label.teachers == "out-of-fold" and teacher.objective == "probe":
        lacks = f'{teacher.name!r} is a probe, which labels as "own" or "all"'
    if lacks is not None:
        raise WrongSetting(lacks, "round", index, "label", "teachers")


def _check_initial_weights(recipe: "Recipe") -> None:
    rounds = {r.name: r for r in recipe.round}
    for index, round_config in enumerate(recipe.round):
        start = rounds.get(round_config.init_from or "")
        if start is not None and start.objective == "probe":
            raise WrongSetting(
                f"{start.name!r} is a probe: it has no backbone to start from",
                "round", index, "init_from",
            )  # fmt: skip
        if (
            round_config.init_from is not None
            and round_config.backbones != rounds[round_config.init_from].backbones
        ):
            theirs = ", ".join(rounds[round_config.init_from].backbones)
            raise WrongSetting(
                f"needs the backbones of {round_config.init_from!r}: {theirs}",
                "round",
                index,
                "backbones",
            )
        # A model of another fold has learnt what this round is validated on, and hands it on
        # through rounds of other data.
        before, lacking = round_config, None
        while before.init_from is not None:
            before = rounds[before.init_from]
            if not set(recipe.folds_of(round_config)) <= set(recipe.folds_of(before)):
                lacking = lacking or before.name
            if lacking is not None and before.data == round_config.data:
                raise WrongSetting(
                    f"must be among the folds of {lacking!r}, from which it starts",
                    "round", index, "folds",
                )  # fmt: skip


def _no_round(
    name: str, rounds: Sequence[str], teachers: Sequence[str] | None, kind: str = ""
) -> str:
    """What is said of a name that no round has, and none of the external teachers, where one of
    these could stand."""
    if name == "outside":  # the word of earlier versions
        return f'"outside" is now "{EXTERNAL_TEACHER}"'
    if name == EXTERNAL_TEACHER and teachers is not None:
        return no_teacher(name, teachers)
    there_are = f"There are {', '.join(rounds)}" if rounds else "This is the first"
    if teachers:
        there_are += f", and the external teachers {', '.join(teachers)}"
    near = nearest(name, [*rounds, *(teachers or ())])
    return f"no {kind}round has this name{near or '.'} {there_are}"
