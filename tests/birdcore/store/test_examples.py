"""The examples in docstrings of the store and of the modules beside it."""

import doctest
from importlib import import_module
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    "name",
    ["birdcore.store", "birdcore.store.artifact", "birdcore.text", "birdcore.unicode_names"],
)
def test_examples_are_right(name: str, tmp_path: Path) -> None:
    results = doctest.testmod(import_module(name), extraglobs={"tmp_path": tmp_path})
    assert results.attempted > 0
    assert results.failed == 0
