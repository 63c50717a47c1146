"""What others wrote, shown as text: on a terminal, in Markdown, in a table for a spreadsheet.

Names of files, recordists, licences, addresses and an archive's messages are other people's. As
they are, they could move a cursor or hide a word (terminals), add a line, a link or an image
(Markdown), or be run as a formula (spreadsheets).
"""

import re

import pandas as pd

FORMULA = ("=", "+", "-", "@")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
MARKDOWN = re.compile(r"([\\`*\[\]<>|~&$]|(?<!\w)_|_(?!\w))")
"""What begins or ends something within a line of Markdown; an underscore within a word does not."""


def plain_text(text: str) -> str:
    """One line of what can be printed: no control or format characters, no half characters."""
    line = " ".join(text.split())
    if line.isprintable():
        return line
    return " ".join("".join(c for c in line if c.isprintable()).split())


def plain_lines(text: str) -> str:
    """Text with its own line breaks, each line as `plain_text` has it but for its spaces."""
    lines = text.replace("\t", "    ").split("\n")
    return "\n".join("".join(c for c in line if c.isprintable()) for line in lines)


def markdown(value: object) -> str:
    """A value within a line or a cell of Markdown, where it is nothing but its own text."""
    return MARKDOWN.sub(r"\\\1", plain_text(str(value)))


def spreadsheet_cell(value: object) -> object:
    """A cell of a CSV file, which no spreadsheet takes for a formula: `'` goes before one."""
    if not isinstance(value, str):
        return value
    text = plain_text(value) if not value.isprintable() else value
    is_formula = text.lstrip(" '").startswith(FORMULA) and not NUMBER.fullmatch(text)
    return f"'{text}" if is_formula else text


def from_spreadsheet_cell(text: str) -> str:
    """What `spreadsheet_cell` was given, where that was printable."""
    return text[1:] if text.startswith("'") and text.lstrip(" '").startswith(FORMULA) else text


def to_csv(table: pd.DataFrame, **options: object) -> str:
    """A table as CSV, its texts and column names as `spreadsheet_cell` has them."""
    safe = table.rename(columns=lambda name: spreadsheet_cell(name))
    for name in safe.columns:
        if not pd.api.types.is_numeric_dtype(safe[name]):
            safe[name] = safe[name].map(spreadsheet_cell)
    return str(safe.to_csv(index=False, lineterminator="\n", **options))  # type: ignore[call-overload]
