"""What collecting would fetch, said before it is fetched: searches are made, nothing is kept back.

No server of ours is started: one process sends all requests, at the recipe's rate.
"""

import os
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from rich.table import Table

from birdcore.archives.client import Refused, open_archive, pace
from birdcore.archives.errors import KEY_NAME
from birdcore.archives.folder import folder_of
from birdcore.archives.record import Record
from birdcore.archives.search import fresh_search
from birdcore.archives.selection_state import SEARCHES, missing, stale, update_selection
from birdcore.config import Criteria, XenoCanto
from birdcore.sources.collection import competition_of
from birdcore.sources.tables import Tables
from flows.environment import use_users_server, users_server

BYTES_PER_S = 32_000
"""The archive does not say how large a file is: 61 of 61 real mp3s have about 256 kbit/s."""
BYTES_PER_SAMPLE = {".flac": 0.73, ".wav": 4.0}
"""What 59 real flac files, of one channel, have on average; 16 bits of two channels are assumed."""
RATE = 44_100
"""Where a record does not say it."""
SLACK_S = 0.4
"""Measured time of a request beyond the rate: the call to the server that limits it."""


def dry_run(criteria: Criteria, tables: Tables | None, collection: Path) -> Table:
    """A table by species of what would be fetched, with what it all comes to in its caption."""
    folder = folder_of(collection, criteria.table)
    if queries := stale(folder, criteria):
        key = _key() if isinstance(criteria, XenoCanto) else ""
        with open_archive(criteria.site, key, pace(criteria.per_second)) as archive:
            for query in queries:
                age_s = 3600 * criteria.search_age_h
                fresh_search(
                    archive,
                    query,
                    folder / SEARCHES,
                    age_s,
                    per_page=criteria.per_page,
                    source=criteria.data(),
                )
    selected = update_selection(folder, criteria, competition_of(tables, criteria))
    todo = missing(folder, selected.chosen)
    by_species: dict[str, list[Record]] = defaultdict(list)
    for record in todo:
        by_species[record.scientific_name].append(record)
    table = Table(
        "species", "recordings", "hours", "MB, about", "licences", box=None, pad_edge=False
    )
    for species, records in sorted(by_species.items()):
        table.add_row(species, *_numbers(records))
    table.add_row("all", *_numbers(todo), style="bold")
    table.caption = (
        f"{len(selected.chosen)} wanted, {len(selected.chosen) - len(todo)} there or not to be "
        f"had, {len(selected.left_out)} left out; {len(todo)} requests at {criteria.per_second:g} "
        f"a second take about {len(todo) * (1 / criteria.per_second + SLACK_S) / 60:.1f} minutes"
    )
    return table


def _key() -> str:
    """The key as the tasks find it; a server of the user is queried, and none is started."""
    if key := os.environ.get(KEY_NAME):
        return key
    if users_server():
        use_users_server()
        import httpx

        from tasks.archive import archive_key  # and Prefect, which reads its settings only now

        try:
            key = archive_key()
        except (httpx.HTTPError, RuntimeError):
            key = ""  # the server is down, refuses us, or is of another version
    if not key:
        raise Refused(
            f"the archive can't be searched without a key: set {KEY_NAME}, or keep it as Secret "
            "block xeno-canto-key on a Prefect server that is up and that PREFECT_API_URL names",
            401,
        )
    return key


def about_bytes(record: Record) -> float:
    """What the recording's file may have, by its length and format."""
    per_sample = BYTES_PER_SAMPLE.get(record.suffix)
    rate = BYTES_PER_S if per_sample is None else per_sample * (record.sample_rate or RATE)
    return rate * (record.length_s or 0)


def _numbers(records: Iterable[Record]) -> tuple[str, str, str, str]:
    records = list(records)
    licences = ", ".join(sorted({r.licence or "unknown" for r in records}))
    if records and all(r.length_s is None for r in records):  # as iNaturalist's
        return str(len(records)), "?", "?", licences
    hours = sum(r.length_s or 0 for r in records) / 3600
    size = sum(map(about_bytes, records))
    return str(len(records)), f"{hours:.2f}", f"{size / 1e6:.0f}", licences
