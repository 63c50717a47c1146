"""Tables that people open: no cell of other people's text is run as a formula there."""

import re

import pandas as pd

from birdcore.text import plain_text

FORMULA = ("=", "+", "-", "@")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


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
