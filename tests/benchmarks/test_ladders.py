"""Each rung of a ladder is a recipe that can be read: a rung that is refused would end a night."""

from pathlib import Path

import pytest

from benchmarks.front_end_ladder import ARMS, RECIPE, settings_of
from benchmarks.ladder import LADDER
from birdcore.config import read_recipe


@pytest.mark.parametrize("name", LADDER)
def test_recipes_of_the_ladder_are_read(name: str) -> None:
    recipe, settings = LADDER[name]
    assert read_recipe(recipe, list(settings)).round


@pytest.mark.parametrize("name", ARMS)
def test_arms_of_front_ends_are_read(tmp_path: Path, name: str) -> None:
    path = tmp_path / "ladder.toml"
    path.write_text(RECIPE + ARMS[name].rounds)
    recipe = read_recipe(path, settings_of(1, name))
    assert recipe.round[-1].name == ARMS[name].round
    assert recipe.ensemble.members == (ARMS[name].round,)
