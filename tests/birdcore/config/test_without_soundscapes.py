from pathlib import Path

import pytest

from birdcore.config import Recipe, find_recipe, read_recipe
from birdcore.config.without_soundscapes import without_soundscapes

FIRST = {"name": "first", "backbones": ["resnet10t"]}


def recipe(*rounds: dict[str, object], **tables: object) -> Recipe:
    own = [{"backbones": ["resnet10t"], **each} for each in rounds]
    return Recipe.model_validate({"round": own, **tables})


@pytest.mark.parametrize(
    ("name", "rounds", "members"),
    [
        ("mini", ["supervised"], ["supervised"]),
        ("noisy-student-mini", ["supervised"], ["supervised"]),
        ("soft-auc-mini", ["teacher"], ["teacher"]),
        ("xeno-canto-pretraining-mini", ["pretrain", "supervised"], ["supervised"]),
        (
            "self-distillation-mini",
            ["supervised", "clips-1", "clips", "both"],
            ["supervised", "clips", "both"],
        ),
        ("external-teacher-mini", ["embed", "supervised"], ["supervised", "external_teacher"]),
        ("external-teacher", ["embed", "supervised"], ["supervised"]),
    ],
)
def test_shipped_recipes_train_without_soundscapes(
    name: str, rounds: list[str], members: list[str]
) -> None:
    given = read_recipe(Path(find_recipe(f"recipes/{name}.toml")))
    rest, asides = without_soundscapes(given)
    assert [one.name for one in rest.round] == rounds
    assert list(rest.members) == members
    assert not any(one.background.probability for one in rest.round)
    assert not any(one.teacher and one.label.source != "clips" for one in rest.round)
    assert asides
    assert Recipe.model_validate(rest.model_dump()) == rest


def test_weights_of_a_taxon_are_those_of_the_round_that_stands_for_another() -> None:
    student = {"name": "student", "teacher": "first"}
    weights = {"frogs": {"first": 1.0, "student": 2.0}, "birds": {"student": 1.0}}
    given = recipe(FIRST, student, ensemble={"taxon_weights": weights})
    rest, _ = without_soundscapes(given)
    assert rest.ensemble.taxon_weights == {"Amphibia": {"first": 3.0}, "Aves": {"first": 1.0}}


def test_a_recipe_that_needs_no_soundscapes_stays_as_it_is() -> None:
    given = recipe(FIRST, {"name": "clips", "teacher": "first", "label": {"source": "clips"}})
    assert without_soundscapes(given) == (given, ())


def test_a_round_after_one_that_is_left_out_starts_from_the_one_before() -> None:
    rest, asides = without_soundscapes(
        recipe(
            FIRST,
            {"name": "student", "teacher": "first"},
            {
                "name": "last",
                "teacher": "student",
                "init_from": "student",
                "label": {"source": "clips"},
            },
        )
    )
    assert [(r.name, r.teacher, r.init_from) for r in rest.round] == [
        ("first", None, None),
        ("last", "first", "first"),
    ]
    assert asides == (("round student", "left out: the teacher labels soundscapes"),)


def test_a_round_with_another_backbone_than_the_one_before_starts_afresh() -> None:
    other = {"backbones": ["resnet18"]}
    rest, _ = without_soundscapes(
        recipe(
            FIRST,
            {"name": "student", "teacher": "first", **other},
            {"name": "last", "init_from": "student", "init_weights": "backbone", **other},
        )
    )
    assert (rest.round[1].init_from, rest.round[1].init_weights) == (None, "all")


def test_a_member_that_is_left_out_is_replaced_by_its_teacher() -> None:
    given = recipe(
        FIRST,
        {"name": "one", "teacher": "first"},
        {"name": "two", "teacher": "one"},
        ensemble={"members": ["two", "one"]},
    )
    assert without_soundscapes(given)[0].members == ("first",)


def test_where_every_round_needs_them_nothing_steps_aside() -> None:
    given = recipe(
        {"name": "student", "teacher": "external_teacher"},
        external_teacher=[{"teacher": "birdnet"}],
    )
    assert without_soundscapes(given) == (given, ())
