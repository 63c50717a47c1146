"""Rounds on other data, the folds that they have, and the table [xeno_canto]."""

from collections.abc import Callable
from pathlib import Path

import pytest

from birdcore.config import Recipe, RecipeError, read_recipe

BIRDS = """\
[xeno_canto]
areas = ["europe"]

[[round]]
name = "birds"
data = "xeno-canto"
backbones = ["resnet10t"]
folds = [0]

[[round]]
name = "own"
backbones = ["resnet10t"]
init_from = "birds"
"""
THIRD = """
[[round]]
name = "third"
backbones = ["resnet10t"]
"""

Read = Callable[..., Recipe]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def good(text: str, *settings: str) -> Recipe:
        path = tmp_path / "r.toml"
        path.write_text(text)
        return read_recipe(path, settings)

    return good


def refusal(read: Read, text: str) -> str:
    with pytest.raises(RecipeError) as caught:
        read(text)
    (line,) = str(caught.value).splitlines()
    return line[line.index("r.toml") :]


def changed(old: str, new: str) -> str:
    assert old in BIRDS
    return BIRDS.replace(old, new, 1)


def test_rounds_on_other_data_are_not_heard(read: Read) -> None:
    recipe = read(BIRDS + THIRD)
    assert [one.name for one in recipe.classifier_rounds] == ["own", "third"]
    assert recipe.members == ("own", "third")
    assert recipe.collects == (recipe.xeno_canto,)


def test_nothing_is_collected_for_no_round(read: Read) -> None:
    recipe = read(BIRDS, "round.0.data=birdclef", "round.0.folds=[0,1,2,3,4]")
    assert recipe.xeno_canto is not None
    assert recipe.collects == ()


def test_a_round_has_its_own_folds_or_those_of_all(read: Read) -> None:
    recipe = read(BIRDS, "folds.train=[1, 3]", "folds.count=4")
    assert [recipe.folds_of(one) for one in recipe.round] == [(0,), (1, 3)]


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (
            '[xeno_canto]\nareas = ["europe"]\n',
            "",
            'r.toml:4: round.0.data = "xeno-canto": needs a table [xeno_canto]',
        ),
        (
            'init_from = "birds"',
            'data = "xeno-canto"',
            "r.toml:4: round: no round learns the competition's classes: add one with "
            'data = "birdclef"',
        ),
        (
            'init_from = "birds"',
            'teacher = "birds"',
            'r.toml:13: round.1.teacher = "birds": a teacher and its student know the '
            "competition's classes, and one of these does not",
        ),
        (
            "[xeno_canto]",
            '[ensemble]\nmembers = ["birds"]\n[xeno_canto]',
            'r.toml:2: ensemble.members.0 = "birds": does not know the competition\'s classes',
        ),
        ("[0]", "[0, 5]", "r.toml:8: round.0.folds = [0, 5]: name folds from 0 to 4"),
        ("[0]", "[1, 1]", "r.toml:8: round.0.folds = [1, 1]: a fold is named twice"),
        ("[0]", "[]", "r.toml:8: round.0.folds = []: must be a list of at least 1, each a whole"),
        ("[0]", "[-1]", "r.toml:8: round.0.folds.0 = -1: must be a whole number of at least 0"),
        (
            '"xeno-canto"',
            '"xenocanto"',
            'r.toml:6: round.0.data = "xenocanto": must be "birdclef", "xeno-canto" or',
        ),
    ],
)
def test_rounds_that_do_not_fit_their_data_are_refused(
    read: Read, old: str, new: str, says: str
) -> None:
    assert refusal(read, changed(old, new)).startswith(says)


def test_a_student_of_other_data_is_refused(read: Read) -> None:
    student = THIRD + 'teacher = "own"\ndata = "xeno-canto"\n'
    assert refusal(read, BIRDS + student).startswith('r.toml:18: round.2.teacher = "own": a teach')


def test_a_round_starts_from_no_model_that_learnt_what_it_is_validated_on(read: Read) -> None:
    says = "folds = [0, 1]: must be among the folds of {!r}, from which it starts"
    again = THIRD + 'init_from = "own"\nfolds = [0, 1]\n'
    with_one = BIRDS.replace('init_from = "birds"', 'init_from = "birds"\nfolds = [0]')
    assert refusal(read, with_one + again).endswith(says.format("own"))
    assert read(BIRDS + again).round[2].folds == (0, 1)
    # The model of fold 0 learnt fold 1 of the competition, before and behind other birds.
    first = BIRDS.replace("[[round]]", THIRD.replace("third", "first") + "\n[[round]]", 1)
    through = first.replace("folds = [0]\n", 'folds = [0]\ninit_from = "first"\n').replace(
        'init_from = "birds"', 'init_from = "birds"\nfolds = [0, 1]'
    )
    assert refusal(read, through).endswith(says.format("birds"))
    assert read(through.replace("folds = [0]", "folds = [0, 1]")).round[2].init_from == "birds"


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ('areas = [""]', 'areas.0 = "": must be a name without quotation marks'),
        ("areas = []", "xeno_canto: says not which recordings: set species, countries, boxes, "),
        ('species = ["merula"]', 'species.0 = "merula": must be a scientific name of two words'),
        ("""countries = ['"Peru"']""", "must be a name without quotation marks"),
        ('queries = [" "]', 'queries.0 = " ": must be a query in the archive\'s tags'),
        ("boxes = [[9, 0, 3, 4]]", "must be [south, west, north, east] in degrees"),
        ("boxes = [[1, 2, 3]]", "must be a list of 4 numbers"),
        ("min_s = 9\nmax_s = 5", "max_s = 5: must not be below min_s, which is 9"),
        ('min_quality = "F"', 'min_quality = "F": must be "A", "B", "C", "D" or "E"'),
        ('exclude_licenses = ["sa"]', 'exclude_licenses.0 = "sa": must be "nc" or "nd"'),
        ('without = ["nc"]', "`without` is now `exclude_licenses`"),
        ("per_species = 0", "per_species = 0: must be a whole number of at least 1"),
        ("per_second = 0", "per_second = 0: must be a number above 0"),
        ('competition = "in"', 'must be "out", "only" or "any"'),
        ('site = "xeno-canto.org"', "must be like https://xeno-canto.org"),
        ('site = "https://xeno-canto.org/api/3"', "must be like https://xeno-canto.org"),
        ('site = "file:///etc"', "must be like https://xeno-canto.org"),
        ('key = "secret"', "unknown key xeno_canto.key"),
    ],
)
def test_a_wrong_wish_is_refused(read: Read, setting: str, says: str) -> None:
    whole = setting if setting.startswith("areas") else f'areas = ["europe"]\n{setting}'
    line = refusal(read, changed('areas = ["europe"]', whole))
    assert line.startswith("r.toml:")
    assert says in line


def test_what_the_project_ships_collects_and_pretrains(tiny_recipe: Path) -> None:
    recipe = read_recipe(tiny_recipe.parents[2] / "recipes" / "mini-pretrain.toml")
    assert recipe.collects == (recipe.xeno_canto,)
    pretrain, supervised, student = recipe.round
    assert (pretrain.data, recipe.folds_of(pretrain)) == ("xeno-canto", (0,))
    assert supervised.init_from == pretrain.name
    assert student.init_from == student.teacher == supervised.name
    assert recipe.members == ("supervised", "student")
