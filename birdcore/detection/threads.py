"""How many threads a detection uses where it is not told, known without importing any of it."""

import os

MOST_THREADS = 8
"""As many as are taken without being asked for: each may hold a recording of 20 minutes."""


def default_threads() -> int:
    """One a core, up to `MOST_THREADS`."""
    return min(len(os.sched_getaffinity(0)), MOST_THREADS)
