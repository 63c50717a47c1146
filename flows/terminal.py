"""The terminal that a person sits at: where words go, and what Ctrl-C does.

All that is printed goes through `out` or `err`, where it is text and nothing else: no `[markup]`
and no `:emoji:` of a recording's name is taken for ours, and no escape sequence, carriage return or
change of direction of an error message reaches the terminal.
"""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderHook, RenderResult
from rich.segment import Segment

from birdcore.text import plain_lines


class _Plain:
    """What rich prints, without characters that a terminal obeys; rich's own control stays."""

    def __init__(self, inner: ConsoleRenderable) -> None:
        self.inner = inner

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for segment in console.render(self.inner, options):
            if segment.control:
                yield segment
            else:
                yield Segment(plain_lines(segment.text), segment.style)


class _MakePlain(RenderHook):
    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        return [_Plain(one) for one in renderables]


def console(*, stderr: bool = False, width: int | None = None) -> Console:
    """A console that prints others' words as they are, and as words only."""
    made = Console(
        stderr=stderr, highlight=False, soft_wrap=True, markup=False, emoji=False, width=width
    )
    made.push_render_hook(_MakePlain())
    return made


out = console(width=None if sys.stdout.isatty() else 160)
err = console(stderr=True)

INTERRUPTED = 130
STOPPED = "stopped; the same command goes on where it was"
STOP_S = 5.0
"""After Ctrl-C, so long for steps to end and to be reported; then the process goes, come what may:
what is published is whole."""


def quiet_prefect(debug: bool) -> None:
    """Before Prefect is imported: no tracebacks on the console, and bars instead of lines."""
    if not debug:
        name = "PREFECT_LOGGING_HANDLERS_CONSOLE_CLASS"
        os.environ.setdefault(name, "flows.console.PlainConsole")
        if err.is_terminal:
            os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")


@contextmanager
def ends_on_interrupt() -> Iterator[None]:
    """Ctrl-C ends the run in good order within moments, and pressed again at once."""

    def stop(signum: int, frame: FrameType | None) -> None:
        last = threading.Timer(STOP_S, _leave)
        last.daemon = True
        last.start()
        signal.signal(signal.SIGINT, lambda *_: _leave())
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _leave() -> None:
    err.print(STOPPED)
    os._exit(INTERRUPTED)
