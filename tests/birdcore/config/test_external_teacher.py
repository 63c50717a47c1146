"""[external_teacher]: which teachers a recipe may name, and where their files are looked for."""

from pathlib import Path

import pytest

from birdcore.config import RecipeError, read_recipe
from birdcore.config.external_teacher import BIRDNET, ExternalTeacher, shipped_teachers
from birdcore.teachers import TEACHERS

ROUND = '[[round]]\nname = "one"\nbackbones = ["resnet10t"]\n'


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(["[external_teacher]", *lines, ROUND]))
    return path


def read(path: Path, *settings: str) -> ExternalTeacher:
    (table,) = read_recipe(path, settings).external_teacher
    return table


def test_a_recipe_may_name_all_teachers_that_there_are() -> None:
    assert BIRDNET in TEACHERS
    assert shipped_teachers() == ["birdnet-3", "perch-v2"]
    for name in shipped_teachers():
        assert f'"{name}"' in Path("birdcore/config/external_teacher.py").read_text()


def test_paths_start_from_the_recipes_folder(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.toml",
        'teacher = "mine.toml"', 'file = "m.onnx"', 'labels = "/l.txt"', 'synonyms = "s.csv"',
    )  # fmt: skip
    table = read(path)
    assert table.teacher == str(tmp_path / "mine.toml")
    assert table.file == str(tmp_path / "m.onnx")
    assert table.labels == "/l.txt"
    assert table.synonyms == str(tmp_path / "s.csv")
    assert read(path, "external_teacher.file=here.onnx").file == "here.onnx"
    (tmp_path / "below").mkdir()
    above = tmp_path / "below" / "b.toml"
    above.write_text('base = "../a.toml"\n[external_teacher]\nlabels = "own.txt"\n')
    assert Path(read(above).teacher).resolve() == tmp_path / "mine.toml"
    assert read(above).labels == str(tmp_path / "below" / "own.txt")


@pytest.mark.parametrize("name", ["birdnet", "perch-v2"])
def test_a_name_stays_a_name(tmp_path: Path, name: str) -> None:
    assert read(write(tmp_path / "a.toml", f'teacher = "{name}"')).teacher == name


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('teacher = "perch"',
         r'a.toml:2: .*"perch": must be one of birdnet, birdnet-3, perch-v2, or '
         r"the path of a description that ends in \.toml; did you mean 'perch-v2'\?$"),
        ('file = "a.onnx"', "a.toml:2: external_teacher.file.*belongs to a teacher that is desc"),
        ("hop_s = 0", "a.toml:2: .*must be a number above 0"),
        ('unknown = "family"', 'a.toml:2: .*must be "absent" or "genus"'),
        ('synonym = "a.csv"', "a.toml:2: unknown key .*did you mean 'synonyms'"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_told_with_its_line(tmp_path: Path, line: str, says: str) -> None:
    with pytest.raises(RecipeError, match=says):
        read(write(tmp_path / "a.toml", line))
