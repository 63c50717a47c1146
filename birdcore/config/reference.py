"""The page `docs/recipe.md`: every setting of a recipe, from the models that read it.

The models hold types, limits, defaults and the text on each setting, so the page is generated and
can't contradict them. To write it anew:

    python -m birdcore.config.reference > docs/recipe.md
"""

import ast
import inspect
import json
import sys
import textwrap
from collections.abc import Iterator

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from birdcore.config.recipe import Recipe
from birdcore.config.section import Section
from birdcore.config.validation_errors import allowed

INTRODUCTION = """\
# Recipes

<!-- Generated: python -m birdcore.config.reference > docs/recipe.md -->

A recipe is a TOML file that says what to build. All of its settings are below, with what they may
be and what they are when a recipe does not set them. A key or value that is not allowed is
refused with its line, what is allowed and the nearest right spelling; a key of an earlier version
with its new name.

```toml
base = "mini"              # one of birdflow's own recipes, or a file beside this one
drop_rounds = ["student"]  # rounds of the base that are not wanted

[train]                    # what all rounds share, unless a round has its own
epochs = 20

[[round]]                  # merged into the base's round of this name
name = "supervised"
mixup = { probability = 0.5 }

[[round]]                  # new
name = "long"
init_from = "supervised"
```

- Tables are laid over those of the base key by key. A round of a name that the base has is merged
  into it, its tables key by key; a new one goes before the next round of the base that the recipe
  names, or to the end. Other lists replace those of the base.
- `[train]` has the settings of a round. What a round sets, its base's included, goes before
  `[train]`, and a table of a round, such as `mixup`, replaces that of `[train]` as a whole.
- `--set KEY=VALUE` goes before all of them: `--set mel.n_mels=64`, `--set train.epochs=3`, `--set
  round.supervised.epochs=3`.
"""


LISTS = ("round", "source", "external_teacher")
"""The lists of tables."""


def markdown() -> str:
    """The page, as Markdown."""
    return "\n".join([INTRODUCTION, *_section(Recipe, ""), ""])


def _section(model: type[BaseModel], path: str) -> Iterator[str]:
    """The settings of a table, then the tables in it."""
    schema = model.model_json_schema()
    texts = field_texts(model)
    tables = {name: table for name, field in model.model_fields.items() if (table := _table(field))}
    yield f"## {_title(path)}\n"
    if path and model.__doc__:
        yield f"{' '.join(model.__doc__.split())}\n"
    yield "| setting | allowed | default | |"
    yield "|---|---|---|---|"
    for name, field in model.model_fields.items():
        if name in tables:
            words = "tables" if name in LISTS else "a table"
            anchor = f"{path}{name}".replace(".", "")
            default = "required" if field.is_required() else "none" if field.default is None else ""
            yield _row(name, f"{words}, [below](#{anchor})", default, texts.get(name, ""))
        else:
            default = "required" if field.is_required() else _toml(field.default)
            words = allowed(schema["properties"][name], schema)
            yield _row(name, words, default, texts.get(name, ""))
    yield ""
    for name, table in tables.items():
        yield from _section(table, f"{path}.{name}" if path else name)


def field_texts(model: type[BaseModel]) -> dict[str, str]:
    """The string below each field of a model and of its bases, in their source."""
    texts: dict[str, str] = {}
    for base in reversed(model.__mro__):
        if not issubclass(base, BaseModel) or base is BaseModel:
            continue
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        assert isinstance(tree, ast.ClassDef)
        for field, below in zip(tree.body, tree.body[1:], strict=False):
            match field, below:
                case (
                    ast.AnnAssign(target=ast.Name(id=name)),
                    ast.Expr(value=ast.Constant(value=str(text))),
                ):
                    texts[name] = " ".join(text.split())
    return texts


def _table(field: FieldInfo) -> type[Section] | None:
    """The model of a setting that is a table, or a list of tables."""
    kinds = [field.annotation]
    while kinds:
        kind = kinds.pop()
        if inspect.isclass(kind) and issubclass(kind, Section):
            return kind
        kinds += getattr(kind, "__args__", ())
    return None


def _title(path: str) -> str:
    if not path:
        return "The recipe"
    return f"`[[{path}]]`" if path in LISTS else f"`[{path}]`"


def _toml(value: object) -> str:
    return "" if value is None else f"`{json.dumps(value)}`"


def _row(*cells: str) -> str:
    name, *rest = (cell.replace("|", "\\|") for cell in cells)
    return f"| `{name}` | {' | '.join(rest)} |"


if __name__ == "__main__":
    sys.stdout.write(markdown())
