"""The reference of settings, `docs/recipe.md`, and that it is not stale."""

import re
from pathlib import Path
from typing import ClassVar

from birdcore.config import Round, read_recipe
from birdcore.config.reference import field_texts, markdown
from birdcore.config.section import Section

PAGE = Path(__file__).parents[3] / "docs" / "recipe.md"


def test_page_is_as_the_models_are() -> None:
    how = "docs/recipe.md is stale: python -m birdcore.config.reference > docs/recipe.md"
    assert PAGE.read_text() == markdown(), how


def test_page_has_every_setting_of_a_round() -> None:
    (table,) = re.findall(r"^## `\[\[round\]\]`\n(.*?)^## ", markdown(), re.S | re.M)
    assert re.findall(r"^\| `(\w+)` \|", table, re.M) == list(Round.model_fields)


def test_example_of_the_page_is_a_recipe(tmp_path: Path) -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", markdown(), re.S)
    (tmp_path / "example.toml").write_text(example)
    recipe = read_recipe(tmp_path / "example.toml")
    assert [(r.name, r.epochs) for r in recipe.round] == [("supervised", 10), ("long", 20)]


class Low(Section):
    renamed: ClassVar[dict[str, str]] = {}
    a: int = 1
    """Of the base,
    in two lines."""


class High(Low):
    b: int = 2
    c: int = 3
    """Own."""


def test_field_texts_are_the_strings_below_fields() -> None:
    assert field_texts(High).items() >= {"a": "Of the base, in two lines.", "c": "Own."}.items()
    assert "b" not in field_texts(High)
