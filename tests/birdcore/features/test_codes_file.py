"""Codes in a temporary file are read as those in memory."""

import numpy as np
import pytest
import torch

from birdcore.features.codes_file import file_codes
from birdcore.features.mel import MelSpec
from birdcore.features.recordings import Recordings


@pytest.mark.parametrize("dtype", ["uint8", "float16"])
def test_spans_and_floors_are_those_of_memory(dtype: str) -> None:
    spec = MelSpec(n_mels=8)
    scale = spec.scale(dtype)
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 100, (40_001, 8)).astype(dtype)
    cpu = torch.device("cpu")
    blocks = (codes[first : first + 7_000] for first in range(0, len(codes), 7_000))
    filed = file_codes("day.wav", blocks, spec, scale, cpu)
    whole = torch.tensor([len(codes)])
    memory = Recordings(
        ("day.wav",), torch.from_numpy(codes), torch.zeros_like(whole), whole, spec, scale
    )
    assert (filed.names, filed.lengths.tolist()) == (memory.names, [40_001])
    for first, stop in ((0, 10), (39_000, 40_001), (12_345, 30_000)):
        one, other = (each.span(0, first, stop, with_floor=True) for each in (filed, memory))
        assert torch.equal(one.codes, other.codes)
        assert one.floor_codes is not None
        assert other.floor_codes is not None
        assert torch.equal(one.floor_codes, other.floor_codes)
        assert one.lengths.tolist() == [stop - first]
