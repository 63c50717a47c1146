"""Examples in docstrings give what they say."""

import doctest
import importlib
import pkgutil
from pathlib import Path

import pytest

import birdcore

ROOMS = ("audio", "features", "models", "pseudo_labels", "training")
MODULES = [
    f"birdcore.{room}.{module.name}"
    for room in ROOMS
    for module in pkgutil.iter_modules([str(Path(birdcore.__path__[0]) / room)])
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_a_module_run(name: str) -> None:
    assert not doctest.testmod(importlib.import_module(name)).failed


def test_some_modules_have_examples() -> None:
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = [test for name in MODULES for test in finder.find(importlib.import_module(name))]
    assert sum(bool(test.examples) for test in found) >= 10
