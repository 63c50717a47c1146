"""TOML text as a tree, and the line of each of its keys.

A mistake in a recipe is reported with its line, which `tomllib` does not tell, so the text is read
a second time, statement by statement, once there is something to report. Text that can't be a
recipe is refused before it costs time or memory: too long, too deep for a recursive walk, or with
numbers that TOML does not have.
"""

import re
import tomllib
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

Key: TypeAlias = tuple[str | int, ...]
"""The path to a value in a tree: names in tables, numbers in lists."""

MOST_BYTES = 1 << 16
"""Of a recipe's file; the rest of a longer one is not read."""
MOST_LINES = 1_000
DEEPEST = 16
"""Levels of tables and lists; a recipe has five."""
TOO_DEEP = f"tables or lists lie more than {DEEPEST} deep in each other"
TOO_LARGE = "TOML's whole numbers have at most 64 bits"

_PART = r"""(?:[\w-]+|"(?:[^"\\]|\\.)*"|'[^']*')"""
_DEEP_KEY = re.compile(rf"[\s\[]*(?:{_PART}[ \t]*\.[ \t]*){{{DEEPEST}}}")
"""A line that begins with a dotted key of too many parts, on which tomllib takes quadratic time."""


class NotARecipe(ValueError):
    """Text that is not TOML, or that no recipe could be; `line` is the number of the line."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.line = line


class _Unfit(ValueError):
    """TOML that no recipe could be."""


def parse(text: str) -> dict[str, Any]:
    """Parse TOML text.

    Raises:
        NotARecipe: The text is not TOML, or exceeds the limits above.

    Example:
        >>> parse("[mel]\\nn_mels = 64")
        {'mel': {'n_mels': 64}}
    """
    lines = text.split("\n")
    if len(lines) > MOST_LINES:
        raise NotARecipe(f"a recipe has at most {MOST_LINES} lines", MOST_LINES + 1)
    for number, line in enumerate(lines, 1):
        if line.count(".") >= DEEPEST and _DEEP_KEY.match(line):
            raise NotARecipe(TOO_DEEP, number)
    try:
        return _load(text)
    except tomllib.TOMLDecodeError as error:
        message, _, place = str(error).partition(" (at line ")
        number = int(place.partition(",")[0] or len(text.splitlines()))
        raise NotARecipe(f"not TOML: {message}", number) from None
    except _Unfit as error:
        raise NotARecipe(str(error), _first_unfit(lines)) from None


def parse_value(text: str) -> Any:
    """Parse one TOML value; text that is not a value is taken as it is.

    Raises:
        NotARecipe: The value exceeds the limits above.

    Example:
        >>> parse_value("[1, 2]"), parse_value("config_96")
        ([1, 2], 'config_96')
    """
    try:
        tree = _load(f"x = {text}")
    except tomllib.TOMLDecodeError:
        return text
    except _Unfit as error:
        raise NotARecipe(str(error), 1) from None
    return tree["x"] if len(tree) == 1 else text


def lines_of(text: str) -> dict[Key, int]:
    """The line on which each key of a TOML text, which `parse` has read, stands first.

    Example:
        >>> lines_of("[[round]]\\nname = 'a'")
        {('round',): 1, ('round', 0): 1, ('round', 0, 'name'): 2}
    """
    lines: dict[Key, int] = {}
    table: Key = ()
    last: dict[Key, int] = {}
    for first, statement in _statements(text.split("\n")):
        if statement[0].lstrip().startswith("["):
            table = _header(statement[0], last)
            for length in range(1, len(table) + 1):
                lines.setdefault(table[:length], first)
        else:
            for key, line in _lines_in(statement):
                lines.setdefault(table + key, first + line)
    return lines


def _statements(lines: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """The number of the first line, and the lines, of each header, assignment, comment or blank."""
    statement: list[str] = []
    for number, line in enumerate(lines, 1):
        statement.append(line)
        # Only these can end a statement of several lines: others are not worth a try.
        if len(statement) == 1 or any(mark in line for mark in "]}\"'"):
            try:
                tomllib.loads("\n".join(statement))
            except tomllib.TOMLDecodeError:
                continue
            except (RecursionError, ValueError):  # too deep or too large, for the caller to see
                pass
            yield number - len(statement) + 1, statement
            statement = []


def _header(line: str, last: dict[Key, int]) -> Key:
    """The key of the table that a line such as `[[round]]` opens.

    Args:
        line: The header.
        last: Of each list of tables the number of its last one, which is updated.
    """
    node: Any = tomllib.loads(line)
    key: Key = ()
    while node:
        if isinstance(node, list):
            last[key] = last.get(key, -1) + 1
            node = node[0]
        else:
            ((part, node),) = node.items()
            key += (part,)
        if key in last and not isinstance(node, list):
            key += (last[key],)
    return key


def _lines_in(statement: Sequence[str]) -> Iterator[tuple[Key, int]]:
    """Each key of an assignment and, counted from its first line, the line that brings it.

    Of a list over several lines the items are found by closing the list after each line.
    """
    in_list = False
    for line in range(len(statement)):
        head = "\n".join(statement[: line + 1])
        whole = line == len(statement) - 1
        for closing in ("",) if whole else ("\n]", "\n]]"):
            try:
                tree = tomllib.loads(head + closing)
            except tomllib.TOMLDecodeError:
                continue
            in_list = in_list or not whole
            yield from ((key, line if in_list else 0) for key in _keys(tree))
            break


def _keys(node: object, above: Key = ()) -> Iterator[Key]:
    for part, child in _children(node):
        yield (*above, part)
        yield from _keys(child, (*above, part))


def _children(node: object) -> Iterator[tuple[str | int, object]]:
    if isinstance(node, dict):
        yield from node.items()
    elif isinstance(node, list):
        yield from enumerate(node)


def _load(text: str, above: int = 0) -> dict[str, Any]:
    """Raises TOMLDecodeError, and _Unfit for what exceeds the limits, `above` levels down."""
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise
    except RecursionError:
        raise _Unfit(TOO_DEEP) from None
    except ValueError:  # Python reads no number of so many digits
        raise _Unfit(TOO_LARGE) from None
    level: list[object] = [tree]
    for _ in range(DEEPEST + 1 - above):
        if any(isinstance(node, int) and not -(2**63) <= node < 2**63 for node in level):
            raise _Unfit(TOO_LARGE)
        level = [child for node in level for _, child in _children(node)]
    if level:
        raise _Unfit(TOO_DEEP)
    return tree


def _first_unfit(lines: Sequence[str]) -> int:
    """The last line of the first statement that exceeds the limits."""
    table: Key = ()
    last: dict[Key, int] = {}
    number = len(lines)
    for first, statement in _statements(lines):
        number = first + len(statement) - 1
        header = statement[0].lstrip().startswith("[")
        try:
            _load("\n".join(statement), 0 if header else len(table))
        except _Unfit:
            break
        if header:
            table = _header(statement[0], last)
    return number
