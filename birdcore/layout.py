"""How artifacts lie in a store, and the file that says so: one of another layout is refused."""

import json
from pathlib import Path

from birdcore.files import write_text

LAYOUT = 1


class StoreError(ValueError):
    """The store can't be used as it is; the message says why and what to do."""


def mark(root: Path) -> None:
    """Make a folder a store of this layout; raises StoreError where it can't be one."""
    path = root / "store.json"
    if not path.exists():
        if root.exists() and not root.is_dir():
            raise StoreError(f"{root} is a file: name a folder for the store")
        root.mkdir(parents=True, exist_ok=True)
        strangers = [p for p in root.iterdir() if p.name != "prefect"]
        # Another process may have made its first files here since we looked for the mark.
        if not path.exists() and any(path.name not in p.name for p in strangers):
            raise StoreError(
                f"{root} holds files but no store.json: name an empty folder for the store"
            )
        write_text(path, json.dumps({"birdflow": "store", "layout": LAYOUT}) + "\n")
    try:
        layout = json.loads(path.read_text())["layout"]
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{path} can't be read: name another folder for the store") from error
    if layout != LAYOUT:
        raise StoreError(
            f"{root} has store layout {layout}, this birdflow reads {LAYOUT}: "
            "use another folder, or the birdflow that made it"
        )
