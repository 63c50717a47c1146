"""How far a task is: bars on a terminal, log lines and Prefect progress artifacts elsewhere."""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from uuid import UUID

import httpx
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.exceptions import MissingContextError
from prefect.logging import get_run_logger
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from birdcore.store.artifact import Progress as Report
from birdcore.text import plain_text
from tasks.stop import check

EVERY_S = 5.0
"""Log lines and updates of artifacts come no more often than this."""

_terminal: Progress | None = None


@contextmanager
def bars_on_terminal() -> Iterator[None]:
    """Show every task of this process as a bar while the context lasts."""
    global _terminal
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[text]}", style="dim", markup=False),
    )
    with Progress(*columns) as bars:
        _terminal = bars
        try:
            yield
        finally:
            _terminal = None


@contextmanager
def progress_of(name: str) -> Iterator[Report]:
    """A function that the stage calls with (done, total, text).

    It raises Stopped where the run is to end.
    """
    with nullcontext(_Lines(name)) if _terminal is None else _bar(_terminal, name) as show:

        def report(done: int, total: int, text: str) -> None:
            check()
            show(done, total, text)

        yield report


@contextmanager
def _bar(bars: Progress, name: str) -> Iterator[Report]:
    bar = bars.add_task(plain_text(name), total=None, text="")

    def show(done: int, total: int, text: str) -> None:
        bars.update(bar, completed=done, total=total, text=plain_text(text))

    try:
        yield show
    finally:
        bars.remove_task(bar)


class _Lines:
    """Reports by log line and progress artifact, at most every EVERY_S seconds."""

    def __init__(self, name: str) -> None:
        self.name = plain_text(name)
        self.logger = _logger()
        self.artifact: UUID | None = None
        self.last = time.monotonic()
        self.lock = threading.Lock()

    def __call__(self, done: int, total: int, text: str) -> None:
        with self.lock:
            now = time.monotonic()
            # A task that is over within seconds needs no progress.
            if now - self.last < EVERY_S and not (done == total and self.artifact):
                return
            self.last = now
        self.logger.info("%s: %d of %d %s", self.name, done, total, plain_text(text))
        with suppress(httpx.TransportError):  # work goes on while the server is away
            self._show(100.0 * done / max(total, 1))

    def _show(self, percent: float) -> None:
        if self.artifact is None:
            created = create_progress_artifact(percent, key="progress", description=self.name)
            assert isinstance(created, UUID)
            self.artifact = created
        else:
            update_progress_artifact(self.artifact, progress=percent, description=self.name)


def _logger() -> logging.Logger | logging.LoggerAdapter[logging.Logger]:
    try:
        return get_run_logger()
    except MissingContextError:
        return logging.getLogger("birdflow")
