"""What a teacher that listens to clips makes of their labels."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from birdcore.features.mel import MelSpec
from birdcore.features.recordings import Recordings
from birdcore.features.scale import Scale
from birdcore.training.targets import ClipTargets, combine_targets, read_clip_targets

SPEC = MelSpec(n_mels=4)
STARTS_S = {"b": [0.0], "a": [0.0, 1.0, 2.0, 2.4], "c": [0.0, 1.0]}
NAMES = ("a", "b", "c")


def clips() -> Recordings:
    none = torch.zeros(0, 4, dtype=torch.uint8)
    return Recordings(NAMES, none, torch.zeros(3), torch.zeros(3), SPEC, Scale())


def label_table(path: Path, names: str) -> Path:
    """Class 0 is the start in tenths of seconds, class 1 tells the clip."""
    rows = [(name, start) for name in names for start in STARTS_S.get(name, [0.0])]
    pd.DataFrame(
        {
            "recording": [name for name, _ in rows],
            "start": [start for _, start in rows],
            "labels": [np.array([s / 10, ord(n) / 200], np.float32) for n, s in rows],
        }
    ).to_parquet(path)
    return path


@pytest.fixture
def told(tmp_path: Path) -> ClipTargets:
    # Shards in another order than the clips, and one clip that has no mel.
    return read_clip_targets(
        clips(), [label_table(tmp_path / "0", "bz"), label_table(tmp_path / "1", "ca")]
    )


def test_a_crop_has_what_was_said_of_the_segments_around_it(told: ClipTargets) -> None:
    seconds = {0: [0.0, 0.25, 1.0, 1.9, 2.2, 2.4, 7.0], 1: [0.0, 3.0], 2: [0.5, 1.5]}
    for row, at in seconds.items():
        starts = STARTS_S[NAMES[row]]
        offsets = torch.tensor(at) * SPEC.frame_rate
        said = told.at(torch.full((len(at),), row), offsets)
        expected = np.interp(at, starts, np.array(starts) / 10)
        np.testing.assert_allclose(said[:, 0], expected, atol=1e-6)
        np.testing.assert_allclose(said[:, 1], ord(NAMES[row]) / 200, atol=1e-6)


def test_rows_of_a_batch_are_told_each_by_itself(told: ClipTargets) -> None:
    rows, offsets = torch.tensor([2, 0, 1, 0]), torch.tensor([30, 0, 5, 140])
    together = told.at(rows, offsets)
    alone = torch.cat([told.at(rows[i : i + 1], offsets[i : i + 1]) for i in range(4)])
    assert torch.equal(together, alone)


def test_a_clip_that_nobody_listened_to_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="labelled no segment of b"):
        read_clip_targets(clips(), [label_table(tmp_path / "0", "ac")])


@given(st.floats(0, 1), st.sampled_from([0.0, 0.3, 1.0]))
def test_targets_equal_their_formulas(p: float, hard: float) -> None:
    said, label = (torch.tensor([[x]], dtype=torch.float64) for x in (p, hard))
    enriched = 0.7 * min(1.0, p * (p > 0.3) + p**2) + 0.3 * hard
    assert float(combine_targets(label, said, "enriched")) == pytest.approx(enriched)
    assert float(combine_targets(label, said, "hard")) == hard
    assert float(combine_targets(label, said, "soft")) == p
