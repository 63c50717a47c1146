"""The table [inaturalist], beside [xeno_canto] or alone."""

from pathlib import Path

import pytest

from birdcore.config import INaturalist, Recipe, RecipeError, read_recipe

SOUNDS = """\
[inaturalist]
taxa = [20978]

[[round]]
name = "frogs"
data = "inaturalist"
backbones = ["resnet10t"]
folds = [0]

[[round]]
name = "own"
backbones = ["resnet10t"]
init_from = "frogs"
"""


def read(folder: Path, text: str) -> Recipe:
    path = folder / "r.toml"
    path.write_text(text)
    return read_recipe(path, [])


def test_a_round_trains_on_it_alone_or_beside_another_archive(tmp_path: Path) -> None:
    recipe = read(tmp_path, SOUNDS)
    assert recipe.collects == recipe.archives == (recipe.inaturalist,)
    assert [each.name for each in recipe.classifier_rounds] == ["own"]
    both = read(tmp_path, '[xeno_canto]\nareas = ["europe"]\n' + SOUNDS)
    assert both.archives == (both.xeno_canto, both.inaturalist)
    assert both.collects == (both.inaturalist,), "no round trains on the other"


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("[inaturalist]\ntaxa = [20978]\n", "", "needs a table [inaturalist]"),
        ("taxa = [20978]", "", "says not which sounds: set species, taxa, places or boxes"),
        ("taxa = [20978]", 'species = ["Turdus"]', "a scientific name of two words"),
        ("taxa = [20978]", 'taxa = ["Anura"]', "inaturalist.taxa.0"),
        ("taxa = [20978]", "taxa = [1]\nquality_grades = []", "inaturalist.quality_grades"),
        ("taxa = [20978]", 'taxa = [1]\nquality_grades = ["good"]', '"needs_id"'),
        ("taxa = [20978]", "taxa = [1]\nper_page = 201", "inaturalist.per_page"),
        ("taxa = [20978]", "boxes = [[5, 0, 1, 2]]", "[south, west, north, east]"),
        ("taxa = [20978]", 'taxa = [1]\nsite = "x"', "must be like https://api.inaturalist.org"),
        ("taxa = [20978]", 'taxa = [1]\nmin_quality = "A"', "unknown key"),
    ],
)
def test_what_is_wrong_is_refused_in_one_line(
    tmp_path: Path, old: str, new: str, says: str
) -> None:
    with pytest.raises(RecipeError) as caught:
        read(tmp_path, SOUNDS.replace(old, new, 1))
    (line,) = str(caught.value).splitlines()
    assert says in line


def test_the_limit_and_the_round_have_one_name() -> None:
    assert (INaturalist.data(), INaturalist.table) == ("inaturalist", "inaturalist")
