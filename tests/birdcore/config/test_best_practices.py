"""The page of best practices names settings that there are, with values that they take."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[3] / "docs"
TABLES = ("round", "mel", "ensemble", "folds", "data")


def allowed() -> dict[str, str]:
    """What each setting of the reference may be, by table and key."""
    table, found = "", {}
    for line in (DOCS / "recipe.md").read_text().splitlines():
        if title := re.match(r"## `\[+(.+?)\]+`", line):
            table = f"{title[1]}."
        elif row := re.match(r"\| `(\w+)` \| (.*?) \| ", line):
            found[table + row[1]] = row[2]
    return found


PAGE = (DOCS / "best-practices.md").read_text()
NAMED = re.findall(rf"`((?:{'|'.join(TABLES)})\.[a-z_.]+)(?: = ([^`]+))?`", PAGE)


def test_the_page_is_about_settings() -> None:
    assert len(NAMED) > 30


@pytest.mark.parametrize(("setting", "value"), sorted(set(NAMED)))
def test_settings_of_the_page_are_in_the_reference(setting: str, value: str) -> None:
    words = allowed()[setting]
    for each in re.findall(r'"\w+"', value):
        assert each in words
