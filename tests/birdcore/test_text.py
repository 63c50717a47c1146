import csv
import io
import re

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdcore.text import (
    from_spreadsheet_cell,
    markdown,
    plain_lines,
    plain_text,
    spreadsheet_cell,
    to_csv,
)

ODD = ["\x1b[31mred\x1b[0m", "a\rb", "a\x07\x08b", "\x9b2J", "a\u202eb\u2066", "\ud800", "a\x00b"]


@pytest.mark.parametrize("text", ODD)
def test_plain_text_is_one_printable_line(text: str) -> None:
    assert plain_text(text).isprintable()
    plain_text(text).encode()


@given(st.text(st.characters()))
def test_plain_text_handles_any_text(text: str) -> None:
    assert plain_text(text).isprintable()
    assert all(line.isprintable() for line in plain_lines(text).split("\n"))
    assert plain_text(plain_text(text)) == plain_text(text)
    shown = markdown(text)
    assert shown.isprintable()
    bare = re.sub(r"\\.", "", shown)
    assert not re.search(r"[`*\[\]<>|~&$\\]", bare)


def test_plain_lines_keeps_line_breaks() -> None:
    assert plain_lines("a\n\x1b[2Jb  c\n") == "a\n[2Jb  c\n"


def test_markdown_keeps_ordinary_text() -> None:
    for text in ("cc-by-nc-sa 4.0", "mel train_audio/0003", "Ann Ö. (1.5 %)", "https://a.b/c?d=1"):
        assert markdown(text) == text


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", " =1", "'=1", "-", "=\n1", "\u202e=1"],
)  # fmt: skip
def test_spreadsheet_cell_quotes_formulas(text: str) -> None:
    assert str(spreadsheet_cell(text)).startswith("'")


@pytest.mark.parametrize("value", ["-1.5", "+3", "1e-5", "-.5", "a=1", "'tis", "", 3, -1.5, None])
def test_spreadsheet_cell_keeps_numbers_and_words(value: object) -> None:
    assert spreadsheet_cell(value) == value


@given(st.text(st.sampled_from("=+-@' a1.")) | st.text().filter(str.isprintable))
def test_from_spreadsheet_cell_is_the_inverse(text: str) -> None:
    assert from_spreadsheet_cell(str(spreadsheet_cell(text))) == text


def test_to_csv_keeps_numbers_and_lines() -> None:
    table = pd.DataFrame({"recording": ["=a", "b\nc"], "from": [-1.5, 2.0], "=x": [None, "d"]})
    text = to_csv(table, float_format="%.3f")
    assert list(csv.reader(io.StringIO(text))) == [
        ["recording", "from", "'=x"], ["'=a", "-1.500", ""], ["b c", "2.000", "d"],
    ]  # fmt: skip
