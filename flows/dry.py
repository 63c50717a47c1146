"""What collecting would fetch, said before it is fetched: searches are made, nothing is kept back.

Without a server: one process asks, at the recipe's rate.
"""

import os
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from rich.table import Table

from birdcore.catalog.tables import Tables
from birdcore.collect.polite import open_archive, pace
from birdcore.collect.record import Record
from birdcore.collect.refusal import KEY_NAME
from birdcore.collect.search import fresh_search
from birdcore.collect.selection import competition_of
from birdcore.collect.wanted import SEARCHES, missing, queries_of, select_again
from birdcore.recipe import XenoCanto

BYTES_PER_S = {".mp3": 16_000, ".flac": 90_000, ".wav": 180_000}
"""About: the archive does not say how large a file is."""


def dry_run(wanted: XenoCanto, tables: Tables, folder: Path) -> Table:
    """A table by species of what would be fetched, with what it all comes to in its caption."""
    wait = pace(wanted.per_second)
    with open_archive(wanted.site, os.environ.get(KEY_NAME, ""), wait) as archive:
        for query in queries_of(wanted):
            age_s = 3600 * wanted.search_age_h
            fresh_search(archive, query, folder / SEARCHES, age_s, per_page=wanted.per_page)
    selected = select_again(folder, wanted, competition_of(tables))
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
        f"had, {len(selected.left_out)} left out; {len(todo)} requests at {wanted.per_second:g} "
        f"a second take {len(todo) / wanted.per_second / 60:.1f} minutes or more"
    )
    return table


def _numbers(records: Iterable[Record]) -> tuple[str, str, str, str]:
    records = list(records)
    hours = sum(r.length_s or 0 for r in records) / 3600
    size = sum((r.length_s or 0) * BYTES_PER_S.get(r.suffix, 16_000) for r in records)
    licences = sorted({r.licence or "unknown" for r in records})
    return str(len(records)), f"{hours:.2f}", f"{size / 1e6:.0f}", ", ".join(licences)
