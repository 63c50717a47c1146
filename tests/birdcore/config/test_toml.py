"""Lines of keys, and that nothing but a recipe's own errors comes of any text."""

import json
import time
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from birdcore.config.toml import NotARecipe, lines_of, parse, parse_value

KEYS = st.sampled_from(["a", "b", "c-d", "e_f"])
VALUES = st.recursive(
    st.integers() | st.text("aé \n#[]={},'\"\\", max_size=8) | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(KEYS, VALUES, min_size=1))
def test_each_key_is_found_on_the_line_that_holds_it(tree: dict[str, object]) -> None:
    # One statement a line, with a comment above each, and blank lines between.
    text = "".join(f"# {key}\n{key} = {inline(value)}\n\n" for key, value in tree.items())
    lines = lines_of(text)
    assert {key[0] for key in lines} == tree.keys()
    for key, line in lines.items():
        assert line == 2 + 3 * list(tree).index(str(key[0]))


def inline(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {inline(v)}" for key, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(inline, value)) + "]"
    return json.dumps(value)


def test_lines_of_follows_headers_lists_of_tables_and_long_values() -> None:
    lines = lines_of("""\
a.b = 1
[[round]]
mix = 1
[round.mask]
bins = [
  [1, 2],  # ]
  [3],
]
[[round]]
[round.mask]
text = '''
]
'''
[round.label]
[ensemble]
""")
    assert lines == {
        ("a",): 1,
        ("a", "b"): 1,
        ("round",): 2,
        ("round", 0): 2,
        ("round", 0, "mix"): 3,
        ("round", 0, "mask"): 4,
        ("round", 0, "mask", "bins"): 5,
        ("round", 0, "mask", "bins", 0): 6,
        ("round", 0, "mask", "bins", 0, 0): 6,
        ("round", 0, "mask", "bins", 0, 1): 6,
        ("round", 0, "mask", "bins", 1): 7,
        ("round", 0, "mask", "bins", 1, 0): 7,
        ("round", 1): 9,
        ("round", 1, "mask"): 10,
        ("round", 1, "mask", "text"): 11,
        ("round", 1, "label"): 14,
        ("ensemble",): 15,
    }


@pytest.mark.parametrize(
    "text",
    [
        ".".join("a" * 30_000) + " = 1",
        "[" + ".".join("a" * 30_000) + "]",
        "\n".join(f"x{i} = 1" for i in range(900)) + "\ny = " + "[" * 17 + "]" * 17,
    ],
)
def test_parse_refuses_deep_text_in_linear_time(text: str) -> None:
    began = time.process_time()
    with pytest.raises(NotARecipe, match="more than 16 deep") as refused:
        parse(text)
    assert refused.value.line == text.count("\n") + 1
    assert time.process_time() - began < 1  # quadratic: 17 s for the first, 5 s for the last


PIECES = st.lists(
    st.sampled_from(
        ["a", "=", "[", "]", "[[", "]]", "{", "}", ".", ",", "\n", "\r", '"', "'", '"""', "#", " ",
         "1", "-", "0x", "f" * 5_000, "9" * 5_000, "[" * 2_000, "a." * 500, "{a=" * 500, "\ud800",
         "\0", "é", "inf", "nan", "1979-05-27", "99:99", "\\u00", "true"]
    ),
    max_size=12,
)  # fmt: skip


@settings(max_examples=300)
@given(PIECES)
def test_any_text_is_a_tree_or_is_refused(pieces: list[str]) -> None:
    text = "".join(pieces)
    for read in (parse, parse_value):
        with suppress(NotARecipe):
            json.dumps(read(text), default=str)  # as whoever walks the tree
    with suppress(NotARecipe):
        keys = parse(text).keys()
        assert {key[0] for key in lines_of(text)} == keys


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("[1, 2]", [1, 2]),
        ("config_96", "config_96"),
        ('"3"', "3"),
        ("1\ny = 2", "1\ny = 2"),
    ],
)
def test_a_value_is_toml_or_text(text: str, value: object) -> None:
    assert parse_value(text) == value
