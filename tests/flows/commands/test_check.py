"""`birdflow check` as a user gives it."""

from pathlib import Path

import pytest

from birdcore.config import read_recipe
from flows.cli import main
from tests.flows.test_imports import heavy_imports


def test_a_starter_recipe_is_written_once(
    tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "new" / "mine.toml"
    assert main(["check", str(tiny_data), "--write", str(recipe)]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("layout     BirdCLEF+ 2025 and 2026 (there are train.csv, ")
    assert f"recipe     {recipe}" in printed
    assert [each.name for each in read_recipe(recipe).round] == ["supervised", "student"]
    recipe.write_text("mine")
    assert main(["check", str(tiny_data), "--write", str(recipe)]) == 2
    assert "is there already" in capsys.readouterr().err
    assert recipe.read_text() == "mine"


def test_a_page_is_written(
    tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page" / "index.html"
    assert main(["check", str(tiny_data), "--html", str(page.parent)]) == 0
    assert f"page       {page}" in capsys.readouterr().out
    assert "<title>birdflow check: data</title>" in page.read_text()
    page.write_text("mine")
    assert main(["check", str(tiny_data), "--html", str(page)]) == 1
    assert "is no page of a check" in capsys.readouterr().err


def test_a_folder_that_cant_be_used_has_exit_code_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "mine.toml"
    (tmp_path / "data").mkdir()
    assert main(["check", str(tmp_path / "data"), "--write", str(recipe)]) == 1
    printed = capsys.readouterr()
    assert "unusable" in printed.out
    assert printed.err.endswith("can't be trained on as it is\n")
    assert not recipe.exists()


def test_plan_takes_the_starter_recipe(
    tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "mine.toml"
    assert main(["check", str(tiny_data), "--write", str(recipe)]) == 0
    store = ["--store", str(tmp_path / "store")]
    assert main(["plan", str(recipe), "--data", str(tiny_data), *store]) == 0
    assert "train supervised resnet10t fold 1" in capsys.readouterr().out


def test_check_imports_nothing_heavy(tiny_data: Path) -> None:
    assert heavy_imports("check", tiny_data) == set()
