import threading
import time
from datetime import UTC, datetime
from email.utils import format_datetime
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdcore.archives.pacing import LONGEST_S, backoff_s, pace, retry_after_s

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


@given(st.lists(st.floats(0, 5), max_size=30), st.floats(0.1, 100))
def test_requests_are_never_closer_than_the_pace(gaps: list[float], per_second: float) -> None:
    now, asked = 0.0, []

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    wait = pace(per_second, lambda: now, sleep)
    for gap in gaps:
        now += gap
        wait()
        asked.append(now)
    assert all(b - a >= 1 / per_second - 1e-9 for a, b in pairwise(asked))
    late = np.cumsum(gaps) if gaps else np.zeros(0)
    assert all(
        at <= free + len(gaps) / per_second + 1e-9 for at, free in zip(asked, late, strict=True)
    )


def test_threads_share_a_pace() -> None:
    wait = pace(200)
    begin = time.monotonic()
    threads = [threading.Thread(target=wait) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert time.monotonic() - begin >= 19 / 200


@given(st.integers(0, 2000), st.integers(0, 2**32))
def test_pauses_grow_to_a_limit(attempt: int, seed: int) -> None:
    full = min(LONGEST_S, 2.0 ** min(attempt, 100))
    assert full / 2 <= backoff_s(attempt, np.random.default_rng(seed)) <= full


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120),
        (" 0 ", 0),
        ("9" * 5000, float("inf")),
        (format_datetime(datetime(2026, 3, 1, 12, 1, 30, tzinfo=UTC), usegmt=True), 90),
        ("Sunday, 01-Mar-26 12:00:10 GMT", 10),
        ("Sun Mar  1 12:00:10 2026", 10),
        (format_datetime(datetime(2026, 3, 1, 11, tzinfo=UTC), usegmt=True), 0),
        ("", 0),
        ("-5", 0),
        ("1.5", 0),
        ("soon", 0),
        ("Fri, 99 Foo 2026", 0),
        ("²", 0),
    ],
)
def test_retry_after_is_seconds_or_a_date(text: str, seconds: float) -> None:
    assert retry_after_s(text, NOW) == seconds
