"""TOML text as a tree, and the line of each of its keys.

Text that no recipe can be is refused before it costs time or memory: too long, too deep for
whatever walks the tree, or with numbers that TOML does not have.
"""

import tomllib
from collections.abc import Iterator
from typing import Any, TypeAlias

Key: TypeAlias = tuple[str | int, ...]

MOST_BYTES = 1 << 16
"""Of a recipe's file; whoever reads it stops there."""
MOST_LINES = 1_000
DEEPEST = 16
"""Tables and lists in each other; a recipe has five."""
TOO_DEEP = f"tables or lists lie more than {DEEPEST} deep in each other"
TOO_LARGE = "TOML's whole numbers have at most 64 bits"


class NotARecipe(ValueError):
    """Text that is no TOML, or none that a recipe could be; `line` is the one to blame."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.line = line


class _Unfit(ValueError):
    pass


def parse(text: str) -> dict[str, Any]:
    """The tree of TOML text; raises NotARecipe."""
    lines = text.split("\n")
    if len(lines) > MOST_LINES:
        raise NotARecipe(f"a recipe has at most {MOST_LINES} lines", MOST_LINES + 1)
    try:
        return _loads(text)
    except tomllib.TOMLDecodeError as error:
        message, _, place = str(error).partition(" (at line ")
        number = int(place.partition(",")[0] or len(text.splitlines()))
        raise NotARecipe(f"not TOML: {message}", number) from None
    except _Unfit as error:
        raise NotARecipe(str(error), _first_unfit(lines)) from None


def parse_value(text: str) -> Any:
    """One value as TOML writes it; what is none is text. Raises NotARecipe."""
    try:
        tree = _loads(f"x = {text}")
    except tomllib.TOMLDecodeError:
        return text
    except _Unfit as error:
        raise NotARecipe(str(error), 1) from None
    return tree["x"] if len(tree) == 1 else text


def lines_of(text: str) -> dict[Key, int]:
    """The line of each key in TOML text that can be read.

    TOML is written from top to bottom: a key is on the line with which the text first has it.
    """
    lines: dict[Key, int] = {}
    written = text.split("\n")
    begins, in_list = 1, False
    for number in range(1, len(written) + 1):
        head = "\n".join(written[:number])
        for closing in ("", "\n]", "\n]]"):  # inside a list of several lines
            try:
                tree = tomllib.loads(head + closing)
            except tomllib.TOMLDecodeError:
                continue
            for key in _keys(tree):
                lines.setdefault(key, number if closing or in_list else begins)
            in_list = bool(closing)
            begins = begins if in_list else number + 1
            break
    return lines


def _keys(node: object, above: Key = ()) -> Iterator[Key]:
    for part, child in _children(node):
        yield (*above, part)
        yield from _keys(child, (*above, part))


def _children(node: object) -> Iterator[tuple[str | int, object]]:
    if isinstance(node, dict):
        yield from node.items()
    elif isinstance(node, list):
        yield from enumerate(node)


def _loads(text: str) -> dict[str, Any]:
    """Raises TOMLDecodeError, and _Unfit for what is TOML to tomllib or more than it can read."""
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise
    except RecursionError:
        raise _Unfit(TOO_DEEP) from None
    except ValueError:  # of Python, which reads no number of so many digits
        raise _Unfit(TOO_LARGE) from None
    level: list[object] = [tree]
    for _ in range(DEEPEST + 1):
        if any(isinstance(one, int) and not -(2**63) <= one < 2**63 for one in level):
            raise _Unfit(TOO_LARGE)
        level = [child for one in level for _, child in _children(one)]
    if level:
        raise _Unfit(TOO_DEEP)
    return tree


def _first_unfit(lines: list[str]) -> int:
    """The line with which the text is first more than a recipe may be."""
    for number in range(1, len(lines)):
        try:
            _loads("\n".join(lines[:number]))
        except tomllib.TOMLDecodeError:  # in the middle of a list or a text
            continue
        except _Unfit:
            return number
    return len(lines)
