"""Templates of a page, and how numbers are written in them."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

Filter = Callable[..., str]


@cache
def environment(folder: Path, *filters: Filter) -> Environment:
    """Where the templates of a folder are read, and those that all pages share.

    Everything from data is escaped, and a name that is not defined is an error.

    Args:
        folder: The page's own templates.
        filters: What the page's templates use beside `share`, `count` and `clock`, by its name.
    """
    made = Environment(
        loader=FileSystemLoader([folder, Path(__file__).parent]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {one.__name__: one for one in (share, count, clock, *filters)}
    return made


def share(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def count(value: int) -> str:
    return f"{value:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def clock(seconds: float) -> str:
    """Seconds into a recording, as a player shows them."""
    minutes, rest = divmod(seconds, 60)
    return f"{int(minutes)}:{rest:04.1f}"
