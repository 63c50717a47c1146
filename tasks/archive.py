"""How tasks reach the archive: its key, and one rate limit for all tasks and machines."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from prefect.blocks.system import Secret
from prefect.client.orchestration import get_client
from prefect.concurrency.sync import rate_limit
from prefect.exceptions import ObjectNotFound

from birdcore.xeno_canto.client import Archive, open_archive
from birdcore.xeno_canto.errors import KEY_NAME

LIMIT = "xeno-canto"
SECRET = "xeno-canto-key"


@contextmanager
def archive_of(site: str) -> Iterator[Archive]:
    """The archive, asked no faster than the limit allows. The key never leaves the task."""
    with open_archive(site, archive_key(), lambda: rate_limit(LIMIT, strict=True)) as archive:
        yield archive


def archive_key() -> str:
    """The key from the environment or the Prefect Secret block; empty where neither has it."""
    if key := os.environ.get(KEY_NAME):
        return key
    try:
        block = Secret.load(SECRET)
    except ValueError:  # no such block
        return ""
    assert isinstance(block, Secret)
    return str(block.get())


def have_archive_limit() -> None:
    """A limit on a server that has none: polite until a recipe says how fast."""
    with get_client(sync_client=True) as client:
        try:
            client.read_global_concurrency_limit_by_name(LIMIT)
        except ObjectNotFound:
            set_limit(1.0)


def set_limit(per_second: float) -> None:
    """The limit on the server: one request at a time, `per_second` of them in the long run."""
    with get_client(sync_client=True) as client:
        client.upsert_global_concurrency_limit_by_name(
            LIMIT, limit=1, slot_decay_per_second=per_second
        )
