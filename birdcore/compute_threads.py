"""Threads that each compute: how many further threads torch and NumPy may use within one.

Torch's operators and NumPy's products of matrices (its BLAS) take all cores by default. Where
several threads compute at once, the helpers of one wait for those of the other: MKL's transform of
a second of audio took 10 ms by two threads and 4 ms by one (benchmarks/results/detect.md), and a
product of 128 frames with 16 mel filters 2.2 ms and .02 ms (benchmarks/results/hot-paths.md). They
run ahead of whoever reads their answers, by no more than memory allows.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from math import inf
from typing import TypeVar

import torch
from threadpoolctl import threadpool_limits

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")


def use_threads(threads: int) -> None:
    """Of torch in the calling thread, and of NumPy's and SciPy's BLAS in the process, from now on.

    BLAS keeps one number for the process: for stages that run beside each other it is the same.
    """
    torch.set_num_threads(threads)
    threadpool_limits(threads, user_api="blas")


@contextmanager
def torch_pool(threads: int, name: str, torch_threads: int = 1) -> Iterator[ThreadPoolExecutor]:
    """A pool of threads, within each of which torch uses `torch_threads`, and BLAS one.

    MKL and BLAS keep one number each for the process: while several pools are open, the latest
    counts. Afterwards it is the caller's again. What has not begun then is cancelled.
    """
    before = torch.get_num_threads()
    with threadpool_limits(1, user_api="blas"):
        pool = ThreadPoolExecutor(threads, name, torch.set_num_threads, (torch_threads,))
        try:
            yield pool
        finally:
            pool.shutdown(cancel_futures=True)
            torch.set_num_threads(before)


def run_ahead(
    pool: ThreadPoolExecutor,
    compute: Callable[[Asked], Answer],
    asked: Iterable[Asked],
    threads: int,
    size: Callable[[Asked], float] = lambda _: 0.0,
    most: float = inf,
) -> Iterator[tuple[Asked, Answer]]:
    """What was asked with its answer, in order, whichever is computed first.

    Args:
        pool: What computes.
        compute: Gives the answer.
        asked: It is read as answers are, so that memory is bounded.
        threads: How many answers are computed or wait while the reader has another.
        size: How much memory an answer takes.
        most: Of memory, for all of them; a single one may take more.
    """
    waiting: deque[tuple[Asked, Future[Answer]]] = deque()
    held = 0.0

    def oldest() -> tuple[Asked, Answer]:
        nonlocal held
        one, future = waiting.popleft()
        held -= size(one)
        return one, future.result()

    for one in asked:
        while waiting and held + size(one) > most:
            yield oldest()
        waiting.append((one, pool.submit(compute, one)))
        held += size(one)
        if len(waiting) > threads:
            yield oldest()
    while waiting:
        yield oldest()
