"""Damaged bundles are refused."""

import json
from pathlib import Path

import numpy as np
import pytest

from birdcore.export.kit import bundle as kit
from birdcore.export.kit.base import Refused


def test_arrays_that_a_bundle_lacks_are_named(tmp_path: Path) -> None:
    config = dict.fromkeys(kit.CONFIG_KEYS) | {"format": 1, "front_end": {"name": "mel"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    np.savez(tmp_path / "front_end.npz", power_table=np.zeros(1), response=np.zeros(1))
    with pytest.raises(Refused, match="is damaged: it has no bank, window"):
        kit.read_bundle(tmp_path)
    both = json.dumps(config | {"front_end": {"name": "mel+cwt"}})
    (tmp_path / "config.json").write_text(both)
    with pytest.raises(Refused, match=r"it has no cwt\.hertz, mel\.bank, mel\.window"):
        kit.read_bundle(tmp_path)
