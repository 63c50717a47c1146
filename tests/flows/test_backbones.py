"""Backbones that can't be trained are refused before any recording is decoded."""

from pathlib import Path

import pytest

from birdcore.config import read_recipe
from birdcore.sources.birdclef import scan
from birdcore.store.store import Store
from flows.backbones import prepare_backbones
from flows.dag import build_dag


def prepare(data: Path, recipe: Path, folder: Path, backbone: str, crop: str = "2.0") -> None:
    text = recipe.read_text().replace("test_resnet", backbone)
    changed = folder / "changed.toml"
    changed.write_text(text.replace("crop_s = 2.0", f"crop_s = {crop}"))
    store, parsed = Store(folder / "store"), read_recipe(changed)
    dag = build_dag(parsed, scan(data, store), store, keep_shards=False)
    prepare_backbones(parsed, dag, dag.steps, store)


@pytest.mark.parametrize("backbone", ["test_resnet", "test_vit", "test_convnext"])
def test_what_fits_is_taken(
    tiny_data: Path, tiny_recipe: Path, tmp_path: Path, backbone: str
) -> None:
    prepare(tiny_data, tiny_recipe, tmp_path, backbone)


@pytest.mark.parametrize(
    ("backbone", "crop", "message"),
    [
        ("test_resnit", "2.0", r"backbones.0 = .test_resnit.: there is no such .*test_resnet, "),
        (
            "nest_tiny",
            "2.0",
            r"'first' .*crop_s = 2; 32 bins of \[mel\].* square inputs",
        ),
        (
            "test_vit",
            "2.0\nwindow_s = 4.0",
            r"'first' \(backbones; crop_s = 2, window_s = 4; .*built for one length of input",
        ),
    ],
)
def test_what_does_not_fit_is_refused_naming_settings(
    tiny_data: Path, tiny_recipe: Path, tmp_path: Path, backbone: str, crop: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        prepare(tiny_data, tiny_recipe, tmp_path, backbone, crop)


def test_windows_of_another_length_go_with_convolutional_nets(
    tiny_data: Path, tiny_recipe: Path, tmp_path: Path
) -> None:
    prepare(tiny_data, tiny_recipe, tmp_path, "test_mambaout", "2.0\nwindow_s = 4.0")


def test_a_run_without_trainings_checks_nothing(
    tiny_data: Path, tiny_recipe: Path, tmp_path: Path
) -> None:
    store, recipe = Store(tmp_path / "store"), read_recipe(tiny_recipe)
    dag = build_dag(recipe, scan(tiny_data, store), store, keep_shards=False)
    prepare_backbones(recipe, dag, dag.of("clean"), store)
