"""The task `search`: one query to the archive, answered into the collection's folder."""

from pathlib import Path

from prefect import task

from birdcore.xeno_canto.search import fresh_search
from birdcore.xeno_canto.selection_state import SEARCHES
from tasks.archive import archive_of
from tasks.progress import progress_of
from tasks.stage import can_recover


@task(
    name="search",
    task_run_name="search {query}",
    persist_result=False,
    retries=1,  # the archive was asked six times by then, and somebody may be waiting
    retry_delay_seconds=10,
    retry_jitter_factor=0.5,
    retry_condition_fn=can_recover,
)
def search(query: str, site: str, collection: str, max_age_s: float, per_page: int) -> int:
    """How many recordings the archive lists; asked only where the last answer is older."""
    folder = Path(collection) / SEARCHES
    with archive_of(site) as archive, progress_of(f"search {query}") as progress:
        return len(
            fresh_search(archive, query, folder, max_age_s, progress=progress, per_page=per_page)
        )
