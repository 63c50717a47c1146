"""Messages about what is wrong with a recipe.

Each mistake is one line: where it is written (file and line, or the --set that brought it), which
key, what was given, what is allowed and, where one is near, the right spelling. What is allowed
comes from the JSON schema of the model, so that it is said in full and once, also for a value
that may be of several kinds.
"""

import difflib
import json
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

from pydantic import BaseModel, ValidationError

from birdcore.config.toml import Key

Schema: TypeAlias = Mapping[str, Any]
Tree: TypeAlias = Mapping[str, Any]

SHOWN = 80  # letters of a value that are repeated to its writer
MOST = 50  # mistakes that are told at once
MOST_KEYS = 20  # keys of a table that are listed; a round has 58


class WrongSetting(ValueError):
    """A value that does not fit the others; `key` leads to it from the table that is checked."""

    def __init__(self, message: str, *key: str | int) -> None:
        super().__init__(message)
        self.key: Key = key


def error_lines(
    error: ValidationError,
    model: type[BaseModel],
    tree: Tree,
    where: Callable[[Key], str],
    written: Callable[[Key], Key] = lambda key: key,
) -> list[str]:
    """A line for each mistake in the tree that the model refused.

    Args:
        error: What pydantic found.
        model: The model that refused the tree.
        tree: What was refused.
        where: The place of a key, as it was written: file and line.
        written: The key under which a value was written, where that is another than in the tree;
            two mistakes of one written key are one.

    Returns:
        At most `MOST` lines, and one that counts those beyond.
    """
    schema = _schema_of(model)
    found: dict[Key, tuple[Key, Mapping[str, Any]]] = {}
    for details in error.errors(include_url=False):
        key = _key_of(details, schema)
        found.setdefault(written(key), (key, details))
    # A list or table with a mistake in it is no second mistake.
    above = {key[:length] for key, _ in found.values() for length in range(len(key))}
    lines = [
        f"{where(name)}: {_mistake(key, name, details, schema, tree)}"
        for name, (key, details) in found.items()
        if key not in above
    ]
    more = len(lines) - MOST
    return [*lines[:MOST], f"and {more} more mistakes"] if more > 0 else lines


def dotted(key: Key) -> str:
    """A key as --set takes it, such as round.0.epochs."""
    return ".".join(map(str, key))


def nearest(word: str, allowed: Sequence[str]) -> str:
    """`; did you mean …?`, or nothing where no word is near."""
    near = difflib.get_close_matches(word, allowed, n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else ""


def cut(text: str) -> str:
    """Text of unknown origin for a message: printable, and not too long."""
    text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"


@lru_cache(maxsize=8)
def _schema_of(model: type[BaseModel]) -> Schema:
    """The JSON schema of a model, which takes longer than all else about a mistake."""
    return model.model_json_schema()


def _key_of(error: Mapping[str, Any], schema: Schema) -> Key:
    """The key that an error is about: its location without the names of a union's branches."""
    location = error["loc"]
    if error["type"] == "missing" and isinstance(location[-1], int):
        location = location[:-1]  # a list that is too short
    key: Key = ()
    for part in location:
        table = _schema_at(schema, key)
        if isinstance(part, int) or part in table.get("properties", {}) or _entry(table):
            key += (part,)
    if error["type"] == "extra_forbidden":
        key += (location[-1],)
    wrong = error.get("ctx", {}).get("error")
    return key + wrong.key if isinstance(wrong, WrongSetting) else key


def _mistake(key: Key, name: Key, error: Mapping[str, Any], schema: Schema, tree: Tree) -> str:
    """What is wrong with the value at `key`, which was written as `name`."""
    if error["type"] == "extra_forbidden":
        table = _schema_at(schema, key[:-1])
        if new := table.get("renamed", {}).get(key[-1]):
            return f"unknown key {dotted(name)}: `{key[-1]}` is now `{new}`"
        word, keys = str(key[-1]), list(table["properties"])
        near = _nearest_key(word, schema, key[:-1]) or "."
        if len(keys) > MOST_KEYS:
            keys = difflib.get_close_matches(word, keys, n=3, cutoff=0.0)
            return (
                f"unknown key {dotted(name)}{near} The nearest of {len(table['properties'])} keys "
                f"are {', '.join(keys)}: see docs/recipe.md"
            )
        return f"unknown key {dotted(name)}{near} Allowed here: {', '.join(keys)}"
    if error["type"] == "missing":
        needed = allowed(_schema_at(schema, key), schema)
        if not isinstance(error["loc"][-1], int):
            return f"{dotted(name)} is missing: {needed}"
    value = _value_at(tree, key)
    first = value[0] if isinstance(value, list) and value else value
    # What the recipe does not set is told by its key alone.
    shown = "" if value is None or isinstance(first, dict) else f" = {_shown(value)}"
    given = f"{dotted(name)}{shown}: " if key else ""
    if error["type"] == "value_error":
        # Values that do not fit each other do so in one round, also where [train] has one of them.
        shared = key != name and key[0] == "round"
        of = f" (in round {_value_at(tree, (*key[:2], 'name'))!r})" if shared else ""
        return f"{given}{error['ctx']['error']}{of}"
    here = _schema_at(schema, key)
    words = [word for word in _options(here) if isinstance(word, str)]
    near = nearest(value, words) if isinstance(value, str) else ""
    return f"{given}must be {allowed(here, schema)}{near}"


def _nearest_key(word: str, schema: Schema, table: Key) -> str:
    """The nearest key of the table; the same word in a table below it is nearer still."""
    properties = _schema_at(schema, table)["properties"]
    below = (
        f"{name}.{word}"
        for name in properties
        if word in _schema_at(schema, (*table, name)).get("properties", {})
    )
    if found := next(below, None):
        return f"; did you mean {found!r}?"
    return nearest(word, list(properties))


def _schema_at(schema: Schema, key: Key) -> Schema:
    node = schema
    for part in key:
        if isinstance(part, str):
            node = node.get("properties", {}).get(part, _entry(node))
        else:
            node = next((s for s in [node, *node.get("anyOf", [])] if s.get("type") == "array"), {})
            items = node.get("prefixItems", [])
            node = items[part] if part < len(items) else node.get("items", {})
        kinds = [s for s in node.get("anyOf", [node]) if s.get("type") != "null"]
        if len(kinds) == 1 and "$ref" in kinds[0]:  # a table, which may be one that can be left out
            node = schema["$defs"][kinds[0]["$ref"].rpartition("/")[2]]
    return node


def _entry(schema: Schema) -> Schema:
    """What each value of a table of any keys is; empty where the keys are known."""
    entry = schema.get("additionalProperties")
    return entry if isinstance(entry, dict) else {}


def _options(schema: Schema) -> list[str | int]:
    """The words and numbers that a value may be."""
    return [w for kind in schema.get("anyOf", [schema]) for w in kind.get("enum", [])]


def allowed(schema: Schema, root: Schema) -> str:
    """What a value may be, in words: `a number from 0 to 1`.

    Args:
        schema: JSON schema of the value.
        root: The schema that holds its definitions.
    """
    if "$ref" in schema:
        schema = _schema_at(root, ()) | root["$defs"][schema["$ref"].rpartition("/")[2]]
    if "anyOf" in schema:
        words = [_shown(word) for word in _options(schema)]
        kinds = [s for s in schema["anyOf"] if s.get("type") != "null" and "enum" not in s]
        return _either([*words, *(allowed(s, root) for s in kinds)])
    if "enum" in schema:
        return _either([_shown(word) for word in schema["enum"]])
    if "const" in schema:
        return _shown(schema["const"])
    kind = schema.get("type")
    if "description" in schema and kind in ("string", "array"):
        return str(schema["description"])
    if kind == "array":
        return _list(schema, root)
    if entry := _entry(schema):
        return f"a table, each {allowed(entry, root)}"
    names = {"integer": "a whole number", "number": "a number", "boolean": "true or false",
             "string": "text in quotes", "object": "a table"}  # fmt: skip
    return f"{names.get(str(kind), str(kind))}{_range(schema)}"


def _list(schema: Schema, root: Schema) -> str:
    if "prefixItems" in schema:
        return f"a list of {len(schema['prefixItems'])} numbers"
    least = schema.get("minItems", 0)
    count = f" of at least {least}" if least else ""
    return f"a list{count}, each {allowed(schema['items'], root)}"


def _range(schema: Schema) -> str:
    low, above = schema.get("minimum"), schema.get("exclusiveMinimum")
    high, below = schema.get("maximum"), schema.get("exclusiveMaximum")
    if low is not None and high is not None:
        return f" from {low:g} to {high:g}"
    bounds = ((low, "of at least"), (above, "above"), (high, "of at most"), (below, "below"))
    said = [f"{word} {bound:g}" for bound, word in bounds if bound is not None]
    return f" {' and '.join(said)}" if said else ""


def _either(kinds: Sequence[str]) -> str:
    *others, last = kinds
    return f"{', '.join(others)} or {last}" if others else last


def _value_at(tree: object, key: Key) -> object:
    for part in key:
        if isinstance(tree, dict) and isinstance(part, str):
            tree = tree.get(part)
        elif isinstance(tree, list) and isinstance(part, int):
            tree = tree[part]
    return tree


def _shown(value: object) -> str:
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
