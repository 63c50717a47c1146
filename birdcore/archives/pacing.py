"""Request pacing: how long to wait before a request, and before it is repeated."""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import numpy as np

LONGEST_S = 60.0
"""A pause grows no further: an archive that is back is used again within a minute."""


def pace(
    per_second: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Callable[[], None]:
    """A function that returns at most `per_second` (above 0) times a second, over all threads."""
    lock, next_at = threading.Lock(), clock()

    def wait() -> None:
        nonlocal next_at
        with lock:
            now = clock()
            mine = max(now, next_at)
            next_at = mine + 1.0 / per_second
        if mine > now:
            sleep(mine - now)

    return wait


def backoff_s(attempt: int, rng: np.random.Generator) -> float:
    """Seconds to wait after attempt 0, 1, …: twice as long each time, less a random half."""
    return float(min(LONGEST_S, 2.0 ** min(attempt, 30)) * (0.5 + 0.5 * rng.random()))


def retry_after_s(text: str, now: datetime) -> float:
    """The seconds in a Retry-After of seconds or of an HTTP date (RFC 9110, 10.2.3); 0 for none."""
    text = text.strip()
    if text.isascii() and text.isdecimal():
        return float(text)
    try:
        date = parsedate_to_datetime(text)
        date = date if date.tzinfo else date.replace(tzinfo=UTC)
        return max(0.0, (date - now).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return 0.0
