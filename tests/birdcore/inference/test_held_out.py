"""Held-out recordings know the fold that they were held out with."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from birdcore.inference.held_out import groups_of, held_out_names, read_held_out
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


def test_windows_of_a_recording_are_one_part(tmp_path: Path) -> None:
    names = [f"{r}#t={at},{at + 5}" for r in "abcdefg" for at in (0, 5, 10)]
    held_out = read_held_out({"one": [trained(tmp_path / "one", [*names, "h", "a"])]})
    assert held_out is not None
    part_of = dict(zip(held_out.recordings, held_out.parts.tolist(), strict=True))
    assert {part_of[f"a#t={at},{at + 5}"] for at in (0, 5, 10)} == {part_of["a"]}
    assert len(set(part_of.values())) == 5
    assert groups_of(["b", "a#1#t=0,5", "a#1#t=5,10", "b"]).tolist() == [0, 1, 1, 0]


def test_held_out_of_one_kind() -> None:
    names = ["a.ogg", "b.ogg#t=0,5"]
    assert held_out_names(names, "all") == (names, None)
    assert held_out_names(names, "clips") == (["a.ogg"], None)
    assert held_out_names(names, "annotated") == (["b.ogg#t=0,5"], None)
    kept, note = held_out_names(names[:1], "annotated")
    assert kept == names[:1]
    assert note is not None
    assert "no windows of annotated recordings" in note
    assert held_out_names([], "annotated") == ([], None)
