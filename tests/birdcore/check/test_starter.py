"""Starter recipes: what data and machine change in them."""

from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from birdcore.check import machine
from birdcore.check.inspect import check_folder
from birdcore.check.machine import Machine, this_machine
from birdcore.config import Recipe, read_recipe
from birdcore.taxa import group_of_class

CPU = Machine(2, 8 * 2**30)
GPU = Machine(16, 128 * 2**30, (("NVIDIA H200", 139 * 2**30),))
SMALL_GPU = Machine(8, 16 * 2**30, (("NVIDIA RTX 2070", 8 * 2**30),))


def recordings(root: Path, rate: int, seconds: float = 3.0, group: str = "") -> Path:
    """Two classes of four recordings."""
    for number, name in enumerate(["one/a", "one/b", "one/c", "one/d"] * 2):
        path = root / f"{name.replace('one', 'two') if number > 3 else name}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(number).normal(0, 0.1, int(rate * seconds))
        sf.write(path, noise, rate)
    if group:
        (root / "classes.csv").write_text(f"label,group\none,{group}\ntwo,{group}\n")
    return root


def starter(root: Path, machine: Machine) -> tuple[str, Recipe]:
    check = check_folder(root, machine=machine)
    path = root / "starter.toml"
    path.write_text(check.recipe)
    return check.recipe, read_recipe(path)


@pytest.mark.parametrize(
    ("machine", "base", "folds", "batch"),
    [
        (CPU, "mini", (0, 1), 32),
        (GPU, "gpu", (0, 1, 2, 3), 64),
        (SMALL_GPU, "gpu", (0, 1, 2, 3), 32),
    ],
)
def test_the_machine_decides_the_base(
    tmp_path: Path, machine: Machine, base: str, folds: tuple[int, ...], batch: int
) -> None:
    text, recipe = starter(recordings(tmp_path, 32_000), machine)
    assert f'base = "{base}"' in text
    assert recipe.folds.count == 4
    assert recipe.folds.trained == folds
    (only,) = recipe.round  # no soundscapes: no student
    assert only.batch == batch
    assert only.background.probability == 0
    assert only.repeat == 30
    assert recipe.mel.spec().sample_rate == 32_000


@pytest.mark.parametrize(
    ("rate", "group", "sample_rate", "f_max"),
    [
        (22_050, "", 22_050, 11_025),
        (44_100, "crickets", 44_100, 22_050),
        (256_000, "bats", 256_000, 125_000),
    ],
)
def test_rates_and_groups_decide_the_front_end(
    tmp_path: Path, rate: int, group: str, sample_rate: int, f_max: float
) -> None:
    text, recipe = starter(recordings(tmp_path, rate, group=group), CPU)
    spec = recipe.mel.spec()
    assert spec.sample_rate == sample_rate
    assert recipe.mel.f_max == f_max
    assert (f"# For {group or 'birds'}" in text) or group == "crickets"
    crop_s = recipe.round[0].crop_s
    assert crop_s == (1.0 if group == "bats" else 2.5)
    assert recipe.predict.step_s <= crop_s


@pytest.mark.parametrize(
    ("others", "says", "f_min"),
    [
        ("Nemobiussylvestris", "# For Insecta, by the names of classes: no table names", 500),
        ("wren", "# For Aves, Insecta, by the names of classes: no table names", 50),
    ],
)
def test_names_of_classes_tell_groups_where_no_table_does(
    tmp_path: Path, others: str, says: str, f_min: float
) -> None:
    root = recordings(tmp_path, 44_100)
    (root / "one").rename(root / "Grylluscampestris")
    (root / "two").rename(root / others)
    text, recipe = starter(root, CPU)
    assert says in text
    assert (recipe.mel.f_min, recipe.mel.f_max) == (f_min, 22_050)


@pytest.mark.parametrize("bird", ["Grasshopper Sparrow", "Bat Hawk", "Batis capensis", "Hylacola"])
def test_birds_called_like_others_are_birds(bird: str) -> None:
    assert group_of_class(bird) == ""


def test_short_recordings_have_short_crops(tmp_path: Path) -> None:
    _, recipe = starter(recordings(tmp_path, 32_000, seconds=1.7), GPU)
    assert recipe.round[0].crop_s == 1.5


def test_names_cannot_break_the_recipe(tmp_path: Path) -> None:
    root = tmp_path / 'a "b"\n\\[x]'
    recordings(root, 16_000)
    (root / "one" / "a.Table.1.selections.txt").write_text(
        "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)\n"
        "1\tSpectrogram 1\t1\t0.5\t1.5\t100\t2000\n"
    )
    text, recipe = starter(root, CPU)
    assert recipe.data.annotations.label == 'a "b" \\[x]'
    assert text.startswith('# A starter recipe for a "b" \\[x]: recordings with tables')


def test_gpus_are_what_the_driver_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'NVIDIA H200, 143771'\n")
    program.chmod(0o755)
    monkeypatch.setattr(machine.shutil, "which", lambda name: str(program))
    assert str(this_machine()).endswith("NVIDIA H200 of 140 GiB")
    program.write_text("#!/bin/sh\necho 'NVIDIA H200, [N/A]'\n")
    assert this_machine().gpus == ()
    monkeypatch.setattr(machine.shutil, "which", lambda name: None)
    assert str(this_machine()).endswith("no GPU")


def test_bats_at_a_low_rate_are_slowed_down(tmp_path: Path) -> None:
    text, recipe = starter(recordings(tmp_path / "bats", 44_100, 12.0, group="bats"), CPU)
    assert "speed = 10  # assumed" in text
    assert recipe.mel.spec().sample_rate == 384_000
    assert recipe.mel.f_max == 125_000
    assert recipe.round[0].crop_s == 10.0  # a second of life
    text, recipe = starter(recordings(tmp_path / "birds", 44_100), CPU)
    assert "speed" not in text
