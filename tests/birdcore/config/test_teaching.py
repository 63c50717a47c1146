"""Several external teachers of one recipe: their names, their weights, and what is refused."""

from pathlib import Path

import pytest

from birdcore.config import Recipe, RecipeError, read_recipe
from birdcore.config.teaching import embedder, label_weights, teacher_names

RECIPE = """\
[[external_teacher]]
name = "birdnet"

[[external_teacher]]
name = "crickets"
teacher = "models/crickets.toml"
synonyms = "names.csv"

[[external_teacher]]
name = "perch"
teacher = "perch-v2"
file = "models/perch.onnx"

[[round]]
name = "head"
objective = "probe"
embeddings_of = "perch"

[[round]]
name = "first"
backbones = ["resnet10t"]

[[round]]
name = "second"
backbones = ["resnet10t"]
teacher = "first"

[[round]]
name = "third"
backbones = ["resnet10t"]
teacher = "birdnet"
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "several.toml"
    path.write_text(RECIPE)
    return path


def weights(recipe: Recipe, name: str) -> dict[str, float]:
    return label_weights(recipe, next(one for one in recipe.round if one.name == name))


def test_each_teacher_has_its_name_and_its_paths(path: Path) -> None:
    recipe = read_recipe(path, ["external_teacher.crickets.hop_s=0.5"])
    assert teacher_names(recipe) == ("birdnet", "crickets", "perch")
    assert [one.hop_s for one in recipe.external_teacher] == [1.5, 0.5, 1.5]
    assert recipe.external_teacher[1].teacher == str(path.parent / "models/crickets.toml")
    assert recipe.external_teacher[1].synonyms == str(path.parent / "names.csv")
    assert recipe.external_teacher[2].file == str(path.parent / "models/perch.onnx")
    assert [embedder(recipe, one) for one in recipe.round] == ["perch", None, None, None]
    assert Recipe.model_validate(recipe.model_dump()) == recipe


def test_a_recipe_laid_over_another_replaces_the_list(path: Path) -> None:
    above = path.with_name("above.toml")
    above.write_text('base = "several.toml"\n[[external_teacher]]\nname = "perch"\nhop_s = 0.25\n')
    with pytest.raises(RecipeError, match=r"several.toml:\d+: round.3.teacher = .birdnet.: no"):
        read_recipe(above)
    recipe = read_recipe(above, ["round.third.teacher=perch"])
    assert [(one.name, one.teacher) for one in recipe.external_teacher] == [("perch", "birdnet")]


@pytest.mark.parametrize(
    ("said", "second", "third"),
    [
        ("0", {}, {"birdnet": 1.0}),
        ("0.6", {"birdnet": 0.2, "crickets": 0.2, "perch": 0.2},
         {"birdnet": 0.4, "crickets": 0.3, "perch": 0.3}),
        ("{crickets=0.1, perch=0.2}", {"crickets": 0.1, "perch": 0.2},
         {"birdnet": 0.7, "crickets": 0.1, "perch": 0.2}),
        ("{perch=0.5, crickets=0}", {"perch": 0.5}, {"birdnet": 0.5, "perch": 0.5}),
    ],
)  # fmt: skip
def test_the_rounds_teacher_has_what_the_others_leave(
    path: Path, said: str, second: dict[str, float], third: dict[str, float]
) -> None:
    settings = [f"round.{name}.label.external_weight={said}" for name in ("second", "third")]
    recipe = read_recipe(path, settings)
    assert weights(recipe, "second") == pytest.approx(second)
    assert weights(recipe, "third") == pytest.approx(third)
    assert weights(recipe, "first") == {}


def test_the_only_teacher_labels_with_its_weight_or_alone(tmp_path: Path) -> None:
    path = tmp_path / "one.toml"
    _, _, rounds = RECIPE.partition('[[round]]\nname = "first"')
    text = f'[external_teacher]\n[[round]]\nname = "first"{rounds}'
    path.write_text(text.replace('"birdnet"', '"external_teacher"'))
    settings = [f"round.{name}.label.external_weight=0.25" for name in ("second", "third")]
    recipe = read_recipe(path, settings)
    assert weights(recipe, "second") == {"external_teacher": 0.25}
    assert weights(recipe, "third") == {"external_teacher": 1.0}


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("external_teacher.1.name=birdnet", "external_teacher.1.name.*an earlier external teacher"),
        ("external_teacher.1.name=first", "external_teacher.1.name.*a round has this name"),
        ("external_teacher.1.name=ensemble", "the ensemble's scores have this name"),
        ("external_teacher.1.name=external_teacher", "is missing: of several external teachers"),
        ("external_teacher.1.name=Crickets", "must be a name of a-z"),
        ("external_teacher.crickets.teacher=perch", "did you mean 'perch-v2'"),
        ("external_teacher.perch.hops=1", "unknown key external_teacher.2.hops"),
        ("round.third.teacher=birdnte", "no earlier round has this name; did you mean 'birdnet'"),
        ("round.third.teacher=external_teacher",
         "means an only teacher without a name: name one of birdnet, crickets, perch"),
        ("round.third.init_from=external_teacher", "no earlier round has this name"),
        ('ensemble.members=["first", "crikets"]', "no round has this name; did you mean 'crick"),
        ('ensemble.members=["external_teacher"]', "means an only teacher without a name"),
        ("round.head.embeddings_of=perhc",
         "round.0.embeddings_of.*no external teacher has this name; did you mean 'perch'"),
        ("round.head.embeddings_of=first", "no external teacher has this name"),
        ("round.first.embeddings_of=perch", 'is read by objective = "embeddings" or "probe" alone'),
        ("round.second.label.external_weight={perhc=0.1}",
         "external_weight.perhc.*no external teacher has this name; did you mean 'perch'"),
        ("round.second.label.external_weight={external_teacher=0.1}", "means an only teacher"),
        ("round.second.label.external_weight={birdnet=0.7, perch=0.4}", "weights sum to 1.1"),
        ("round.second.label.external_weight={birdnet=1.7}",
         "external_weight: must be a number from 0 to 1 or a table, each a number from 0 to 1"),
        ("round.third.label.external_weight={birdnet=0.5}", "is the round's teacher, which has"),
        ("round.third.label.external_weight={perch=1}", "leaves nothing to the round's teacher"),
        ("round.third.label.external_weight=1", "leaves nothing to the round's teacher"),
    ],
)  # fmt: skip
def test_what_no_teacher_can_be_is_refused(path: Path, setting: str, says: str) -> None:
    with pytest.raises(RecipeError, match=says):
        read_recipe(path, [setting])


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('name = "crickets"\n', "", r"several.toml:4: external_teacher.1.name: is missing"),
        ('name = "perch"\n', 'name = "birdnet"\n', r"several.toml:10: external_teacher.2.name = "),
        ('embeddings_of = "perch"\n', "",
         r"several.toml:14: round.0.embeddings_of: is missing: .*birdnet, crickets, perch"),
        ('teacher = "first"\n', 'teacher = "first"\n[round.label]\nexternal_weight = { a = 1 }\n',
         r"several.toml:28: round.2.label.external_weight.a = 1: no external teacher has"),
        ('teacher = "perch-v2"', 'teacher = "perch-2"', r"several.toml:11: external_teacher.2.te"),
    ],
)  # fmt: skip
def test_mistakes_are_told_with_their_lines(path: Path, old: str, new: str, says: str) -> None:
    assert old in RECIPE
    path.write_text(RECIPE.replace(old, new))
    with pytest.raises(RecipeError, match=says):
        read_recipe(path)


def test_a_list_of_one_is_the_only_teacher(path: Path) -> None:
    _, _, rounds = RECIPE.partition('[[round]]\nname = "first"')
    rest = f'[[round]]\nname = "first"{rounds}'
    path.write_text(f"[[external_teacher]]\n{rest}")
    recipe = read_recipe(path, ["round.third.teacher=external_teacher"])
    assert teacher_names(recipe) == ("external_teacher",)
    path.write_text(f'[external_teacher]\nname = "mine"\n{rest}')
    recipe = read_recipe(path, ["round.third.teacher=mine"])
    assert weights(recipe, "third") == {"mine": 1.0}
    with pytest.raises(RecipeError, match="means an only teacher without a name: name one of mi"):
        read_recipe(path, ["round.third.teacher=external_teacher"])


NO_TEACHER = "and this round has no `teacher`: add one, or leave it out"


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("round.first.label.external_weight=0.5", f"label.external_weight = 0.5: .*{NO_TEACHER}"),
        ("round.first.label.external_weight={perch=0.5}", NO_TEACHER),
        ("round.first.label.threshold=0.5", f"round.1.label.threshold = 0.5: .*{NO_TEACHER}"),
        ("round.first.label.minmax=true", NO_TEACHER),
        ("round.head.label.unannotated=teacher", NO_TEACHER),
        ('round.second.label={source="clips", keep_fraction=0.8}',
         'round.2.label.keep_fraction = 0.8: is of soundscapes, and label.source = "clips"'),
        ('round.second.label={source="clips", segment_s=2}', "label.segment_s = 2: is of soundsca"),
        ("round.third.label.output=both", "label.output.*and the teacher 'birdnet' is none"),
    ],
)  # fmt: skip
def test_settings_of_labels_that_a_round_has_no_use_for_are_refused(
    path: Path, setting: str, says: str
) -> None:
    with pytest.raises(RecipeError, match=says):
        read_recipe(path, [setting])


def test_a_setting_of_networks_under_a_probe_is_refused(path: Path) -> None:
    with pytest.raises(RecipeError, match=r"label\.step_s.*and the teacher 'head' is none"):
        read_recipe(path, ["round.third.teacher=head", "round.third.label.step_s=1"])


@pytest.mark.parametrize(
    "setting",
    [
        "round.first.label.threshold=0",  # as by default
        "train.label.external_weight=0.2",  # which rounds with a teacher share
        'train.label={source="clips", threshold=0.5}',
        'round.second.label={source="both", threshold=0.5, output="clipwise"}',
        'round.second.label={source="clips", power=2, zero_below=0.1, overlap=0, step_s=1}',
    ],
)
def test_what_a_round_reads_or_all_rounds_share_is_taken(path: Path, setting: str) -> None:
    read_recipe(path, [setting])


def test_a_repeated_round_reads_what_networks_do_once_its_own_teach(path: Path) -> None:
    read_recipe(path, ["round.third.label.output=both", "round.third.iterations=2"])


def test_a_setting_of_labels_without_use_is_told_with_its_line(path: Path) -> None:
    path.write_text(RECIPE.replace('name = "first"\n', 'name = "first"\nlabel.power = 2.0\n'))
    with pytest.raises(
        RecipeError, match=rf"toml:21: round\.1\.label\.power = 2.0: .*{NO_TEACHER}"
    ):
        read_recipe(path)
