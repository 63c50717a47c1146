"""The task `download`: a shard of recordings into the collection.

Cached by the collection itself, which has each recording once: a retry or a later run asks for
what is missing, whatever became of Prefect's memory.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prefect import task
from prefect.tasks import exponential_backoff

from birdcore.xeno_canto.download import fetch_all
from birdcore.xeno_canto.record_table import read_records
from tasks.archive import archive_of
from tasks.progress import progress_of
from tasks.stage import can_recover


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
    number: int, ids: Sequence[int], chosen: str, site: str, collection: str
) -> dict[str, Any]:
    """What came of the recordings `ids` of the table `chosen`: counts, bytes and failures."""
    wanted = set(ids)
    records = [record for record in read_records(Path(chosen)) if record.id in wanted]
    with archive_of(site) as archive, progress_of(f"download {number:04d}") as progress:
        return dict(fetch_all(archive, records, Path(collection), progress).metrics)
