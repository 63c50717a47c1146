"""What a recipe selects from the archive, and how much of it is there.

    selections/<digest of its criteria>/chosen.parquet  records that are selected
                                      left_out.csv      the others, each with its reason
                                      failed.csv        what is selected and not there, and why

Everything below a search is a function of the collection's folder, so that a plan and a second run
need no network. The chosen records are written anew only where they changed: their file's digest
is part of keys.
"""

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from birdcore.archives.folder import collected, failures
from birdcore.archives.record import Record
from birdcore.archives.record_table import read_records, write_records
from birdcore.archives.search import is_known, known_search, queries_of
from birdcore.archives.selection import Competition, Selected, select
from birdcore.config import Criteria, INaturalist
from birdcore.config.section import defaults_of
from birdcore.store.artifact import differing
from birdcore.store.files import write_text
from birdcore.text import to_csv

SEARCHES, SELECTIONS, CHOSEN, LEFT_OUT, FAILED = (
    "searches", "selections", "chosen.parquet", "left_out.csv", "failed.csv",
)  # fmt: skip
REQUEST_SETTINGS = {"site", "per_second", "search_age_h", "per_page"}
"""How the archive is asked: no part of what is selected."""
VERSION = 1
"""Of what criteria mean: raise it when a default of [xeno_canto] changes."""


def stale(folder: Path, criteria: Criteria, now: datetime | None = None) -> list[str]:
    """The queries whose last answer is missing or too old."""
    now = now or datetime.now(UTC)
    age_s = 3600 * criteria.search_age_h
    return [
        query
        for query in queries_of(criteria)
        if not is_known(folder / SEARCHES, criteria.site, query, age_s, now)
    ]


def update_selection(folder: Path, criteria: Criteria, competition: Competition) -> Selected:
    """Choose from all that the searches found, however old they are, and write both tables."""
    now = datetime.now(UTC)
    found: list[Record] = []
    for query in queries_of(criteria):
        found += known_search(folder / SEARCHES, criteria.site, query, None, now) or []
    selected = select(found, criteria, competition)
    directory = selection_folder(folder, criteria, competition)
    directory.mkdir(parents=True, exist_ok=True)
    chosen = directory / CHOSEN
    if _selection(chosen) != selected.chosen:
        write_records(chosen, selected.chosen)
    left_out = pd.DataFrame([(o.id, o.why) for o in selected.left_out], columns=["id", "why"])
    write_text(directory / LEFT_OUT, to_csv(left_out))
    return selected


def write_failed(folder: Path, criteria: Criteria, competition: Competition) -> dict[str, int]:
    """Write the table of what is selected and not there; how many there are for each reason."""
    there, failed = collected(folder), failures(folder)
    rows = [
        (r.id, failed[r.id].reason if r.id in failed else "not tried yet")
        for r in chosen_records(folder, criteria, competition)
        if r.id not in there
    ]
    table = pd.DataFrame(rows, columns=["id", "why"])
    write_text(selection_folder(folder, criteria, competition) / FAILED, to_csv(table))
    reasons = table["why"].str.replace(r"/\d+/", "/…/", regex=True)
    return {str(why): int(count) for why, count in reasons.value_counts().items()}


def tables_of(folder: Path, criteria: Criteria, competition: Competition) -> tuple[Path, Path]:
    """Where people find why recordings are left out, and why they are not there."""
    directory = selection_folder(folder, criteria, competition)
    return directory / LEFT_OUT, directory / FAILED


def chosen_path(folder: Path, criteria: Criteria, competition: Competition) -> Path:
    """The table of the last selection."""
    return selection_folder(folder, criteria, competition) / CHOSEN


def due(folder: Path, criteria: Criteria, competition: Competition) -> bool:
    """Whether collecting has anything to do that was never tried since the last searches."""
    chosen = _selection(chosen_path(folder, criteria, competition))
    if stale(folder, criteria) or chosen is None:
        return True
    tried = collected(folder).keys() | failures(folder).keys()
    return any(r.id not in tried for r in chosen)


def missing(folder: Path, chosen: Sequence[Record]) -> list[Record]:
    """The chosen recordings that are not there, without those that can't be had."""
    there, failed = collected(folder), failures(folder)
    hopeless = {number for number, failure in failed.items() if failure.permanent}
    return [r for r in chosen if r.id not in there and r.id not in hopeless]


def chosen_records(folder: Path, criteria: Criteria, competition: Competition) -> list[Record]:
    """The last selection; empty where there was none."""
    return _selection(chosen_path(folder, criteria, competition)) or []


def _selection(path: Path) -> list[Record] | None:
    """None where there is none, or none that can be read: the next search makes it again."""
    try:
        return read_records(path)
    except (FileNotFoundError, ValueError):
        return None


def selection_folder(folder: Path, criteria: Criteria, competition: Competition) -> Path:
    """The folder of a selection: a digest of all that decides it."""
    meaning = {
        "version": VERSION,
        "wanted": differing(
            criteria.model_dump(mode="json", exclude=REQUEST_SETTINGS), defaults_of(criteria)
        ),
        "site": criteria.site,
        "species": sorted(competition.species),
        "ids": sorted(competition.ids),
    }
    if isinstance(criteria, INaturalist):
        meaning |= {"table": criteria.table, "observations": sorted(competition.observations)}
    text = json.dumps(meaning, sort_keys=True)
    return folder / SELECTIONS / hashlib.sha256(text.encode()).hexdigest()[:16]
