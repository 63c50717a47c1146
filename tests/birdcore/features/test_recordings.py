"""Recordings: their steady noise, from blocks as from the whole."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from birdcore.features.recordings import median_codes


@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=4),
    st.sampled_from(["uint8", "float16"]),
    st.integers(0, 9),
)
def test_median_codes_equals_torch_median(blocks: list[int], dtype: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    codes = [(rng.integers(0, 20, (n, 4)) * 0.5).astype(dtype) for n in blocks]
    whole = torch.from_numpy(np.concatenate(codes)).float()
    found = median_codes(iter(codes))
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, whole.median(dim=0).values.numpy())
