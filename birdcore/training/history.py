"""The history of a training, a JSON line for each epoch, kept beside a model's weights."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

FILE = "history.jsonl"


def write_history(folder: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / FILE).write_text(lines, encoding="utf-8")


def read_history(folder: Path) -> list[dict[str, Any]]:
    """The rows of a published model's history: epoch, loss, auc, learning_rate, crops, seconds."""
    text = (folder / FILE).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]
