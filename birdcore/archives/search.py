"""Searching Xeno-canto: queries in its tags, page after page; searches of the day are re-used.

The archive has no OR: criteria of several kinds (species, countries, …) become one query for each
combination. A listing may shift while it is read, so a recording may come twice or a last page
may be gone; the next search sees what this one missed. One that lacks more than that is none.
"""

import hashlib
import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import product
from pathlib import Path

from birdcore.archives import inaturalist
from birdcore.archives.answer import parse_count
from birdcore.archives.client import Archive
from birdcore.archives.errors import KEY_NAME, ArchiveError, Refused
from birdcore.archives.fields import RecordError
from birdcore.archives.page import get_page
from birdcore.archives.record import Record, parse_record
from birdcore.archives.record_table import read_notes, read_records, write_records
from birdcore.config import Criteria, INaturalist, XenoCanto
from birdcore.store.artifact import Progress
from birdcore.store.store import no_progress

PER_PAGE = 500
NEARLY_ALL = 0.9
"""So many of the records that an archive counts must have come: less is no shift of a listing."""
IDLE_PAGES = 3
"""Pages in a row without a new recording, after which no more is asked for."""
MOST_RECORDS, MOST_PAGES = 3_000_000, 20_000
"""Some times what the archive has, and as many pages as that are of its smallest size."""
UNREADABLE = (OSError, ValueError, KeyError, TypeError)


def queries_of(criteria: Criteria) -> list[str]:
    """A query for each combination of one criterion of every kind that has any.

    Example:
        >>> queries_of(XenoCanto(species=("Parus major",), countries=("Peru", "Chile")))
        ['sp:"Parus major" cnt:Peru', 'sp:"Parus major" cnt:Chile']
    """
    if isinstance(criteria, INaturalist):
        return inaturalist.queries_of(criteria)
    assert isinstance(criteria, XenoCanto)
    kinds = (
        [_tag("sp", name) for name in criteria.species],
        [_tag("cnt", name) for name in criteria.countries],
        [f"box:{','.join(f'{edge:.10g}' for edge in box)}" for box in criteria.boxes],
        [_tag("area", name) for name in criteria.areas],
        [" ".join(text.split()) for text in criteria.queries],
    )
    return list(dict.fromkeys(" ".join(parts) for parts in product(*filter(None, kinds))))


def search(
    archive: Archive, query: str, progress: Progress = no_progress, per_page: int = PER_PAGE
) -> list[Record]:
    """All recordings that the archive lists for a query, each once, in its order.

    Records without a usable id are left out, and counted in the progress. Raises Refused for the
    query or the key, ArchiveError where the archive can't be had or does not answer with records.
    """
    if not archive.key:
        raise Refused(
            f"{archive.site} can't be searched without a key: set {KEY_NAME}, or keep it as Secret "
            "block xeno-canto-key on your Prefect server",
            401,
        )
    found: dict[int, Record] = {}
    page, pages, unusable, listed, idle = 1, 1, 0, sys.maxsize, 0
    while page <= min(pages, MOST_PAGES) and idle < IDLE_PAGES:
        rows, pages, count = _page(archive, query, page, per_page)
        listed = min(listed, count)
        if not rows:
            break
        known = len(found)
        for row in rows:
            try:
                record = parse_record(row)
            except RecordError:
                unusable += 1
            else:
                found.setdefault(record.id, record)
        if not found:
            raise ArchiveError(f"{archive.site}: none of {unusable} records has a usable id")
        idle = idle + 1 if len(found) == known else 0
        without = f", {unusable} unusable" if unusable else ""
        progress(page, max(page, pages), f"{len(found)} recordings{without}")
        page += 1
        if len(found) > MOST_RECORDS:
            raise ArchiveError(f"{archive.site} lists more than {MOST_RECORDS} recordings")
    if len(found) + unusable < NEARLY_ALL * (listed if listed < sys.maxsize else 0):
        raise ArchiveError(
            f"{archive.site} listed {len(found) + unusable} of {listed} records for {query!r}"
        )
    return list(found.values())


def fresh_search(
    archive: Archive,
    query: str,
    folder: Path,
    max_age_s: float,
    now: datetime | None = None,
    progress: Progress = no_progress,
    per_page: int = PER_PAGE,
    source: str = XenoCanto.data(),
) -> list[Record]:
    """What an archive found up to `max_age_s` ago, or finds now.

    It is kept in a file of the folder, whose notes say for which query, of which site, and when the
    archive was asked. `source` is what a round's `data` calls it. `now` has a time zone.
    """
    now = now or datetime.now(UTC)
    known = known_search(folder, archive.site, query, max_age_s, now)
    if known is not None:
        return known
    find = inaturalist.search if source == INaturalist.data() else search
    records = find(archive, query, progress, per_page)
    folder.mkdir(parents=True, exist_ok=True)
    notes = {"site": archive.site, "query": query, "asked": now.isoformat()}
    write_records(_file(folder, archive.site, query), records, notes)
    return records


def known_search(
    folder: Path, site: str, query: str, max_age_s: float | None, now: datetime
) -> list[Record] | None:
    """What the archive answered up to `max_age_s` ago, or whenever; None where it must be asked."""
    if not is_known(folder, site, query, max_age_s, now):
        return None
    try:
        return read_records(_file(folder, site, query))
    except UNREADABLE:
        return None


def is_known(folder: Path, site: str, query: str, max_age_s: float | None, now: datetime) -> bool:
    """Whether the archive answered up to `max_age_s` ago, or ever: the file's notes say so."""
    try:
        asked = datetime.fromisoformat(read_notes(_file(folder, site, query))["asked"])
        return max_age_s is None or 0 <= (now - asked).total_seconds() < max_age_s
    except UNREADABLE:
        return False


def _file(folder: Path, site: str, query: str) -> Path:
    name = hashlib.sha256(f"{site}\n{query}".encode()).hexdigest()
    return folder / f"{name}.parquet"


def _tag(tag: str, value: str) -> str:
    value = " ".join(value.split())
    return f"{tag}:{value}" if re.fullmatch(r"\w+", value) else f'{tag}:"{value}"'


def _page(archive: Archive, query: str, page: int, per_page: int) -> tuple[list[object], int, int]:
    """The records of a page, and how many pages and records there are now."""
    params = {"query": query, "per_page": str(per_page), "page": str(page)}
    path = "/api/3/recordings"
    try:
        answer = get_page(
            archive, path, params, query=query, rows="recordings", what="records", wrong=_wrong
        )
    except Refused as error:
        if page > 1 and error.status in (400, 404):
            # The query was fine a page ago: the listing has become shorter, or is at fault.
            return [], 0, sys.maxsize
        raise
    listed = parse_count(answer.get("numRecordings"))
    pages = parse_count(answer["numPages"]) or 0
    return answer["recordings"], pages, sys.maxsize if listed is None else listed


def _wrong(answer: Mapping[str, object]) -> str:
    known = parse_count(answer.get("numPages")) is not None
    return "" if known else "answers without the number of pages"
