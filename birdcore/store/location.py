"""Open a store by its location: a folder, or a URL, which has a cache folder on each machine."""

import hashlib
import os
import re
from pathlib import Path
from urllib.parse import urlsplit

from birdcore.store.remote import RemoteError, open_remote
from birdcore.store.store import Store

RENAMED = "BIRDFLOW_NEAR"
"""What the variable BIRDFLOW_CACHE_DIR was called up to version 0.1."""


def open_store(location: str | Path, *, make: bool = True, preview: bool = False) -> Store:
    """The store in a folder, or at a URL such as s3://bucket/prefix.

    Args:
        location: The folder or URL.
        make: Make it where there is none.
        preview: Make nothing: where there is none, give an empty one that can only be read.

    Raises:
        StoreError: It can't be used.
        RemoteError: It can't be used, or without `make` there is none at the URL.

    Example:
        >>> open_store("store").location  # doctest: +SKIP
        '/home/me/store'
    """
    if not is_url(location):
        return Store(Path(location), make=make and not preview)
    folder = local_folder(location)  # refuses a wrong environment before any network
    remote = open_remote(_plain(str(location)), make=make and not preview, missing_ok=preview)
    return Store(folder, remote, make=not preview)


def local_folder(location: str | Path) -> Path:
    """The store's folder on this machine: for a URL in BIRDFLOW_CACHE_DIR or the user's cache.

    Raises RemoteError for a URL that holds a key, and for the variable's earlier name.
    """
    if not is_url(location):
        return Path(location)
    url = _plain(str(location))
    given = os.environ.get("BIRDFLOW_CACHE_DIR")
    if RENAMED in os.environ:
        raise RemoteError(f"{RENAMED} is now BIRDFLOW_CACHE_DIR: rename it in your environment")
    cached = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "birdflow"
    parts = urlsplit(url)
    name = re.sub(r"[^A-Za-z0-9.]+", "-", parts.netloc + parts.path).strip("-")
    digest = hashlib.sha256(url.encode()).hexdigest()
    return (Path(given) if given else cached) / f"{name}-{digest[:8]}"


def is_url(location: str | Path) -> bool:
    return "://" in str(location)


def _plain(url: str) -> str:
    """The URL in one form for each store; raises RemoteError where it holds a key."""
    where, mark, query = url.partition("?")
    if "@" in where and not where.startswith("file:"):
        raise RemoteError(
            "a store's URL is written into logs: give keys in AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, not in the URL"
        )
    return f"{where.rstrip('/')}{mark}{query}"
