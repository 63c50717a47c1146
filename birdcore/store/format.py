"""The file `store.json`, which marks a folder as a store and gives the version of its layout.

A store of another layout is refused, so that no version of birdflow misreads what another wrote.
"""

import json
from pathlib import Path

from birdcore.store.files import read_regular, write_text

LAYOUT = 1
NAME = "store.json"
MOST_BYTES = 1 << 16
MARK = json.dumps({"birdflow": "store", "layout": LAYOUT}) + "\n"


class StoreError(ValueError):
    """The store can't be used as it is; the message says why and what to do."""


def mark(root: Path) -> None:
    """Make a folder a store of this layout.

    Raises:
        StoreError: It can't be one.
    """
    if not is_store(root):
        root.mkdir(parents=True, exist_ok=True)
        write_text(root / NAME, MARK)


def is_store(root: Path) -> bool:
    """Whether a folder is a store of this layout; False where it could become one.

    Raises:
        StoreError: It is neither: a file, a folder of other files, or a store of another layout.
    """
    path = root / NAME
    if not path.exists():
        if root.exists() and not root.is_dir():
            raise StoreError(f"{root} is a file: name a folder for the store")
        others = [p for p in root.glob("*") if p.name != "prefect"]
        # Another process may have made its first files here since we looked for the mark.
        if not path.exists():
            if any(path.name not in p.name for p in others):
                raise StoreError(
                    f"{root} holds files but no {NAME}: name an empty folder for the store"
                )
            return False
    try:
        content = read_regular(path, MOST_BYTES)
    except ValueError as error:  # a link, a device, or far too much for a mark
        raise StoreError(
            f"{path} can't be read: {error}: name another location for the store"
        ) from None
    refuse_other(content, str(root))
    return True


def refuse_other(mark: str | bytes, where: str) -> None:
    """Raises StoreError where the content of a store's mark is not this layout."""
    try:
        layout = json.loads(mark)["layout"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise StoreError(
            f"{where}/{NAME} can't be read: name another location for the store"
        ) from error
    if layout != LAYOUT:
        raise StoreError(
            f"{where} has store layout {layout}, this birdflow reads {LAYOUT}: "
            "use another location, or the birdflow that made it"
        )
