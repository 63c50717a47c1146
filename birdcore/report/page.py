"""Rendering: the template `page.html`, with style and script inlined, filled with variables."""

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined


def render(variables: Mapping[str, Any]) -> str:
    """The whole page; everything from data is escaped."""
    return environment().get_template("page.html").render(variables)


@cache
def environment() -> Environment:
    """Where the templates of this folder are read; a name that is not defined is an error."""
    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: tuple[Callable[..., str], ...] = (auc, share, count, clock, short)
    made.filters |= {one.__name__: one for one in filters}
    return made


def auc(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def share(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def count(value: int) -> str:
    return f"{value:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def clock(seconds: float) -> str:
    """Seconds into a recording, as a player shows them."""
    minutes, rest = divmod(seconds, 60)
    return f"{int(minutes)}:{rest:04.1f}"


def short(recording: str) -> str:
    """A recording's name without its first folder, which is that of its subset."""
    return recording.partition("/")[2] or recording
