"""Where a store is: a folder, or a URL with a folder on this machine."""

import hashlib
import os
import re
from pathlib import Path
from urllib.parse import urlsplit

from birdcore.far import far_side
from birdcore.store import Store


def open_store(place: str | Path) -> Store:
    """The store in a folder, or at a URL such as s3://bucket/prefix.

    Raises StoreError or FarError where it can't be used.
    """
    url = str(place)
    return Store(folder_of(url), far_side(url) if is_url(url) else None)


def folder_of(place: str | Path) -> Path:
    """The store's folder on this machine: for a URL under BIRDFLOW_NEAR, or the user's cache."""
    if not is_url(url := str(place)):
        return Path(url)
    given = os.environ.get("BIRDFLOW_NEAR")
    cached = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "birdflow"
    parts = urlsplit(url)
    name = re.sub(r"[^A-Za-z0-9.]+", "-", parts.netloc + parts.path).strip("-")
    digest = hashlib.sha256(url.encode()).hexdigest()
    return (Path(given) if given else cached) / f"{name}-{digest[:8]}"


def is_url(place: str) -> bool:
    return "://" in place
