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
        filters: What the page's templates use beside `share`, `count`, `clock` and `audio`, by
            its name.
    """
    made = Environment(
        loader=FileSystemLoader([folder, Path(__file__).parent]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {one.__name__: one for one in (share, count, clock, audio, *filters)}
    return made


def share(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def count(value: int) -> str:
    return f"{value:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def clock(seconds: float) -> str:
    """Seconds into a recording, as a player shows them."""
    minutes, rest = divmod(seconds, 60)
    return f"{int(minutes)}:{rest:04.1f}"


def audio(hours: float) -> str:
    """How much audio.

    Example:
        >>> audio(7840.2), audio(0.5)
        ('7\u202f840 h', '30 min')
    """
    if hours >= 100:
        return f"{count(round(hours))} h"
    if hours >= 1:
        return f"{hours:.1f} h"
    return f"{hours * 60:.0f} min" if hours * 60 >= 1 else f"{hours * 3600:.0f} s"
