"""How far the work on many files is, how fast it goes, and how long it will still take."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from birdcore.text import plain_text
from flows.terminal import err

if TYPE_CHECKING:
    from birdcore.detection.progress import Progress

LINE_S = 30.0
"""Time between lines of progress where there is no terminal."""


@contextmanager
def progress_of_files() -> Iterator[Callable[[Progress], None]]:
    """Shows how far the work is: in a line that changes, else in a line every half minute."""
    began = time.monotonic()
    first: list[Progress] = []

    def text(now: Progress) -> str:
        first[:] = first or [now]
        return progress_line(now, first[0], time.monotonic() - began)

    if err.is_terminal:
        with err.status("detecting") as status:
            yield lambda now: status.update(text(now))
        return
    said = began

    def show(now: Progress) -> None:
        nonlocal said
        line = text(now)
        if time.monotonic() - said >= LINE_S:
            said = time.monotonic()
            err.print(line)

    yield show


@contextmanager
def progress_of(what: str) -> Iterator[Callable[[int, int, str], None]]:
    """Shows how many are done, how many there are and the last one's name; called by any thread."""
    said = time.monotonic()

    def line(done: int, total: int, name: str) -> str:
        return f"{what}: {done:,} of {total:,} {plain_text(name)}".rstrip()

    if err.is_terminal:
        with err.status(what) as status:
            yield lambda *now: status.update(line(*now))
        return

    def show(*now: Any) -> None:
        nonlocal said
        if time.monotonic() - said >= LINE_S:
            said = time.monotonic()
            err.print(line(*now))

    yield show


def progress_line(now: Progress, first: Progress, seconds: float) -> str:
    """Files done, speed and time left, from what all processes have done since the beginning."""
    line = f"{now.files:,} of {now.all_files:,} files"
    if now.read_s:
        line += f", {now.read_s / 3600:.1f} h of audio read"
    elif now.checked_s:
        line += f", {now.checked_s / 3600:.1f} h of audio checked"
    if now.own_seconds and seconds:
        hours = f"{now.own_seconds / 3600:.1f} h of audio"
        line += f", {hours} at {now.own_seconds / seconds:.0f} × real time"
    if (done := first.left_bytes - now.left_bytes) > 0:
        line += f", {duration(seconds * now.left_bytes / done)} left"
    return line


def duration(seconds: float) -> str:
    """Rounded to what matters.

    Example:
        >>> duration(40), duration(200), duration(10_000)
        ('40 s', '3 min', '2 h 47 min')
    """
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
