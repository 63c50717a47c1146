"""Threads that each compute by torch: how many further threads torch may use within one.

Torch's operators take all cores by default. Where several threads compute at once, the helpers of
one wait for those of the other: MKL's transform of a second of audio took 10 ms by two threads and
4 ms by one (benchmarks/results/detect.md).
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch


@contextmanager
def torch_pool(threads: int, name: str, torch_threads: int = 1) -> Iterator[ThreadPoolExecutor]:
    """A pool of threads, within each of which torch uses `torch_threads`.

    MKL keeps one number for the process: while several pools are open, the latest counts for its
    operators. Afterwards it is the caller's again. What has not begun then is cancelled.
    """
    before = torch.get_num_threads()
    pool = ThreadPoolExecutor(threads, name, torch.set_num_threads, (torch_threads,))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(before)
