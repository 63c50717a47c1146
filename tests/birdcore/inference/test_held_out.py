"""Held-out recordings know the fold that they were held out with."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from birdcore.inference.held_out import read_held_out
from birdcore.models.sed import ModelSpec

CLASSES = ("a", "b")


def trained(folder: Path, recordings: list[str]) -> Path:
    """A model that held out these recordings, each of which has class a."""
    folder.mkdir(parents=True)
    shape = ModelSpec(backbone="test_resnet", classes=CLASSES, n_mels=16)
    (folder / "model.json").write_text(shape.model_dump_json())
    rows = [
        {"recording": r, "targets": [1.0, 0.0], "probabilities": [0.7, 0.2]} for r in recordings
    ]
    columns = ["recording", "targets", "probabilities"]
    pd.DataFrame(rows, columns=columns).to_parquet(folder / "held_out.parquet", index=False)
    return folder


@pytest.mark.parametrize("backwards", [False, True])
def test_recordings_of_a_fold_are_a_part(tmp_path: Path, backwards: bool) -> None:
    one = [trained(tmp_path / "one0", ["d", "b"]), trained(tmp_path / "one1", ["c", "a", "x"])]
    two = [trained(tmp_path / "two0", ["b", "d"]), trained(tmp_path / "two1", ["a", "c"])]
    held_out = read_held_out({"one": one[:: -1 if backwards else 1], "two": two})
    assert held_out is not None
    assert held_out.recordings == ("a", "b", "c", "d")
    assert held_out.truth.tolist() == [[True, False]] * 4
    expected = [0, 1, 0, 1] if backwards else [1, 0, 1, 0]
    assert held_out.parts.tolist() == expected


def test_one_fold_is_parted_in_fifths(tmp_path: Path) -> None:
    held_out = read_held_out({"one": [trained(tmp_path / "one", list("abcdefg"))]})
    assert held_out is not None
    np.testing.assert_array_equal(held_out.parts, [0, 1, 2, 3, 4, 0, 1])
    assert read_held_out({"one": [trained(tmp_path / "none", [])]}) is None
