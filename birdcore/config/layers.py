"""A recipe's file laid over the recipe that it names as `base`, and where each key was written.

Most recipes are another one with a few changes, so a recipe holds the changes alone. `base` is a
file beside the recipe, or the name of one of birdflow's own recipes (folder `recipes`). Tables are
merged key by key. Rounds are merged by their names, and `drop_rounds` names those of the base that
are not wanted; other lists replace those of the base.
"""

import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from birdcore.config.external_teacher import EXTERNAL_TEACHER, TOML
from birdcore.config.mel import inherited
from birdcore.config.toml import MOST_BYTES, Key, NotARecipe, lines_of, parse
from birdcore.config.validation_errors import cut, nearest

SHIPPED = Path(__file__).parents[2] / "recipes"
"""Beside the package, in the source and where it is installed."""

BASE = "base"
DROP = "drop_rounds"
MEL = "mel"
MOST_BASES = 16

Tree: TypeAlias = dict[str, Any]


class RecipeError(ValueError):
    """A recipe that can't be built; the message names file, line and key."""


@dataclass(frozen=True)
class Layer:
    """What a recipe says, with its base.

    Attributes:
        tree: The tables, without `base` and `drop_rounds`.
        lines: Finds file and line of each key, which takes a while: only for messages.
    """

    tree: Tree
    lines: Callable[[], dict[Key, str]]


def shipped_recipes() -> list[str]:
    """The names of the recipes that come with birdflow, such as `mini`."""
    return sorted(path.stem for path in SHIPPED.glob("*.toml"))


def find_recipe(recipe: Path | str) -> Path:
    """The file of a recipe: a path, or the name of one that comes with birdflow.

    Example:
        >>> find_recipe("mini").name
        'mini.toml'
    """
    path = Path(recipe)
    return path if _is_there(path) else _shipped(str(recipe)) or path


def read_layers(path: Path, above: Sequence[Path] = ()) -> Layer:
    """Read a recipe's file and those below it.

    Args:
        path: The file.
        above: The recipes that are laid over it.

    Raises:
        RecipeError: A file is not there or not TOML, or `base` or `drop_rounds` is wrong.
    """
    text = _text(path)
    try:
        tree = parse(text)
    except NotARecipe as error:
        raise RecipeError(f"{path}:{error.line}: {error}") from None

    def lines() -> dict[Key, str]:
        return {key: f"{path}:{number}" for key, number in lines_of(text).items()}

    def refusal(key: str, message: str) -> RecipeError:
        return RecipeError(f"{lines()[(key,)]}: {key}{message}")

    _place(tree, path.parent)
    base, dropped = tree.pop(BASE, None), tree.pop(DROP, None)
    if base is None:
        if dropped is not None:
            raise refusal(DROP, " needs base, the recipe whose rounds are dropped")
        return Layer(tree, lines)
    if not isinstance(base, str):
        raise refusal(BASE, " must be the name of a recipe or of its file, in quotes")
    below = _base(path, base)
    if below is None:
        near = nearest(base, shipped_recipes())
        raise refusal(
            BASE,
            f" = {cut(base)!r}: there is no such recipe in {path.parent}, and none that comes "
            f"with birdflow{near or ': these are ' + ', '.join(shipped_recipes())}",
        )
    if below.resolve() in {other.resolve() for other in (*above, path)}:
        raise refusal(BASE, f" = {base!r} leads back to this recipe")
    if len(above) == MOST_BASES:
        raise refusal(BASE, f": no more than {MOST_BASES} recipes lie on each other")
    under = read_layers(below, (*above, path))
    under.tree.pop("name", None)
    names = [table.get("name") for table in _rounds(under.tree) or ()]
    if dropped is None:
        dropped = []
    if not isinstance(dropped, list) or not all(isinstance(name, str) for name in dropped):
        raise refusal(DROP, ' must be a list of names of rounds, such as ["student"]')
    for name in dropped:
        if name not in names:
            known = [known for known in names if isinstance(known, str)]
            raise refusal(
                DROP,
                f": the base has no round {cut(name)!r}{nearest(name, known) or '.'} "
                f"There are {', '.join(known)}",
            )
    return _laid_over(under, Layer(tree, lines), dropped)


def with_front_ends_of(over: Mapping[str, Any], tree: Tree) -> Tree:
    """A recipe's tables, without the settings of front ends that those above it replace."""
    under, above = tree.get(MEL), over.get(MEL)
    if not isinstance(under, dict) or not isinstance(above, dict):
        return tree
    return {**tree, MEL: inherited(under, above)}


def _place(tree: Tree, folder: Path) -> None:
    """Have paths of further sources and teachers start from the folder of the recipe that names
    them."""
    sources, teachers = _listed(tree, "source"), _listed(tree, EXTERNAL_TEACHER)
    places = [(table, key) for table in sources for key in ("path", "synonyms")]
    places += [(table, key) for table in teachers for key in ("file", "labels", "synonyms")]
    places += [
        (table, "teacher")
        for table in teachers
        if isinstance(table, dict) and str(table.get("teacher")).endswith(TOML)
    ]
    for table, key in places:
        if isinstance(table, dict) and isinstance(table.get(key), str) and table[key].strip():
            table[key] = str(folder / table[key])


def _listed(tree: Mapping[str, Any], key: str) -> list[Any]:
    """The tables of a list; one that stands alone is a list of one."""
    found = tree.get(key)
    return found if isinstance(found, list) else [found]


def _laid_over(under: Layer, over: Layer, dropped: Sequence[str]) -> Layer:
    tree = _merged(with_front_ends_of(over.tree, under.tree), over.tree)
    below, above = _rounds(under.tree), _rounds(over.tree)
    if below is None or (above is None and "round" in over.tree):  # a mistake, told later
        return Layer(tree, lambda: under.lines() | over.lines())
    pairs = _paired(below, above or [], dropped)
    tree["round"] = [
        _merged({} if i is None else below[i], {} if j is None else (above or [])[j])
        for i, j in pairs
    ]

    def lines() -> dict[Key, str]:
        places: dict[Key, str] = {}
        for layer, numbers in zip((under, over), zip(*pairs, strict=True), strict=True):
            moved = {was: now for now, was in enumerate(numbers)}
            for key, place in layer.lines().items():
                if key[:1] != ("round",) or len(key) == 1:
                    places[key] = place
                elif key[1] in moved:
                    places["round", moved[key[1]], *key[2:]] = place
        return places

    return Layer(tree, lines if pairs else lambda: under.lines() | over.lines())


def _paired(
    below: Sequence[Tree], above: Sequence[Tree], dropped: Sequence[str]
) -> list[tuple[int | None, int | None]]:
    """For each round of the result its number in the base and in the recipe above it.

    A new round goes before the base's round that the recipe names next, or to the end.
    """
    pairs: list[tuple[int | None, int | None]] = [
        (i, None) for i, table in enumerate(below) if table.get("name") not in dropped
    ]
    new: list[tuple[int | None, int | None]] = []
    for j, table in enumerate(above):
        for at, (i, taken) in enumerate(pairs):
            if i is not None and taken is None and below[i].get("name") == table.get("name"):
                pairs[at : at + 1] = [*new, (i, j)]
                new = []
                break
        else:
            new.append((None, j))
    return pairs + new


def _merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> Tree:
    both = {**under, **over}
    for key in under.keys() & over.keys():
        if isinstance(under[key], dict) and isinstance(over[key], dict):
            both[key] = _merged(under[key], over[key])
    return both


def _rounds(tree: Mapping[str, Any]) -> list[Tree] | None:
    """The rounds, or None where they are not written as a list of tables."""
    rounds = tree.get("round")
    is_list = isinstance(rounds, list) and all(isinstance(table, dict) for table in rounds)
    return rounds if is_list else None


def _base(path: Path, base: str) -> Path | None:
    """The file that a recipe means by its base: beside it, or one that comes with birdflow."""
    beside = [path.parent / base, path.parent / f"{base}.toml"]
    found = [file for file in beside if _is_there(file)]
    if shipped := _shipped(base):
        found.append(shipped)
    # A copy of mini.toml may say base = "mini".
    others = [file for file in found if file.resolve() != path.resolve()]
    return next(iter([*others, *found]), None)


def _shipped(name: str) -> Path | None:
    stem = name.removesuffix(".toml")
    return SHIPPED / f"{stem}.toml" if stem in shipped_recipes() else None


def _is_there(path: Path) -> bool:
    try:
        return path.exists() and not path.is_dir()
    except (OSError, ValueError):  # a name that no file can have
        return False


def _text(path: Path) -> str:
    try:
        content = _bytes(path)
    except (FileNotFoundError, ValueError):  # ValueError: a name that no file can have
        own = shipped_recipes()
        meant = nearest(path.stem, own) or "."
        raise RecipeError(
            f"{path}: there is no such recipe{meant} Those that come with birdflow are "
            f"{', '.join(own)}"
        ) from None
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
    """At most one byte more than a recipe may have; None for a file that may never end."""
    if not stat.S_ISREG(path.stat().st_mode) and not path.is_dir():
        return None
    with path.open("rb") as file:
        return file.read(MOST_BYTES + 1)
