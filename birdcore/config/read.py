"""From a TOML file to a recipe, or to a line for each mistake in it."""

import json
import re
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from pydantic import ValidationError

from birdcore.config.expand import unrolled
from birdcore.config.recipe import Recipe
from birdcore.config.toml import DEEPEST, MOST_BYTES, Key, NotARecipe, lines_of, parse, parse_value
from birdcore.config.validation_errors import SHOWN, complaints, dotted

BASE = "base"
"""The recipe that this one is laid over: a file beside it."""

MOST_BASES = 16

Lines: TypeAlias = Callable[[], dict[Key, str]]
"""File and line of each key, which takes a while to find."""

SHARED = "train"
"""The recipe's table of settings that every round takes unless it says otherwise."""


class RecipeError(ValueError):
    """A recipe that can't be built; the message names file, line and key."""


def read_recipe(path: Path, settings: Sequence[str] = ()) -> Recipe:
    """The recipe in a TOML file, with `key=value` settings laid over it.

    Raises RecipeError with all that is wrong, one line each.
    """
    tree, written = _with_base(path, ())
    tree["name"] = tree.get("name", re.sub(r"[^a-z0-9]+", "-", path.stem.lower()).strip("-"))
    tree["name"] = tree["name"] or "recipe"
    laid = {_lay_over(tree, setting): setting for setting in settings}
    _share(tree, path)
    try:
        # Strict JSON takes a list for a tuple, but neither "3" nor true for a number.
        return unrolled(Recipe.model_validate_json(json.dumps(tree, default=str), strict=True))
    except ValidationError as error:
        lines = written()

        def where(key: Key) -> str:
            shared = (SHARED, *key[2:])
            if key[:1] == ("round",) and key not in {*lines, *laid} and shared in {*lines, *laid}:
                key = shared
            above = [key[:length] for length in range(len(key), 0, -1)]
            below = [k for k in laid if k[: len(key)] == key and key not in lines]
            if setting := next((laid[k] for k in [*above, *below] if k in laid), None):
                return _shown(setting)
            line = next((lines[k] for k in above if k in lines), None)
            return line or str(path)

        # What all rounds share is wrong once, not once for each.
        once: dict[str, str] = {}
        for line in complaints(error, Recipe, tree, where):
            once.setdefault(re.sub(r"round\.\d+", "", line), line)
        raise RecipeError("\n".join(once.values())) from None


def _with_base(path: Path, above: tuple[Path, ...]) -> tuple[dict[str, Any], Lines]:
    """The tree of a recipe laid over that of the one it names as `base`, and where each key stands.

    Tables are laid over each other key by key; lists, the rounds among them, take the place of
    the base's.
    """
    text = _text(path)
    try:
        tree = parse(text)
    except NotARecipe as error:
        raise RecipeError(f"{path}:{error.line}: {error}") from None

    def lines() -> dict[Key, str]:
        return {key: f"{path}:{number}" for key, number in lines_of(text).items()}

    base = tree.pop(BASE, None)
    if base is None:
        return tree, lines
    where = lines()[(BASE,)]
    if not isinstance(base, str):
        raise RecipeError(f"{where}: {BASE} must be the name of a recipe's file, in quotes")
    beneath = path.parent / base
    try:
        there = beneath.is_file()
    except (OSError, ValueError):  # a name that no file can have
        there = False
    if not there:
        raise RecipeError(
            f"{where}: {BASE} = {_cut(base)!r}: there is no such recipe in {path.parent}"
        )
    if beneath.resolve() in {one.resolve() for one in (*above, path)}:
        raise RecipeError(f"{where}: {BASE} = {base!r} leads back to this recipe")
    if len(above) == MOST_BASES:
        raise RecipeError(f"{where}: {BASE}: no more than {MOST_BASES} recipes lie on each other")
    under, under_lines = _with_base(beneath, (*above, path))
    under.pop("name", None)
    replaced = {key for key, value in tree.items() if not isinstance(value, dict)}

    def both_lines() -> dict[Key, str]:
        kept = {key: place for key, place in under_lines().items() if key[0] not in replaced}
        return kept | lines()

    return _laid_over(under, tree), both_lines


def _laid_over(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    both = under | over
    for key in under.keys() & over.keys():
        if isinstance(under[key], dict) and isinstance(over[key], dict):
            both[key] = _laid_over(under[key], over[key])
    return both


def _share(tree: dict[str, Any], path: Path) -> None:
    """Give every round what the table [train] says and it does not say itself."""
    shared, rounds = tree.pop(SHARED, {}), tree.get("round")
    if not isinstance(shared, dict):
        raise RecipeError(f"{path}: {SHARED} must be a table: what all rounds share")
    if isinstance(rounds, list) and all(isinstance(one, dict) for one in rounds):
        tree["round"] = [shared | one for one in rounds]


def _text(path: Path) -> str:
    try:
        content = _bytes(path)
    except (FileNotFoundError, ValueError):  # ValueError: a name that no file can have
        raise RecipeError(f"{path}: there is no such recipe") from None
    except OSError as error:
        raise RecipeError(f"{path}: can't be read: {error.strerror}") from None
    if content is None:
        raise RecipeError(f"{path}: is a pipe or a device: save the recipe as a file")
    if len(content) > MOST_BYTES:
        raise RecipeError(f"{path}: is no recipe: these have at most {MOST_BYTES >> 10} KiB")
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise RecipeError(f"{path}:{line}: not UTF-8 text: save the recipe as UTF-8") from None


def _bytes(path: Path) -> bytes | None:
    """What a file holds, and a byte beyond what a recipe may; None for what may never end."""
    if not stat.S_ISREG(path.stat().st_mode) and not path.is_dir():
        return None
    with path.open("rb") as file:
        return file.read(MOST_BYTES + 1)


def _lay_over(tree: dict[str, Any], setting: str) -> Key:
    """Set `mel.preset=config_96` or `round.1.epochs=3` in the tree; returns the key."""
    name, equals, value = (part.strip() for part in setting.partition("="))
    if not equals or not name:
        raise RecipeError(f"{_shown(setting)}: write KEY=VALUE, for example mel.preset=config_96")
    try:
        setting.encode()
        parsed = parse_value(value)
    except UnicodeEncodeError:
        raise RecipeError(f"{_shown(setting)}: not UTF-8 text") from None
    except NotARecipe as error:
        raise RecipeError(f"{_shown(setting)}: {error}") from None
    key: Key = ()
    node: Any = tree
    *parents, last = name.split(".")
    if len(parents) >= DEEPEST:
        raise RecipeError(f"{_shown(setting)}: no setting lies so deep")
    for part in parents:
        at = _step_into(node, part, key, setting)
        if isinstance(node, dict):
            node.setdefault(at, {})
        node = node[at]
        key += (at,)
    at = _step_into(node, last, key, setting)
    node[at] = parsed
    return (*key, at)


def _step_into(node: Any, part: str, key: Key, setting: str) -> str | int:
    """The part of a key as the node takes it: a name in a table, a number in a list."""
    if isinstance(node, dict):
        return part
    if not isinstance(node, list):
        raise RecipeError(f"{_shown(setting)}: {dotted(key)} is no table, so it has no {part}")
    if not (part.isdecimal() and len(part) < 9) or int(part) >= len(node):
        raise RecipeError(
            f"{_shown(setting)}: {dotted(key)} has the numbers 0 to {len(node) - 1}, and no {part}"
        )
    return int(part)


def _shown(setting: str) -> str:
    """A --set in a message, whatever somebody gave it."""
    return f"--set {_cut(setting)}"


def _cut(text: str) -> str:
    text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"
