"""Pools within whose threads torch uses a number of its own, and what they compute ahead."""

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits

from birdcore.compute_threads import run_ahead, torch_pool, use_threads


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


def blas_threads() -> set[int]:
    return {one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"}


@pytest.fixture
def two_of_blas() -> Iterator[None]:
    """What a machine of two cores has, whatever OMP_NUM_THREADS says."""
    with threadpool_limits(2, user_api="blas"):
        if blas_threads() != {2}:
            pytest.skip("needs a BLAS of NumPy that takes threads")
        yield


@pytest.mark.usefixtures("two_of_blas")
def test_blas_has_one_thread_within_a_pool_and_those_of_before_after_it() -> None:
    with torch_pool(3, "some", 4) as pool:
        assert pool.submit(blas_threads).result() == {1} == blas_threads()
    assert blas_threads() == {2}
    with pytest.raises(KeyError), torch_pool(1, "some"):
        raise KeyError
    assert blas_threads() == {2}


@pytest.mark.usefixtures("two_of_blas")
def test_a_task_computes_by_as_many_threads_as_it_is_given() -> None:
    before = torch.get_num_threads()
    try:
        use_threads(3)
        assert torch.get_num_threads() == 3
        use_threads(1)
        assert torch.get_num_threads() == 1
        assert blas_threads() == {1}
    finally:
        torch.set_num_threads(before)


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


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with torch_pool(3, "some") as made:
        yield made


def test_answers_come_in_order_however_long_each_takes(pool: ThreadPoolExecutor) -> None:
    def slow_first(number: int) -> int:
        time.sleep(0.05 if number % 3 == 0 else 0)
        return number * number

    answers = list(run_ahead(pool, slow_first, range(10), 3))
    assert answers == [(number, number * number) for number in range(10)]


@pytest.mark.parametrize(("most", "ahead"), [(1e9, 3), (30, 3), (25, 2), (5, 1)])
def test_no_more_is_read_ahead_than_threads_and_memory_allow(
    pool: ThreadPoolExecutor, most: float, ahead: int
) -> None:
    read: list[int] = []

    def asked() -> Iterator[int]:
        for number in range(20):
            read.append(number)
            yield number

    answers = run_ahead(pool, abs, asked(), 3, lambda _: 10.0, most)
    found = [len(read) - number - 1 for number, _ in answers]
    assert set(found[:-3]) == {ahead}
    assert len(found) == 20


def test_a_fault_in_a_thread_reaches_the_reader(pool: ThreadPoolExecutor) -> None:
    def fails(number: int) -> float:
        return 1 / (number - 2)

    with pytest.raises(ZeroDivisionError):
        list(run_ahead(pool, fails, range(5), 2))
