"""What the Prefect UI is given."""

import re

import pytest

from birdcore.stages.table import STAGES
from flows.ui_artifacts import artifact_key


@pytest.mark.parametrize("name", [*STAGES, "learnt train one resnet10t.a1_in1k fold 0"])
def test_artifact_key_is_one_that_prefect_takes(name: str) -> None:
    assert re.fullmatch(r"[a-z0-9-]+", artifact_key(name))
