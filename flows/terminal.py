"""The terminal: safe output, progress messages, and Ctrl-C.

All output goes through `out` or `err`, which print text literally. A recording's name may contain
`[markup]` or `:emoji:`, and an error message may contain escape sequences, carriage returns or
bidirectional controls; none of them is interpreted.
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
    """A renderable without control characters, except those that rich adds itself."""

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
        return [_Plain(renderable) for renderable in renderables]


def console(*, stderr: bool = False, width: int | None = None) -> Console:
    """A console that prints untrusted text literally."""
    made = Console(
        stderr=stderr, highlight=False, soft_wrap=True, markup=False, emoji=False, width=width
    )
    made.push_render_hook(_MakePlain())
    return made


out = console(width=None if sys.stdout.isatty() else 160)
err = console(stderr=True)

INTERRUPTED = 130
STOPPED = "stopped; run the same command again to continue"
STOP_S = 5.0
"""Time after Ctrl-C for steps to end and to be reported. Then the process exits in any case, which
is safe: artifacts are published atomically."""
SILENT_S = 2.0
"""The longest time without output."""


@contextmanager
def doing(what: str) -> Iterator[None]:
    """Say what takes long: with a spinner on a terminal, else in a line after two seconds."""
    if err.is_terminal:
        with err.status(what):
            yield
        return
    late = threading.Timer(SILENT_S, err.print, [f"{what} ..."])
    late.daemon = True
    late.start()
    try:
        yield
    finally:
        late.cancel()


def quiet_prefect(debug: bool) -> None:
    """Configure Prefect's console log: no tracebacks, and on a terminal bars instead of lines.

    Call it before Prefect is imported, which reads its settings once.
    """
    if not debug:
        name = "PREFECT_LOGGING_HANDLERS_CONSOLE_CLASS"
        os.environ.setdefault(name, "flows.console.PlainConsole")
        if err.is_terminal:
            os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")


@contextmanager
def ends_on_interrupt() -> Iterator[None]:
    """Let Ctrl-C end the run in good order within STOP_S, and a second one at once."""

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
