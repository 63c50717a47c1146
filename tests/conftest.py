"""Fixtures that every test may use."""

import os
from pathlib import Path

import pytest

# Before torch is imported: on small inputs two threads wait for each other more than they help.
os.environ.setdefault("OMP_NUM_THREADS", "1")

SHARED = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real recordings that developers have beside the checkout."""
    if not SHARED.is_dir():
        pytest.skip("needs the developers' real recordings in ../shared/data")
    return SHARED
