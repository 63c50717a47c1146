"""What [after_prediction] may say, and what does not go together."""

from typing import Any

import pytest

from birdcore.config import Recipe, RecipeError, read_recipe


def asked(*settings: str) -> Recipe:
    return read_recipe("mini", settings)


def test_taxa_go_by_the_names_of_their_groups() -> None:
    recipe = asked(
        "after_prediction.smooth={birds=[0.2,0.6,0.2],frogs=[1,1,1]}",
        "ensemble.taxon_weights={Insects={student=2,supervised=1}}",
    )
    assert recipe.after_prediction.smooth == {"Aves": (0.2, 0.6, 0.2), "Amphibia": (1, 1, 1)}
    assert recipe.ensemble.taxon_weights == {"Insecta": {"student": 2, "supervised": 1}}
    assert Recipe.model_validate(recipe.model_dump()) == recipe


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (["smooth={birds=[1,1]}"], "after_prediction.smooth: birds needs an odd number of weights"),
        (["smooth={birds=[0]}"], "after_prediction.smooth: birds needs an odd number of weights"),
        (["smooth={birds=[1],Aves=[1]}"], "birds and Aves are one taxon: write one of them"),
        (["smooth={birds=[-1]}"], "smooth.birds.0 = -1: must be a number of at least 0"),
        (["smooth={birds=1}"], "smooth.birds = 1: must be a list, each a number of at least 0"),
        (["smooth=1"], "after_prediction.smooth = 1: must be a table, each a list, each a number"),
        (['pooled=[["a"]]'], "pooled.0 = [\"a\"]: must be a list of at least 2"),
        (['pooled=[["a","b"],["b","c"]]'], "has 'b' twice"),
        (['pooled=[["a","b"]]', "pool_same_taxon=true"], "pools labels that pool_same_taxon pools"),
        (["cap=0"], "after_prediction.cap = 0: must be a number above 0 and of at most 1"),
        (["temperature=2"], "after_prediction.temperature = 2: is one of probabilities, and "
         "ensemble.blend may make ranks of them"),
    ],
)  # fmt: skip
def test_wrong_values_are_refused(settings: list[str], says: str) -> None:
    with pytest.raises(RecipeError) as caught:
        asked(*(f"after_prediction.{setting}" for setting in settings))
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "both"),
    [
        (["after_prediction.times_file_maximum=1", "predict.file_maximum=0.2"],
         ("after_prediction.times_file_maximum", "predict.file_maximum")),
        *((["after_prediction.smooth={birds=[1]}", f"predict.{name}={value}"],
           ("after_prediction.smooth", f"predict.{name}"))
          for name, value in (("gaussian", 1), ("neighbours", "true"), ("delta_shift", 0.5))),
        (["after_prediction.temperature=2", 'ensemble.blend="rank"', 'ensemble.weights="mean"'],
         ("after_prediction.temperature", "ensemble.blend")),
        (["ensemble.taxon_weights={frogs={other=1}}"],
         ("ensemble.taxon_weights: Amphibia needs weights of members", "supervised, student")),
        (["ensemble.taxon_weights={frogs={student=0}}"],
         ("ensemble.taxon_weights: Amphibia needs weights of members", "supervised, student")),
    ],
)  # fmt: skip
def test_settings_that_do_not_go_together_are_refused_with_both(
    settings: list[str], both: tuple[str, str]
) -> None:
    with pytest.raises(RecipeError) as caught:
        asked(*settings)
    (line,) = str(caught.value).splitlines()
    assert all(name in line for name in both)


@pytest.mark.parametrize(
    "ensemble", [{"blend": "mean"}, {"blend": "power"}, {"weights": "nnls"}, {"members": ["one"]}]
)
def test_a_temperature_goes_with_blends_of_probabilities(ensemble: dict[str, Any]) -> None:
    rounds = [{"name": name, "backbones": ["resnet10t"]} for name in ("one", "two")]
    tables = {"after_prediction": {"temperature": 2}, "ensemble": ensemble}
    assert Recipe.model_validate({"round": rounds, **tables}).after_prediction.temperature == 2
