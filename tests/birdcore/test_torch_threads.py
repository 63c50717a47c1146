"""Pools within whose threads torch uses a number of its own."""

import time
from concurrent.futures import Future

import pytest
import torch

from birdcore.torch_threads import torch_pool


@pytest.mark.parametrize("within", [1, 2, 5])
def test_threads_within(within: int) -> None:
    before = torch.get_num_threads()
    with torch_pool(3, "some", within) as pool:
        jobs = [pool.submit(torch.get_num_threads) for _ in range(20)]
        assert {job.result() for job in jobs} == {within}
        assert torch.get_num_threads() == before
    assert torch.get_num_threads() == before
    with torch_pool(1, "some", before) as pool:  # what new threads begin with
        assert pool.submit(torch.get_num_threads).result() == before


def test_kept_after_error() -> None:
    before = torch.get_num_threads()
    waiting: list[Future[None]] = []

    def fails() -> None:
        with torch_pool(1, "some", before + 1) as pool:
            waiting.extend(pool.submit(time.sleep, 0.05) for _ in range(100))
            raise KeyError

    with pytest.raises(KeyError):
        fails()
    assert torch.get_num_threads() == before
    assert sum(one.cancelled() for one in waiting) > 90
