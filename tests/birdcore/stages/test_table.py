"""The table of stages agrees with the files beside it."""

from importlib import import_module
from pathlib import Path

import pytest

import birdcore.stages
from birdcore.stages.table import STAGES, load_run

FOLDER = Path(birdcore.stages.__file__).parent
NO_STAGES = {"__init__", "table", "training_process"}


def test_each_file_is_a_stage_of_the_table() -> None:
    assert {path.stem for path in FOLDER.glob("*.py")} - NO_STAGES == set(STAGES)


@pytest.mark.parametrize("name", STAGES)
def test_load_run_gives_the_run_of_the_module(name: str) -> None:
    assert load_run(name) is import_module(STAGES[name].module).run


def test_load_run_refuses_an_unknown_stage() -> None:
    with pytest.raises(KeyError):
        load_run("no_stage")
