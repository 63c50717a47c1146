import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import ValidationError

from birdcore.config import Mel, Recipe, RecipeError, read_recipe
from birdcore.config.section import Section
from birdcore.config.validation_errors import dotted, error_lines
from birdcore.features.mel import MelSpec

GOOD = """\
# Two rounds.
[mel]
preset = "config_128"

[[round]]
name = "first"
backbones = ["resnet10t"]

[[round]]
name = "second"
backbones = [
  "resnet10t",
]
teacher = "first"
mixup = { probability = 0.5 }
"""
ROUND_KEYS = "The nearest of "

Refuse = Callable[..., list[str]]


@pytest.fixture
def refuse(tmp_path: Path) -> Refuse:
    """Reads a recipe's text, which is wrong; returns the lines of the error."""

    def complain(text: str | bytes, *settings: str) -> list[str]:
        path = tmp_path / "r.toml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        with pytest.raises(RecipeError) as caught:
            read_recipe(path, settings)
        return str(caught.value).replace(f"{tmp_path}/", "").splitlines()

    return complain


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Recipe]:
    def good(text: str, *settings: str) -> Recipe:
        path = tmp_path / "r.toml"
        path.write_text(text)
        return read_recipe(path, settings)

    return good


def changed(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new, 1)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("sed = 3\n" + GOOD, "r.toml:1: unknown key sed; did you mean 'seed'? Allowed here: name,"),
        (
            changed("preset", "prest"),
            "r.toml:3: unknown key mel.prest; did you mean 'preset'? Allowed here: preset, ",
        ),
        (
            GOOD + "epoch = 3\n",
            f"r.toml:16: unknown key round.1.epoch; did you mean 'epochs'? {ROUND_KEYS}",
        ),
        (
            changed("probability", "probabilty"),
            "r.toml:15: unknown key round.1.mixup.probabilty; did you mean 'probability'? "
            "Allowed here: probability, alpha, weight, labels",
        ),
        (
            GOOD + "mask.time_mask = 3\n",
            "r.toml:16: unknown key round.1.mask.time_mask; did you mean 'time_masks'? ",
        ),
        (
            GOOD + "\n[round.mask]\n# comment\n\ntimes = 3\n",
            "r.toml:20: unknown key round.1.mask.times; did you mean 'time_s'? ",
        ),
        (
            GOOD + "power = 1.5\n",
            f"r.toml:16: unknown key round.1.power; did you mean 'label.power'? {ROUND_KEYS}",
        ),
        (GOOD + "[clean]\nxyz = 3\n", "r.toml:17: unknown key clean.xyz. Allowed here: remove, "),
        (
            'round = [\n  {name = "a", backbones = ["b"]},\n'
            '  {name = "c", backbones = ["b"], epoch = 3},\n]\n',
            "r.toml:3: unknown key round.1.epoch; did you mean 'epochs'? ",
        ),
    ],
)
def test_an_unknown_key_is_named_with_its_line_the_nearest_and_all_allowed(
    refuse: Refuse, text: str, says: str
) -> None:
    (line,) = refuse(text)
    assert line.startswith(says)


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ('epochs = "three"', 'round.1.epochs = "three": must be a whole number of at least 1'),
        ("epochs = true", "round.1.epochs = true: must be a whole number of at least 1"),
        ("epochs = 2.5", "round.1.epochs = 2.5: must be a whole number of at least 1"),
        ("epochs = 0", "round.1.epochs = 0: must be a whole number of at least 1"),
        ("pretrained = 1", "round.1.pretrained = 1: must be true or false"),
        ("mix = 1.5", "round.1.mix = 1.5: must be a number from 0 to 1"),
        ("dropout = 1", "round.1.dropout = 1: must be a number of at least 0 and below 1"),
        ("top_db = -1", "round.1.top_db = -1: must be a number above 0"),
        ("top_db = inf", "round.1.top_db = Infinity: must be a number above 0"),
        ("gain_db = nan", "round.1.gain_db = NaN: must be a number of at least 0"),
        ("window_s = 1979-05-27", 'round.1.window_s = "1979-05-27": must be a number above 0'),
        (
            'loss = "focl"',
            'round.1.loss = "focl": must be "bce", "focal", "bce+focal", "cross_entropy", "kl", '
            '"symmetric_kl", "soft_auc", "halves_auc", "hinge_auc" or "weighted_hinge_auc"; '
            "did you mean 'focal'?",
        ),
        ("mask = 3", "round.1.mask = 3: must be a table"),
        ('weights = "w.pt"', 'round.1.weights = "w.pt": needs pretrained = true'),
        (
            "background = { snr_db = [1] }",
            "round.1.background.snr_db = [1]: must be a list of 2 numbers",
        ),
        (
            'background = { snr_db = ["a", 2] }',
            'round.1.background.snr_db.0 = "a": must be a number',
        ),
        (
            "label = { low = 0.9, high = 0.2 }",
            "round.1.label.low = 0.9: must not be above high, which is 0.2",
        ),
        (
            'label = { threshold = "high" }',
            'round.1.label.threshold = "high": must be a number from 0 to 1',
        ),
    ],
)
def test_a_wrong_value_is_named_with_its_line_and_what_is_allowed(
    refuse: Refuse, setting: str, says: str
) -> None:
    assert refuse(f"{GOOD}{setting}\n") == [f"r.toml:16: {says}"]


class Wing(Section):
    renamed: ClassVar[dict[str, str]] = {"length": "length_m"}
    length_m: float = 1.0


class Bird(Section):
    renamed: ClassVar[dict[str, str]] = {"wing": "wings", "old_name": "name"}
    wings: tuple[Wing, ...] = ()
    name: str = "robin"


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"wing": {}}, "wing: unknown key wing: `wing` is now `wings`"),
        ({"old_name": "a", "name": "b"}, "unknown key old_name: `old_name` is now `name`"),
        ({"wings": [{}, {"length": 2}]}, "unknown key wings.1.length: `length` is now `length_m`"),
    ],
)
def test_renamed_key_is_refused_with_its_new_name(tree: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Bird.model_validate_json(json.dumps(tree))
    (line,) = error_lines(refused.value, Bird, tree, dotted)
    assert line.endswith(message)


@pytest.mark.parametrize("value", ["'some'", "3", "true", "-0.1", "['all']"])
def test_a_value_of_several_kinds_is_complained_of_once(refuse: Refuse, value: str) -> None:
    (line,) = refuse(f"{GOOD}[clean]\nremove = {value}\n")
    assert line.startswith("r.toml:17: clean.remove = ")
    assert 'must be "all", "none" or a number from 0 to 1' in line


def test_a_mistake_in_the_only_round_is_no_second_one_of_the_list(refuse: Refuse) -> None:
    text = '[[round]]\nname = "a"\nbackbones = ["b"]\nmix = 2\n'
    assert refuse(text) == ["r.toml:4: round.0.mix = 2: must be a number from 0 to 1"]


def test_all_mistakes_are_told_at_once(refuse: Refuse) -> None:
    lines = refuse(changed("config_128", "config_12") + "epochs = 0\n[clean]\nmargin = 1\n")
    assert sorted(line.split(": ")[0] for line in lines) == ["r.toml:16", "r.toml:18", "r.toml:3"]


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (
            'preset = "config_128"',
            'preset = "config_129"',
            "r.toml:3: mel.preset = \"config_129\": no such preset; did you mean 'config_128'? "
            "There are config_128, config_96, config_256, first_2025, fifth_2025",
        ),
        ("[mel]", "[mel]\nhop_length = 4096", "r.toml:3: mel.hop_length = 4096: hop_length 4096 "),
        ("[mel]", "[mel]\nn_fft = 1023", "r.toml:3: mel.n_fft = 1023: n_fft is 1023: choose an "),
        ("[mel]", "[mel]\nf_max = 2e4", "r.toml:3: mel.f_max = 20000.0: f_max 20000 Hz is above "),
        (
            'teacher = "first"',
            'teacher = "frist"',
            'r.toml:14: round.1.teacher = "frist": no earlier round has this name; '
            "did you mean 'first'? There are first",
        ),
        (
            'teacher = "first"',
            'teacher = "second"',
            'r.toml:14: round.1.teacher = "second": no earlier round has this name. '
            "There are first",
        ),
        (
            'name = "first"',
            'name = "first"\ninit_from = "second"',
            'r.toml:7: round.0.init_from = "second": no earlier round has this name. This is ',
        ),
        (
            'teacher = "first"',
            'init_from = "first"\npretrained = true',
            'r.toml:14: round.1.init_from = "first": does not go with pretrained = true: take one ',
        ),
        (
            '  "resnet10t",\n]\n',
            '  "resnet18",\n]\ninit_from = "first"\n',
            "r.toml:11: round.1.backbones = [\"resnet18\"]: needs the backbones of 'first': ",
        ),
        (
            'name = "second"',
            'name = "first"',
            'r.toml:10: round.1.name = "first": an earlier round has this name',
        ),
        (
            'name = "second"',
            'name = "ensemble"',
            'r.toml:10: round.1.name = "ensemble": the ensemble\'s scores have this name',
        ),
        (
            'name = "second"',
            'name = "Round 2"',
            'r.toml:10: round.1.name = "Round 2": must be a name of a-z, 0-9 and -, in quotes',
        ),
        (
            'name = "second"\n',
            "",
            "r.toml:9: round.1.name is missing: a name of a-z, 0-9 and -, in quotes",
        ),
        (
            '  "resnet10t",\n',
            '  "resnet10t",\n  3,\n',
            "r.toml:13: round.1.backbones.1 = 3: must be text in quotes",
        ),
        (
            '  "resnet10t",\n',
            "",
            "r.toml:11: round.1.backbones = []: must be a list of at least 1, each text in quotes",
        ),
        (
            "[mel]",
            '[ensemble]\nmembers = ["first",\n"sekond"]\n[mel]',
            'r.toml:4: ensemble.members.1 = "sekond": no round has this name; did you mean '
            "'second'? There are first, second",
        ),
        (
            "[mel]",
            "[ensemble]\nmembers = []\n[mel]",
            "r.toml:3: ensemble.members = []: must be a list of at least 1, each text in quotes",
        ),
        (
            'teacher = "first"',
            "iterations = 3",
            "r.toml:14: round.1.iterations = 3: needs a teacher: what is repeated is to be taught",
        ),
        (
            'name = "second"',
            'name = "second-1"\nbackbones = ["x"]\n[[round]]\nname = "second"\niterations = 2',
            'r.toml:13: round.2.name = "second": an earlier round has this name',
        ),
        (
            'teacher = "first"',
            'teacher = "first"\nfolds = [0]\nlabel.teachers = "out-of-fold"',
            "r.toml:16: round.1.label.teachers = \"out-of-fold\": 'first' and this round need a "
            "model of every fold",
        ),
        (
            'teacher = "first"',
            'init_weights = "backbone"',
            'r.toml:14: round.1.init_weights = "backbone": needs init_from, a round to start from',
        ),
        (
            'teacher = "first"',
            'padding.fill = "floor"',
            'r.toml:14: round.1.padding.fill = "floor": needs normalise = "floor"',
        ),
        (
            'teacher = "first"',
            "label_offset = 0.02\nlabel_smoothing = 0.1",
            "r.toml:14: round.1.label_offset = 0.02: does not go with label_smoothing: take one of "
            "them",
        ),
        (
            'teacher = "first"',
            "shift = { probability = 0.5, max_s = 5.5 }",
            "r.toml:14: round.1.shift.max_s = 5.5: max_s, 5.5 s, must not be above crop_s, 5 s",
        ),
        (
            'teacher = "first"',
            "crop_s = 0.5\nshift.probability = 0.5",
            "r.toml:15: round.1.shift.probability = 0.5: max_s, 1 s, must not be above crop_s, "
            "0.5 s",
        ),
        (
            'teacher = "first"',
            'crops = "overlapping"\nloud_crops = 0.5',
            'r.toml:15: round.1.loud_crops = 0.5: goes with crops = "random" only',
        ),
        (
            'teacher = "first"',
            'head = "gem"\nclip_pooling = "logit"',
            'r.toml:15: round.1.clip_pooling = "logit": does not go with head = "gem", which '
            'averages features: leave it out, or choose head = "mean"',
        ),
        (
            'teacher = "first"',
            'head = "max"\nhead_sharpness = 2.0',
            'r.toml:15: round.1.head_sharpness = 2.0: is of head = "logmeanexp" alone, and this '
            'round has head = "max"',
        ),
        (
            "[mel]",
            '[mel]\nfeatures = ["pcen"]',
            'r.toml:6: round.0.mixup.probability: does not go with mel.features = ["pcen"], from ',
        ),
        (
            "[mel]",
            "[export]\nint8 = true\nbf16 = true\n[mel]",
            "r.toml:4: export.bf16 = true: does not go with int8 = true: choose one of them",
        ),
        (
            "[mel]",
            "[folds]\ntrain = [0, 7]\n[mel]",
            "r.toml:3: folds.train = [0, 7]: name folds from 0 to 4, at least one",
        ),
        (
            "[mel]",
            "[folds]\ntrain = [1, 1]\n[mel]",
            "r.toml:3: folds.train = [1, 1]: a fold is named twice",
        ),
    ],
)
def test_settings_that_do_not_fit_each_other_are_refused(
    refuse: Refuse, old: str, new: str, says: str
) -> None:
    (line,) = refuse(changed(old, new))
    assert line.startswith(says)


@pytest.mark.parametrize("text", ["", "seed = 3\n", "# nothing\n"])
def test_a_recipe_without_rounds_is_refused(refuse: Refuse, text: str) -> None:
    assert refuse(text) == [
        "r.toml: round is missing: a list of tables, each under its own [[round]]"
    ]


def test_a_single_round_is_told_to_be_a_list(refuse: Refuse) -> None:
    assert refuse('[round]\nname = "a"\n') == [
        "r.toml:1: round: must be a list of tables, each under its own [[round]]"
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (GOOD + "seed = \n", "r.toml:16: not TOML: Invalid value"),
        (GOOD + "epochs = 3\nepochs = 4\n", "r.toml:17: not TOML: Cannot overwrite a value"),
        ("seed = 1\nnames = [1,\n", "r.toml:2: not TOML: Invalid value (at end of document)"),
        (GOOD.encode("utf-16"), "r.toml:1: not UTF-8 text: save the recipe as UTF-8"),
        (
            GOOD.encode() + "# Röhricht\n".encode("latin-1"),
            "r.toml:16: not UTF-8 text: save the recipe as UTF-8",
        ),
    ],
)
def test_a_file_that_is_no_toml_is_refused_with_its_line(
    refuse: Refuse, text: str | bytes, says: str
) -> None:
    assert refuse(text) == [says]


def test_a_missing_recipe_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"none\.toml: there is no such recipe"):
        read_recipe(tmp_path / "none.toml")
    with pytest.raises(RecipeError, match="can't be read: Is a directory"):
        read_recipe(tmp_path)


def test_mistakes_are_told_up_to_a_number(refuse: Refuse) -> None:
    lines = refuse(GOOD + "".join(f"wrong{at} = {at}\n" for at in range(60)))
    assert len(lines) == 51
    assert lines[0].startswith("r.toml:16: unknown key round.1.wrong0")
    assert lines[-1] == "and 10 more mistakes"


@pytest.mark.parametrize(
    "deep",
    [
        "a = " + 5_000 * "[",
        "a = " + 5_000 * "[" + 5_000 * "]",
        "a = " + 5_000 * "{a = " + "1" + 5_000 * "}",
        ".".join(2_000 * "a") + " = 1",
        "[[" + ".".join(2_000 * "a") + "]]\nb = 1",
        "a = " + 17 * "[" + 17 * "]",
        "a = [\n" + 30 * "[\n" + 30 * "]\n" + "]",
    ],
)
def test_what_nests_deeper_than_a_recipe_is_refused_with_its_line(
    refuse: Refuse, deep: str
) -> None:
    (line,) = refuse(GOOD + deep + "\nmore = 1\n")
    last = GOOD.count("\n") + 1 + deep.count("\n") * ("[\n" in deep)
    assert line == f"r.toml:{last}: tables or lists lie more than 16 deep in each other"


@pytest.mark.parametrize("number", ["9" * 5_000, "0x" + "f" * 5_000, str(2**63), str(-(2**63) - 1)])
def test_a_number_that_toml_has_not_is_refused_with_its_line(refuse: Refuse, number: str) -> None:
    assert refuse(f"{GOOD}epochs = {number}\n") == [
        "r.toml:16: TOML's whole numbers have at most 64 bits"
    ]


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("a=" + 5_000 * "[", "tables or lists lie more than 16 deep in each other"),
        ("round.0.x=" + 90 * "[" + 90 * "]", "tables or lists lie more than 16 deep"),
        (".".join(5_000 * "a") + "=1", "no setting lies so deep"),
        ("seed=" + "9" * 5_000, "TOML's whole numbers have at most 64 bits"),
        ("seed=0x" + "f" * 5_000, "TOML's whole numbers have at most 64 bits"),
        ("round." + "9" * 5_000 + ".epochs=1", "round has no 999"),
        ("name=\udcff", "not UTF-8 text"),
        ("seed=1\nname='x'", "seed = "),
        ("name=\x1b[2J", "name = "),
    ],
)
def test_a_set_that_no_recipe_could_say_is_refused(refuse: Refuse, setting: str, says: str) -> None:
    (line,) = refuse(GOOD, setting)
    assert line.startswith("--set ")
    assert says in line
    assert len(line.replace("9", "")) < 250
    assert line.isprintable()


def test_what_is_no_file_of_text_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    for path, says in (
        (tmp_path / "pipe.toml", r"pipe\.toml: is a pipe or a device: save the recipe as a file"),
        (Path("/dev/zero"), r"/dev/zero: is a pipe or a device"),
        (Path("a\0b"), "there is no such recipe"),
        (tmp_path / ("a" * 5_000), "can't be read: File name too long"),
    ):
        with pytest.raises(RecipeError, match=says):
            read_recipe(path)


def test_a_huge_file_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "huge.toml"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(RecipeError, match=r"huge\.toml: is no recipe: these have at most 64 KiB"):
        read_recipe(path)


@pytest.mark.parametrize(
    "text", ["\n" * 1_001, "# é\n" * 2_000, GOOD + "folds = [\n" + "1,\n" * 2_000]
)
def test_a_recipe_of_very_many_lines_is_refused(refuse: Refuse, text: str) -> None:
    assert refuse(text) == ["r.toml:1001: a recipe has at most 1000 lines"]


@pytest.mark.parametrize("base", ["a\\u0000b", "a" * 5_000, "."])
def test_a_base_that_is_no_file_is_refused(refuse: Refuse, base: str) -> None:
    (line,) = refuse(f'base = "{base}"\n{GOOD}')
    assert line.startswith("r.toml:1: base = ")
    assert "there is no such recipe in" in line


def test_bases_lie_on_each_other_so_many_times(tmp_path: Path) -> None:
    for at in range(40):
        (tmp_path / f"{at}.toml").write_text(f'base = "{at + 1}.toml"\n')
    with pytest.raises(RecipeError, match="no more than 16 recipes lie on each other"):
        read_recipe(tmp_path / "0.toml")


def test_windows_line_ends_and_byte_order_mark_are_read(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    assert read_recipe(path).round[1].teacher == "first"


def test_a_recipe_is_named_after_its_file(tmp_path: Path) -> None:
    path = tmp_path / "My recipe_2.toml"
    path.write_text(GOOD)
    assert read_recipe(path).name == "my-recipe-2"


def test_set_is_laid_over_the_recipe(read: Callable[..., Recipe]) -> None:
    recipe = read(
        GOOD,
        "round.0.epochs=3",
        "round.1.mixup.alpha = 0.25",
        "mel.preset=config_96",
        'ensemble.members=["second"]',
        "clean.remove=0.5",
        "round.0.pretrained=true",
        "seed=1",
        "seed=2",
    )
    assert [r.epochs for r in recipe.round] == [3, 30]
    assert recipe.round[1].mixup.alpha == 0.25
    assert recipe.round[1].mixup.probability == 0.5  # from the file
    assert recipe.mel.spec().n_mels == 96
    assert recipe.members == ("second",)
    assert recipe.clean.remove == 0.5
    assert recipe.round[0].pretrained is True
    assert recipe.seed == 2


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("mel.preset", "write KEY=VALUE, for example mel.preset=config_96"),
        ("=3", "write KEY=VALUE, for example mel.preset=config_96"),
        ("round.0.epoch=3", "unknown key round.0.epoch; did you mean 'epochs'? The nearest of "),
        ("round.0.epochs=many", 'round.0.epochs = "many": must be a whole number of at least 1'),
        (
            "round.2.epochs=3",
            "round has no 2. There are the numbers 0 to 1 and the names first, second",
        ),
        ("round.-1.epochs=3", "round has no -1. There are the numbers 0 to 1 and the names"),
        ("round.frist.epochs=3", "round has no frist; did you mean 'first'? There are the"),
        ("mel.preset.x=3", "mel.preset is no table, so it has no x"),
        ("mell.preset=config_96", "unknown key mell; did you mean 'mel'? Allowed here: name, "),
        ("seed.x=3", "seed: must be a whole number of at least 0"),
        ("mel.preset=config_97", 'mel.preset = "config_97": no such preset; did you mean '),
        ("round.1.teacher=frist", 'round.1.teacher = "frist": no earlier round has this name; '),
        ("mel.n_fft=1023", "mel.n_fft = 1023: n_fft is 1023: choose an even number"),
        (
            "ensemble.weights=nnsl",
            'ensemble.weights = "nnsl": must be "auto", "mean", "nnls" or "nnls-by-class"; did you '
            "mean 'nnls'?",
        ),
        (
            "ensemble.weights=rank",
            'ensemble.weights = "rank": is a way to blend: write weights = "mean" and '
            'blend = "rank"',
        ),
        ("ensemble.blend=nnls", 'ensemble.blend = "nnls": must be "mean", "power" or "rank"'),
        ("ensemble.power=0", "ensemble.power = 0: must be a number above 0"),
    ],
)
def test_a_wrong_set_is_named_as_it_was_written(refuse: Refuse, setting: str, says: str) -> None:
    (line,) = refuse(GOOD, setting)
    assert line.startswith(f"--set {setting}: {says}")


def test_weights_and_blend_of_the_ensemble_are_chosen_apart(read: Callable[..., Recipe]) -> None:
    ensemble = read(GOOD).ensemble
    assert (ensemble.weights, ensemble.blend, ensemble.power) == ("auto", None, 2.0)
    table = '[ensemble]\nweights = "nnls-by-class"\nblend = "power"\npower = 3\n[mel]'
    ensemble = read(changed("[mel]", table)).ensemble
    assert (ensemble.weights, ensemble.blend, ensemble.power) == ("nnls-by-class", "power", 3.0)


def test_a_mistake_of_the_file_is_not_laid_on_a_set_beside_it(refuse: Refuse) -> None:
    (line,) = refuse(GOOD + "epochs = 0\n", "round.1.batch=4")
    assert line.startswith("r.toml:16: round.1.epochs")


SHARING = """[train]
backbones = ["resnet18"]
epochs = 5
[[round]]
name = "one"
[[round]]
name = "two"
epochs = 7
"""


def test_rounds_share_the_table_train_and_may_say_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(SHARING)
    assert [one.epochs for one in read_recipe(path).round] == [5, 7]
    assert [one.epochs for one in read_recipe(path, ["train.epochs=3"]).round] == [3, 7]


def test_a_mistake_that_rounds_share_is_told_once_where_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(SHARING.replace("epochs = 5", "batch = 0"))
    with pytest.raises(RecipeError) as refused:
        read_recipe(path)
    (line,) = [line for line in str(refused.value).splitlines() if "batch" in line]
    assert line.startswith(f"{path}:3: ")
    path.write_text("train = 3\n" + SHARING.partition("\n[[")[2].join(["[[", ""]))
    with pytest.raises(RecipeError, match="train must be a table"):
        read_recipe(path)


PCEN = """
[mel]
features = ["pcen"]
[train]
backbones = ["resnet10t"]
mixup = { probability = 0.0 }
[[round]]
name = "one"
"""


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("mixup = { probability = 0.1 }", "round.0.mixup.probability = 0.1: does not go with"),
        ("sumix = { probability = 0.1 }", "round.0.sumix.probability = 0.1: does not go with"),
        ("noise = { probability = 0.1 }", "round.0.noise.probability = 0.1: does not go with"),
        ("filter = { probability = 0.1 }", "round.0.filter.probability = 0.1: does not go with"),
        ("band = { probability = 0.1 }", "round.0.band.probability = 0.1: does not go with"),
        ("background = { probability = 0.1 }", "round.0.background.probability = 0.1: does not"),
        ("gain_db = 3", 'round.0.gain_db = 3: does not go with mel.features = ["pcen"], from '),
        (
            'normalise = "floor"',
            'had back: choose "zscore", "minmax", "bins" or "none". Of the aug',
        ),
        (
            "annotated = { mix = 0.5 }",
            'had back: set 0, or mix_as = "replace". Of the augmentation',
        ),
        ("gain_db = 3\nsumix.probability = 1", "had back: set 0 (the same holds for gain_db). Of"),
    ],
)
def test_what_acts_on_power_is_refused_without_it(tmp_path: Path, line: str, says: str) -> None:
    path = write(tmp_path, r=f"{PCEN}{line}\n")
    with pytest.raises(RecipeError) as refused:
        read_recipe(path)
    assert says in str(refused.value)
    assert "shift, padding with silence and mask go with it" in str(refused.value)


def test_what_needs_no_power_goes_with_values(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        r=f"{PCEN}shift.probability = 1\nreverse = 0.5\n"
        '[[round]]\nname = "two"\nteacher = "one"\nmix_as = "replace"\nannotated = {mix = 0.5}',
    )
    assert not read_recipe(path).mel.spec().recovers_power
    path.write_text(path.read_text().replace('mix_as = "replace"', ""))
    with pytest.raises(RecipeError, match="or mix_share = 0"):
        read_recipe(path)


def test_a_round_of_several_times_is_as_many_rounds(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text(
        '[[round]]\nname = "first"\nbackbones = ["resnet10t"]\n'
        '[[round]]\nname = "again"\nbackbones = ["resnet10t"]\nteacher = "first"\niterations = 3\n'
        '[[round]]\nname = "last"\nbackbones = ["resnet10t"]\nteacher = "again"\n'
        'init_from = "again"\niterations = 2\nepochs = 7\n'
        '[[round]]\nname = "on"\nbackbones = ["resnet10t"]\nteacher = "last"\ninit_from = "first"\n'
        "iterations = 2\n"
    )
    recipe = read_recipe(path)
    told = [(one.name, one.teacher, one.init_from) for one in recipe.round]
    assert told == [
        ("first", None, None),
        ("again-1", "first", None),
        ("again-2", "again-1", None),
        ("again", "again-2", None),
        ("last-1", "again", "again"),
        ("last", "last-1", "last-1"),
        ("on-1", "last", "first"),
        ("on", "on-1", "first"),
    ]
    assert {one.iterations for one in recipe.round} == {1}
    assert recipe.round[5].epochs == 7
    assert recipe.members == ("first", "again", "last", "on")


def test_numbers_lie_over_a_preset() -> None:
    spec = Mel(preset="config_256", n_mels=64).spec()
    assert (spec.n_mels, spec.n_fft) == (64, 4096)


def test_every_recipe_of_the_project_is_read(tiny_recipe: Path) -> None:
    shipped = sorted((tiny_recipe.parents[2] / "recipes").glob("*.toml"))
    assert shipped
    for path in [tiny_recipe, *shipped]:
        assert read_recipe(path).round


def write(folder: Path, **texts: str) -> Path:
    for name, text in texts.items():
        (folder / f"{name}.toml").write_text(text)
    return folder / f"{next(iter(texts))}.toml"


THREE_ROUNDS = """\
[train]
backbones = ["resnet10t"]
[[round]]
name = "one"
[[round]]
name = "two"
batch = 8
mixup = { probability = 0.1, alpha = 0.2 }
[[round]]
name = "three"
"""
ONE_ROUND = '[[round]]\nname = "one"\nbackbones = ["resnet10t"]\n'


def test_a_recipe_is_laid_over_its_base(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        over='base = "under.toml"\n[mel]\nn_mels = 40\n[train]\nepochs = 3\n'
        '[[round]]\nname = "other"\n',
        under='base = "lowest.toml"\n[mel]\nn_mels = 64\nhop_length = 320\n',
        lowest='name = "lowest"\nseed = 7\n[train]\nbackbones = ["resnet10t"]\nbatch = 8\n'
        + ONE_ROUND,
    )
    recipe = read_recipe(path, ["mel.f_min=50"])
    assert (recipe.name, recipe.seed) == ("over", 7)
    spec = recipe.mel.spec()
    assert (spec.n_mels, spec.hop_length, spec.f_min) == (40, 320, 50.0)
    assert [(r.name, r.epochs, r.batch) for r in recipe.round] == [("one", 3, 8), ("other", 3, 8)]
    assert [one.name for one in read_recipe(tmp_path / "under.toml").round] == ["one"]


@pytest.mark.parametrize(
    ("own", "settings", "left"),
    [
        ('[mel]\nfeatures = ["cwt"]\n', [], {"scales": 40, "hop_length": 320}),
        ("", ['mel.features=["cwt"]'], {"scales": 40, "hop_length": 320}),
        ('[mel]\nfeatures = ["cwt"]\nscales = 24\n', [], {"scales": 24, "f_min": 50.0}),
        ('[mel]\nfeatures = ["cwt"]\n[train]\n', ['mel.features=["mel"]'], {"n_mels": 40}),
        ('[mel]\nfeatures = ["stft"]\nn_fft = 512\n', [], {"n_fft": 512, "hop_length": 320}),
        ('[mel]\nfeatures = ["pcen", "pcen"]\n', [], None),
        ('[mel]\nfeatures = ["ctw"]\n', [], None),
        ('[mel]\nfeatures = ["cwt"]\npower = 1\n', [], None),
        ('[mel]\nfeatures = ["cwt"]\n', ["mel.n_fft=512"], None),
    ],
)
def test_settings_of_a_front_end_step_aside_for_another(
    tmp_path: Path, own: str, settings: list[str], left: dict[str, float] | None
) -> None:
    path = write(
        tmp_path,
        over='base = "under.toml"\n' + own,
        under="[mel]\nn_mels = 40\nn_fft = 1024\nhop_length = 320\nf_min = 0\n" + ONE_ROUND,
    )
    if left is None:
        with pytest.raises(RecipeError, match=r"mel\.(features|power|n_fft)"):
            read_recipe(path, settings)
    else:
        spec = read_recipe(path, settings).mel.spec().model_dump()
        assert {key: spec[key] for key in left} == left


def test_paths_of_sources_start_from_the_recipe_that_names_them(tmp_path: Path) -> None:
    (tmp_path / "lab").mkdir()
    under = '[[source]]\npath = "field"\nsynonyms = "field/names.csv"\nweight = 0.5\n'
    (tmp_path / "lab/under.toml").write_text(under + '[[source]]\npath = "/far"\n' + ONE_ROUND)
    (tmp_path / "over.toml").write_text('base = "lab/under.toml"\n')
    recipe = read_recipe(tmp_path / "over.toml", ["source.1.classes=all"])
    near, far = recipe.source
    assert (near.path, near.weight) == (str(tmp_path / "lab/field"), 0.5)
    assert near.synonyms == str(tmp_path / "lab/field/names.csv")
    assert (far.path, far.classes) == ("/far", "all")


def test_mistake_in_a_source_is_named_with_its_line(refuse: Refuse) -> None:
    text = f'{GOOD}[[source]]\npath = ""\nwieght = 2\n[[source]]\nweight = 0\n'
    wrong = refuse(text)
    assert any("r.toml:18: unknown key source.0.wieght; did you mean 'weight'?" in w for w in wrong)
    assert any("r.toml:17: source.0.path" in line for line in wrong)
    assert any("r.toml:20: source.1.weight = 0" in line for line in wrong)
    assert len(wrong) == 4


def test_rounds_of_a_name_are_merged_and_others_added_where_they_are_written(
    tmp_path: Path,
) -> None:
    path = write(
        tmp_path,
        over='base = "under"\ndrop_rounds = ["one"]\n'
        '[[round]]\nname = "first"\n'
        '[[round]]\nname = "two"\nmixup = { alpha = 0.3 }\nepochs = 4\n'
        '[[round]]\nname = "one"\nepochs = 9\n',
        under=THREE_ROUNDS + "batch = 4\n",
    )
    rounds = read_recipe(path, ["round.three.epochs=7"]).round
    assert [(r.name, r.batch, r.epochs) for r in rounds] == [
        ("first", 64, 30),
        ("two", 8, 4),
        ("three", 4, 7),
        ("one", 64, 9),
    ]
    assert (rounds[1].mixup.probability, rounds[1].mixup.alpha) == (0.1, 0.3)


def test_shipped_recipes_are_found_by_name_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert read_recipe("mini") == read_recipe("mini.toml")
    assert [r.name for r in read_recipe("mini").round] == ["supervised", "student"]
    path = write(tmp_path, mini='base = "mini"\nseed = 5\n', over='base = "mini.toml"\n')
    assert read_recipe("mini.toml").seed == read_recipe(path).seed == 5
    assert read_recipe("mini").seed == 0  # a name, where no file is called so
    assert read_recipe("over.toml").seed == 5  # the file beside a recipe goes first
    (tmp_path / "demo").mkdir()
    assert read_recipe("demo").name == "demo"
    with pytest.raises(RecipeError, match=r"^no: there is no such recipe.* are demo, .*, mini, "):
        read_recipe("no")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("epoch = 5", "unknown key train.epoch; did you mean 'epochs'?"),
        ("power = 5", "unknown key train.power; did you mean 'label.power'?"),
        ("epochs = 0", "train.epochs = 0: must be a whole number of at least 1"),
        ("mixup.alpah = 1", "unknown key train.mixup.alpah; did you mean 'alpha'?"),
        ('weights = "w"', "train.weights = \"w\": needs pretrained = true (in round 'one')"),
    ],
)
def test_mistake_in_train_is_reported_there_once(refuse: Refuse, line: str, message: str) -> None:
    (mistake,) = refuse(THREE_ROUNDS.replace("[train]", f"[train]\n{line}"))
    assert mistake.startswith(f"r.toml:2: {message}")
    (mistake,) = refuse(THREE_ROUNDS, f"train.{line.replace(' ', '')}")
    assert mistake.startswith(f"--set train.{line.replace(' ', '')}: {message}")


@pytest.mark.parametrize(
    ("over", "under", "says"),
    [
        ("base = 3\n", ONE_ROUND, "over.toml:1: base must be the name of a recipe"),
        ('\nbase = "no.toml"\n', ONE_ROUND, "over.toml:2: base = 'no.toml': there is no such "),
        ('base = "over.toml"\n', ONE_ROUND, "over.toml:1: base = 'over.toml' leads back to "),
        ('base = "under.toml"\n', 'base = "over.toml"\n', "under.toml:1: base = 'over.toml' leads"),
        ('base = "under.toml"\n', "sed = 3\n" + ONE_ROUND, "under.toml:1: unknown key sed; did "),
        (
            'base = "under.toml"\n[folds]\ntrain = [9]\n',
            "[folds]\ncount = 3\n" + ONE_ROUND,
            "over.toml:3: folds.train = [9]: name folds from 0 to 2",
        ),
        (
            'base = "under.toml"\n\n[[round]]\nname = "a"\nepoch = 1\n',
            "[train]\nbackbones = []\n" + ONE_ROUND,
            "under.toml:2: train.backbones = []: must be a list of at least 1",
        ),
        ('base = "under.toml"\n', "x = = 3\n", "under.toml:1: not TOML: "),
        (
            'base = "under.toml"\ndrop_rounds = ["ome"]\n',
            ONE_ROUND,
            "over.toml:2: drop_rounds: the base has no round 'ome'; did you mean 'one'? There are",
        ),
        ('base = "under"\ndrop_rounds = 3\n', ONE_ROUND, "over.toml:2: drop_rounds must be a list"),
        ('drop_rounds = ["one"]\n', ONE_ROUND, "over.toml:1: drop_rounds needs base"),
        ('base = "minni"\n', ONE_ROUND, "over.toml:1: base = 'minni': there is no such recipe in "),
        # The rounds of both files, merged: each key is on the line of the file that has it.
        (
            'base = "under"\n[[round]]\nname = "new"\n[[round]]\nname = "two"\nepochs = 0\n',
            THREE_ROUNDS,
            "over.toml:6: round.2.epochs = 0: must be",
        ),
        (
            'base = "under"\n[[round]]\nname = "new"\n[[round]]\nname = "two"\nepochs = 3\n',
            THREE_ROUNDS.replace("batch = 8", "batch = 0"),
            "under.toml:7: round.2.batch = 0: must be",
        ),
    ],
)
def test_a_mistake_is_named_in_the_file_that_makes_it(
    tmp_path: Path, over: str, under: str, says: str
) -> None:
    path = write(tmp_path, over=over, under=under)
    with pytest.raises(RecipeError) as refused:
        read_recipe(path)
    lines = str(refused.value).replace(f"{tmp_path}/", "").split("\n")
    assert any(line.startswith(says) for line in lines), lines


def test_speed_of_the_files_is_that_of_the_front_end() -> None:
    assert Mel(speed=10.0).spec(3.0) == MelSpec(speed=10.0)
    assert Mel(speed="auto").spec(3.0) == MelSpec(speed=3.0, speed_from="file")
    assert Mel(channels="first", preset="config_96").spec() == MelSpec(n_mels=96, channels="first")
    with pytest.raises(ValidationError, match="greater than 0"):
        Mel(speed=0)
