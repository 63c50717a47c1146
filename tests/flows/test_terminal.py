"""What others wrote stays text on a terminal."""

import io
import logging
import re
import time

import pytest
from rich.console import Console
from rich.table import Table

import tasks.progress
from flows.console import PlainConsole
from flows.terminal import console, doing
from tasks.progress import bars_on_terminal, progress_of

HOSTILE = [
    "[bold red]name[/bold red]",
    "[/]",
    "[link=https://evil.example]click[/link]",
    ":warning: all is lost",
    "\x1b[2J\x1b[31mred",
    "\x1b]8;;https://evil.example\x1b\\click\x1b]8;;\x1b\\",
    "\x1b]0;title\x07",
    "overwrites\rall of it",
    "\x9b2J",
    "gpj.\u202e\u2066 reversed",
    "\x08\x08\x08",
    "half \ud800",
]
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def printed(*objects: object, **options: object) -> str:
    made = console(width=200)
    made.file = io.StringIO()
    made.print(*objects, **options)  # type: ignore[arg-type]
    return made.file.getvalue()


@pytest.mark.parametrize("text", HOSTILE)
def test_a_line_is_text(text: str) -> None:
    shown = printed(f"recording {text} is there")
    assert not CONTROL.search(shown)
    assert shown.count("\n") == 1
    visible = "".join(c for c in text if c.isprintable())
    assert shown.startswith(f"recording {visible[:6]}"[:14])


@pytest.mark.parametrize("text", HOSTILE)
def test_a_cell_a_column_and_a_caption_are_text(text: str) -> None:
    table = Table("step", text, box=None, pad_edge=False, caption=text)
    table.add_row(text, "[bold]key[/]")
    shown = printed(table)
    assert not CONTROL.search(shown)
    assert "[bold]key[/]" in shown
    if text.isprintable():
        assert shown.count(text) >= 3


@pytest.mark.parametrize("text", HOSTILE)
def test_a_bar_is_text(text: str) -> None:
    file = io.StringIO()
    with bars_on_terminal(), progress_of(f"clean {text}") as report:
        report(1, 2, text)
        bars = tasks.progress._terminal
        assert bars is not None
        Console(file=file, width=200).print(bars.get_renderable())
    assert not CONTROL.search(file.getvalue())
    if text.isprintable():
        assert file.getvalue().count(text) == 2


def test_doing_prints_a_line_only_of_what_takes_long(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with doing("counting"):
        pass
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("flows.terminal.SILENT_S", 0.0)
    with doing("counting"):
        time.sleep(1)
    assert capsys.readouterr().err == "counting ...\n"


def test_ordinary_lines_and_their_breaks_stay() -> None:
    assert printed("a\n  b  [c]", end="") == "a\n  b  [c]"


@pytest.mark.parametrize("text", HOSTILE)
def test_a_line_of_the_log_is_text(text: str) -> None:
    handler = PlainConsole()
    record = logging.LogRecord("x", logging.INFO, "f", 1, "read %s", (text,), None)
    assert not CONTROL.search(handler.format(record))
