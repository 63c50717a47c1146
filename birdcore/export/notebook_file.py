"""A script with `# %%` marks as a Jupyter notebook (.ipynb, format 4.5)."""

import json
from typing import Any

MARK = "# %%"
MARKDOWN = "[markdown]"


def notebook(script: str) -> str:
    """The JSON of a notebook.

    Args:
        script: Cells that begin with `# %%`, or with `# %% [markdown]` and are comments. What
            stands before the first mark is left out.

    Example:
        >>> made = json.loads(notebook("# %% [markdown]\\n# A title\\n# %%\\nprint(1)\\n"))
        >>> [(cell["cell_type"], cell["source"]) for cell in made["cells"]]
        [('markdown', ['A title']), ('code', ['print(1)'])]
    """
    cells = []
    for number, block in enumerate(f"\n{script}".split(f"\n{MARK}")[1:]):
        kind, _, text = block.partition("\n")
        cells.append(_cell(f"cell-{number}", text.strip("\n"), kind.strip() == MARKDOWN))
    content = {
        "cells": cells,
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(content, indent=1) + "\n"


def _cell(name: str, text: str, markdown: bool) -> dict[str, Any]:
    if markdown:
        lines = [line.removeprefix("#").removeprefix(" ") for line in text.split("\n")]
        text = "\n".join(lines)
        return {"cell_type": "markdown", "id": name, "metadata": {}, "source": _lines(text)}
    return {
        "cell_type": "code", "execution_count": None, "id": name, "metadata": {}, "outputs": [],
        "source": _lines(text),
    }  # fmt: skip


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)
