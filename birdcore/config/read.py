"""From a TOML file to a recipe, or to a line for each mistake in it."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from birdcore.config.external_teacher import EXTERNAL_TEACHER
from birdcore.config.layers import MEL, RecipeError, find_recipe, read_layers, with_front_ends_of
from birdcore.config.recipe import OWN_LABELS, Recipe, expand
from birdcore.config.toml import DEEPEST, Key, NotARecipe, parse_value
from birdcore.config.validation_errors import cut, dotted, error_lines, nearest

SHARED = "train"
"""The table of settings that every round takes unless it has its own."""


def read_recipe(recipe: Path | str, settings: Sequence[str] = ()) -> Recipe:
    """Read a recipe, with `key=value` settings laid over it.

    Args:
        recipe: A TOML file, or the name of a recipe that comes with birdflow.
        settings: As after `--set`: `mel.preset=config_96`, `train.epochs=3`,
            `round.student.epochs=3` (by the round's name, or its number from 0).

    Returns:
        The recipe. A round of several iterations is as many rounds.

    Raises:
        RecipeError: With all that is wrong, one line each.

    Example:
        >>> recipe = read_recipe("mini", ["round.student.epochs=3"])
        >>> [(r.name, r.epochs) for r in recipe.round]
        [('supervised', 10), ('student', 3)]
    """
    path = find_recipe(recipe)
    layer = read_layers(path)
    tree = layer.tree
    tree["name"] = tree.get("name", re.sub(r"[^a-z0-9]+", "-", path.stem.lower()).strip("-"))
    tree["name"] = tree["name"] or "recipe"
    laid = {_lay_over(tree, setting): setting for setting in settings}
    said = {key[1]: tree[MEL][key[1]] for key in laid if key[0] == MEL and len(key) == 2}
    tree = with_front_ends_of({MEL: said}, tree)
    shared = tree.pop(SHARED, {})
    if not isinstance(shared, dict):
        raise RecipeError(f"{path}: {SHARED} must be a table: what all rounds share")
    only = isinstance(tree.get(EXTERNAL_TEACHER), dict)
    if only:
        tree[EXTERNAL_TEACHER] = [tree[EXTERNAL_TEACHER]]
    rounds = tree.get("round")
    own: list[set[str]] = []
    labels: list[set[str]] = []
    if isinstance(rounds, list) and all(isinstance(table, dict) for table in rounds):
        own = [set(table) for table in rounds]
        labels = [set(one) if isinstance(one := t.get("label"), dict) else set() for t in rounds]
        tree["round"] = [shared | table for table in rounds]
    try:
        # Strict JSON takes a list for a tuple, but neither "3" nor true for a number.
        content, said = json.dumps(tree, default=str), {OWN_LABELS: labels}
        return expand(Recipe.model_validate_json(content, strict=True, context=said))
    except ValidationError as error:
        lines = layer.lines()

        def written(key: Key) -> Key:
            """The key that a person wrote: what a round takes from [train] stands there, and the
            only teacher is no list."""
            if only and key[:2] == (EXTERNAL_TEACHER, 0):
                return (EXTERNAL_TEACHER, *key[2:])
            if key[:1] == ("round",) and len(key) > 2 and own:
                _, index, name, *_ = key
                if name in shared and name not in own[int(index)]:
                    return (SHARED, *key[2:])
            return key

        def where(key: Key) -> str:
            above = [key[:length] for length in range(len(key), 0, -1)]
            below = [k for k in laid if k[: len(key)] == key and key not in lines]
            if setting := next((laid[k] for k in [*above, *below] if k in laid), None):
                return f"--set {cut(setting)}"
            return next((lines[k] for k in above if k in lines), str(path))

        mistakes = error_lines(error, Recipe, tree, where, written)
        raise RecipeError("\n".join(mistakes)) from None


def _lay_over(tree: dict[str, Any], setting: str) -> Key:
    """Set `mel.preset=config_96` or `round.1.epochs=3` in the tree; returns the key."""
    name, equals, value = (part.strip() for part in setting.partition("="))
    shown = f"--set {cut(setting)}"
    if not equals or not name:
        raise RecipeError(f"{shown}: write KEY=VALUE, for example mel.preset=config_96")
    try:
        setting.encode()
        parsed = parse_value(value)
    except UnicodeEncodeError:
        raise RecipeError(f"{shown}: not UTF-8 text") from None
    except NotARecipe as error:
        raise RecipeError(f"{shown}: {error}") from None
    key: Key = ()
    node: Any = tree
    *parents, last = name.split(".")
    if len(parents) >= DEEPEST:
        raise RecipeError(f"{shown}: no setting lies so deep")
    for part in parents:
        index = _index(node, part, key, shown)
        if isinstance(node, dict):
            node.setdefault(index, {})
        node = node[index]
        key += (index,)
    index = _index(node, last, key, shown)
    node[index] = parsed
    return (*key, index)


def _index(node: Any, part: str, key: Key, shown: str) -> str | int:
    """A part of a key as the node takes it: a name in a table, a number in a list.

    Tables in a list go by their names as well.
    """
    if isinstance(node, dict):
        return part
    if not isinstance(node, list):
        raise RecipeError(f"{shown}: {dotted(key)} is no table, so it has no {part}")
    names = [str(item.get("name")) if isinstance(item, dict) else "" for item in node]
    if part in names:
        return names.index(part)
    if not (part.isdecimal() and len(part) < 9) or int(part) >= len(node):
        raise RecipeError(
            f"{shown}: {dotted(key)} has no {cut(part)}{nearest(part, names) or '.'} "
            f"There are the numbers 0 to {len(node) - 1}"
            + (f" and the names {', '.join(filter(None, names))}" if any(names) else "")
        )
    return int(part)
