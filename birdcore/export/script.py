"""`predict.py` of a bundle: the modules of `kit/`, joined into one file.

Whoever predicts with a bundle wants one file that can be read, copied and changed; whoever works on
it wants modules of 100 to 250 lines with types and tests. So the file is the modules one after
another, as they are written, with a title each. Their imports stand together at its beginning;
those from each other fall away, since there all names are in one place.
"""

import ast
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from sys import stdlib_module_names
from typing import NamedTuple

KIT = Path(__file__).parent / "kit"
INNER = "birdcore.export.kit."
FIRST, LAST = "one_thread", "main"
PARTS = (
    "base", "samples", "filters", "wavelets", "front_ends", "codes", "windows", "rows", "heads",
    "engines", "bundle", "recordings", "submission", LAST,
)  # fmt: skip
"""In an order in which each needs none that comes later, to be imported."""
TITLE_WIDTH = 95


class Part(NamedTuple):
    """A module: the lines of its docstring, its imports, and what comes after them."""

    docstring: list[str]
    imports: list[ast.Import | ast.ImportFrom]
    body: str


def predict_script() -> str:
    """The text of predict.py."""
    first, last = _read(FIRST), _read(LAST)
    parts = {name: _read(name) for name in PARTS}
    imports = [each for part in (first, *parts.values()) for each in part.imports]
    outer = [each for each in imports if not _module(each).startswith(INNER)]
    of_python = [each for each in outer if _module(each).partition(".")[0] in stdlib_module_names]
    others = [each for each in outer if each not in of_python]
    begin = [
        "\n".join(last.docstring),
        _merged(of_python),
        f"{_comment(first.docstring)}{first.body}",
        _merged(others),
    ]
    sections = [_section(name, part) for name, part in parts.items()]
    return "\n\n".join([*begin, "\n\n\n".join(sections)]) + "\n"


def _read(name: str) -> Part:
    text = (KIT / f"{name}.py").read_text(encoding="utf-8")
    lines, (docstring, *others) = text.splitlines(), ast.parse(text).body
    imports = [each for each in others if isinstance(each, ast.Import | ast.ImportFrom)]
    assert imports, name
    body = "\n".join(lines[imports[-1].end_lineno :])
    return Part(lines[: docstring.end_lineno], imports, body)


def _module(node: ast.Import | ast.ImportFrom) -> str:
    name = node.module if isinstance(node, ast.ImportFrom) else node.names[0].name
    assert name, "an import is relative"
    return name


def _merged(nodes: Iterable[ast.Import | ast.ImportFrom]) -> str:
    """Imports in the order of isort, each name once."""
    whole: set[str] = set()
    names: dict[str, set[str]] = defaultdict(set)
    for node in nodes:
        if isinstance(node, ast.Import):
            whole.add(ast.unparse(node))
        else:
            names[_module(node)] |= {each.name for each in node.names}
    parts = [f"from {module} import {', '.join(sorted(names[module]))}" for module in sorted(names)]
    return "\n".join([*sorted(whole), *parts])


def _section(name: str, part: Part) -> str:
    title = f"# --- {name.replace('_', ' ')} ".ljust(TITLE_WIDTH, "-")
    about = "" if name == LAST else f"{_comment(part.docstring)}\n"
    return f"{title}\n{about}{part.body}"


def _comment(docstring: Iterable[str]) -> str:
    lines = "\n".join(docstring).strip('"').strip().splitlines()
    return "\n".join(f"# {line}".rstrip() for line in lines)
