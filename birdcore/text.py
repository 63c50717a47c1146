"""Text that others wrote, made safe to show: on a terminal, in Markdown and in spreadsheets.

Names of files, recordists, licences, addresses and the messages of an archive are input. Unchanged,
they could move a cursor or hide a word, add a line, a link or an image, or run as a formula in the
program that opens a table.
"""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd
    from pydantic import ValidationError

MARKDOWN = re.compile(r"([\\`*\[\]<>|~&$]|(?<!\w)_|_(?!\w))")
"""Characters with a meaning within a line of Markdown; an underscore within a word has none."""
FORMULA = ("=", "+", "-", "@")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def plain_text(text: str) -> str:
    """One line of printable characters.

    Control and format characters and lone surrogates are dropped; white space becomes one space.

    Example:
        >>> plain_text("a\\x1b[2J\\n  b")
        'a[2J b'
    """
    line = " ".join(text.split())
    if line.isprintable():
        return line
    return " ".join("".join(c for c in line if c.isprintable()).split())


def first_of(names: Sequence[str], most: int) -> str:
    """The first names of a list, and how many more there are.

    Example:
        >>> first_of(["a", "b", "c"], 2)
        'a, b and 1 more'
    """
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def first_error(error: "ValidationError") -> str:
    """The first thing that is wrong with a file of ours, in a line: pydantic writes several."""
    found, *others = error.errors(include_url=False)
    where = ".".join(str(step) for step in found["loc"])
    what = found["msg"].removeprefix("Value error, ")
    more = f" (and {len(others)} more)" if others else ""
    return plain_text(f"{where}: {what}{more}" if where else f"{what}{more}")


def plain_lines(text: str) -> str:
    """Printable characters, with the text's own line breaks and spaces; a tab is four spaces."""
    lines = text.replace("\t", "    ").split("\n")
    return "\n".join("".join(c for c in line if c.isprintable()) for line in lines)


def markdown(value: object) -> str:
    """A value as literal text within a line or a table cell of Markdown.

    Example:
        >>> markdown("[XC1](http://x)")
        '\\\\[XC1\\\\](http://x)'
    """
    return MARKDOWN.sub(r"\\\1", plain_text(str(value)))


def spreadsheet_cell(value: object) -> object:
    """A cell of a CSV file that no spreadsheet evaluates: `'` is put before a formula.

    Values that are no text, and texts that are numbers, stay as they are.

    Example:
        >>> spreadsheet_cell("=1+1"), spreadsheet_cell("-1.5"), spreadsheet_cell(3)
        ("'=1+1", '-1.5', 3)
    """
    if not isinstance(value, str):
        return value
    text = plain_text(value) if not value.isprintable() else value
    is_formula = text.lstrip(" '").startswith(FORMULA) and not NUMBER.fullmatch(text)
    return f"'{text}" if is_formula else text


def from_spreadsheet_cell(text: str) -> str:
    """The inverse of `spreadsheet_cell` for printable text."""
    return text[1:] if text.startswith("'") and text.lstrip(" '").startswith(FORMULA) else text


def to_csv(table: "pd.DataFrame", **options: object) -> str:
    """A table as CSV, its texts and column names as `spreadsheet_cell` has them.

    Args:
        table: Any data frame; its index is left out.
        options: What `pandas.DataFrame.to_csv` takes beyond that.
    """
    from pandas.api.types import is_numeric_dtype

    safe = table.rename(columns=lambda name: spreadsheet_cell(name))
    for name in safe.columns:
        if not is_numeric_dtype(safe[name]):
            safe[name] = safe[name].map(spreadsheet_cell)
    return str(safe.to_csv(index=False, lineterminator="\n", **options))  # type: ignore[call-overload]
