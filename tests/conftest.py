"""Fixtures that every test may use."""

import os
from pathlib import Path

import pytest

# Before torch is imported: on small inputs two threads wait for each other more than they help.
os.environ.setdefault("OMP_NUM_THREADS", "1")

SHARED = Path(__file__).parents[2] / "shared" / "data"
TINY_RECIPE = Path(__file__).parent / "recipes" / "tiny.toml"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real recordings that developers have beside the checkout."""
    if not SHARED.is_dir():
        pytest.skip("needs the developers' real recordings in ../shared/data")
    return SHARED


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BirdCLEF+ folder of made-up birds, small enough for a whole run; copy it to change it."""
    from birdcore.demo.folder import DemoSettings, write_folder

    root = tmp_path_factory.mktemp("tiny") / "data"
    write_folder(
        root,
        DemoSettings(species=3, recordings_per_species=3, unlabelled=2, test=2, soundscape_s=15),
    )
    return root


@pytest.fixture(scope="session")
def tiny_recipe() -> Path:
    """The recipe for `tiny_data`: two rounds of an epoch or two."""
    return TINY_RECIPE
