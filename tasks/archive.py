"""Tasks that query an archive: searches and downloads, its key, and one rate limit for all.

Results are cached by the collection's folder, which has each recording once: a retry or a later run
requests what is missing, whatever Prefect remembers.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prefect import task
from prefect.blocks.system import Secret
from prefect.client.orchestration import get_client
from prefect.concurrency.sync import rate_limit
from prefect.exceptions import ObjectNotFound
from prefect.tasks import exponential_backoff

from birdcore.archives.allowance import used_up
from birdcore.archives.client import Archive, open_archive
from birdcore.archives.download import fetch_all
from birdcore.archives.errors import KEY_NAME
from birdcore.archives.record_table import read_records
from birdcore.archives.search import fresh_search
from birdcore.archives.selection_state import SEARCHES
from birdcore.config import INaturalist, XenoCanto
from tasks.progress import progress_of
from tasks.stage import can_recover
from tasks.stop import stopping

SOURCES = (XenoCanto.data(), INaturalist.data())
"""What a round's `data` calls the archives; their rate limits have these names."""
SECRET = "xeno-canto-key"
LOOK_S = 30.0
"""Between two looks at whether more may be fetched."""


@contextmanager
def archive_of(site: str, source: str) -> Iterator[Archive]:
    """An archive, queried no faster than its limit allows. The key never leaves the task."""
    key = archive_key() if source == XenoCanto.data() else ""
    with open_archive(site, key, lambda: rate_limit(source, strict=True)) as archive:
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


def have_archive_limits() -> None:
    """Limits on a server that has none: polite until a recipe says how fast."""
    with get_client(sync_client=True) as client:
        for source in SOURCES:
            try:
                client.read_global_concurrency_limit_by_name(source)
            except ObjectNotFound:
                set_limit(source, 1.0)


def set_limit(source: str, per_second: float) -> None:
    """An archive's limit on the server: one request at a time, `per_second` in the long run."""
    with get_client(sync_client=True) as client:
        client.upsert_global_concurrency_limit_by_name(
            source, limit=1, slot_decay_per_second=per_second
        )


@task(
    name="search",
    task_run_name="search {query}",
    persist_result=False,
    retries=1,  # the client has tried six times by then, and a person may be waiting
    retry_delay_seconds=10,
    retry_jitter_factor=0.5,
    retry_condition_fn=can_recover,
)
def search(query: str, source: str, site: str, folder: str, max_age_s: float, per_page: int) -> int:
    """How many recordings an archive lists; queried only where the last answer is older.

    Args:
        query: In the archive's own terms.
        source: What a round's `data` calls the archive.
        site: Its address.
        folder: Its recordings'.
        max_age_s: Of an answer that is used again.
        per_page: Records of a page.
    """
    with archive_of(site, source) as archive, progress_of(f"search {query}") as progress:
        found = fresh_search(
            archive,
            query,
            Path(folder) / SEARCHES,
            max_age_s,
            progress=progress,
            per_page=per_page,
            source=source,
        )
    return len(found)


@task(
    name="download",
    task_run_name="download {number:04d}",
    persist_result=False,
    retries=2,  # a shard that meets an archive that is down is left after minutes, not an hour
    retry_delay_seconds=exponential_backoff(30),
    retry_jitter_factor=0.5,
    retry_condition_fn=can_recover,
)
def download(
    number: int, ids: Sequence[int], chosen: str, source: str, site: str, folder: str
) -> dict[str, Any]:
    """What came of the recordings `ids` of the selection `chosen`: counts, bytes and failures."""
    chosen_ids = set(ids)
    records = [record for record in read_records(Path(chosen)) if record.id in chosen_ids]
    with archive_of(site, source) as archive, progress_of(f"download {number:04d}") as progress:
        while source == INaturalist.data() and (why := used_up(Path(folder), datetime.now(UTC))):
            progress(0, len(records), why)
            stopping.wait(LOOK_S)
        return dict(fetch_all(archive, records, Path(folder), progress).metrics)
