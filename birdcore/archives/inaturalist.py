"""Searching iNaturalist: observations with sounds, page after page, a record for each sound.

Fields of an observation of API v1 that are relied on, known from the API's own description, from
the answers that pyinaturalist keeps as samples (get_observation_with_sounds,
get_observations_node_page1) and from iNaturalist's recommended practices:

    id, observed_on           pages are asked for by `id_above`, since `page` ends at 10,000
    quality_grade             research, needs_id, casual
    taxon                     name, rank, preferred_common_name, iconic_taxon_name; null for none
    user                      name, which may be null, and login
    location                  "latitude,longitude"; moved by up to 0.2 degrees where `obscured`
    sounds[]                  id, file_url (null for a sound that lies elsewhere), attribution,
                              license_code (cc-by-nc, cc0, …; null: all rights reserved), hidden,
                              flags[].resolved
    total_results             observations that the query finds above `id_above`

Lengths, background species and ratings are not said. The API asks for 60 requests a minute and
10,000 a day at most, and wants no key.
"""

import sys
from collections.abc import Mapping
from itertools import product
from urllib.parse import parse_qsl, urlencode, urlsplit

from birdcore.archives.answer import parse_count
from birdcore.archives.client import Archive
from birdcore.archives.errors import ArchiveError, Refused
from birdcore.archives.fields import (
    RecordError,
    address_of,
    date_of,
    id_of,
    number_of,
    suffix_of,
    text_of,
)
from birdcore.archives.page import get_page
from birdcore.archives.record import Record
from birdcore.config.inaturalist import INaturalist
from birdcore.store.artifact import Progress
from birdcore.store.store import no_progress

PAGE = "https://www.inaturalist.org/observations"
SPECIES_AND_BELOW = frozenset({"species", "subspecies", "variety", "form"})
PER_PAGE = 200
MOST_PAGES = 5_000
"""Half of the requests that the archive grants in a day: a million observations."""
NEARLY_ALL = 0.9
"""So many of the observations that the archive counts must have come."""


def queries_of(criteria: INaturalist) -> list[str]:
    """A query for each combination of a species (or all taxa), the places, and a box.

    Example:
        >>> queries_of(INaturalist(species=("Parus major",), places=(7196,)))
        ['taxon_name=Parus+major&place_id=7196&quality_grade=research']
    """
    taxa = [{"taxon_name": " ".join(name.split())} for name in criteria.species]
    taxa += [{"taxon_id": _joined(criteria.taxa)}] if criteria.taxa else []
    places = [{"place_id": _joined(criteria.places)}] if criteria.places else []
    boxes = [
        dict(zip(("swlat", "swlng", "nelat", "nelng"), (f"{e:.10g}" for e in box), strict=True))
        for box in criteria.boxes
    ]
    grades = [{"quality_grade": _joined(sorted(criteria.quality_grades))}]
    combined = product(*filter(None, (taxa, places, boxes, grades)))
    queries = (urlencode({k: v for part in parts for k, v in part.items()}) for parts in combined)
    return list(dict.fromkeys(query.replace("%2C", ",") for query in queries))


def search(
    archive: Archive, query: str, progress: Progress = no_progress, per_page: int = PER_PAGE
) -> list[Record]:
    """All sounds of the observations that a query finds, each once, in the order of observations.

    Observations without a usable id are left out, and counted in the progress. Raises Refused for
    the query, ArchiveError where the archive can't be had or does not answer with observations.
    """
    found: dict[int, Record] = {}
    last, seen, unusable, listed, left = 0, 0, 0, 0, 1
    for page in range(1, MOST_PAGES + 1):
        rows, left = _page(archive, query, last, per_page)
        listed = listed or left
        ids = []
        for row in rows:
            try:
                ids.append(observation_id(row))
            except RecordError:
                unusable += 1
                continue
            found |= {record.id: record for record in parse_observation(row)}
        seen += len(rows)
        if rows and max(ids, default=0) <= last:
            raise ArchiveError(f"{archive.site} lists again what it has listed, or none with an id")
        without = f", {unusable} unusable" if unusable else ""
        pages = page - 1 + -(-left // per_page) if left < sys.maxsize else page
        progress(page, max(page, pages), f"{len(found)} sounds{without}")
        if not rows or left <= len(rows):
            break
        last = max(ids)
    else:
        raise Refused(
            f"{archive.site} finds more than {MOST_PAGES * per_page} observations for {query!r}: "
            "ask for fewer taxa or places at once"
        )
    if seen < NEARLY_ALL * (listed if listed < sys.maxsize else 0):
        raise ArchiveError(f"{archive.site} listed {seen} of {listed} observations for {query!r}")
    return list(found.values())


def observation_id(raw: object) -> int:
    """The number of an observation; raises RecordError where it has none."""
    if not isinstance(raw, Mapping):
        raise RecordError("an observation that is no table of fields")
    return id_of(raw.get("id"))


def parse_observation(raw: object) -> list[Record]:
    """A record for each sound of an observation that has an id; its id is that of the sound.

    A subspecies goes by its species' name. Coordinates that are not where it was are not said.
    Raises RecordError where the observation has no usable id.
    """
    number = observation_id(raw)
    assert isinstance(raw, Mapping)
    taxon, user = _table(raw.get("taxon")), _table(raw.get("user"))
    name, rank = text_of(taxon.get("name")).split(), text_of(taxon.get("rank")).lower()
    known = rank in SPECIES_AND_BELOW and len(name) >= 2 and "×" not in name
    day, year, month = date_of(text_of(raw.get("observed_on")))
    latitude, longitude = _place(raw)
    records = []
    for sound in _tables(raw.get("sounds")):
        try:
            sound_id = id_of(sound.get("id"))
        except RecordError:
            continue
        file = None if _is_withdrawn(sound) else address_of(text_of(sound.get("file_url")))
        records.append(
            Record(
                id=sound_id,
                scientific_name=" ".join(name[:2] if known else name),
                subspecies=" ".join(name[2:]) if known else "",
                common_name=text_of(taxon.get("preferred_common_name"))
                if rank == "species"
                else "",
                group=text_of(taxon.get("iconic_taxon_name")),
                recordist=text_of(user.get("name")) or text_of(user.get("login")),
                locality=text_of(raw.get("place_guess")),
                latitude=latitude,
                longitude=longitude,
                date=day,
                year=year,
                month=month,
                licence=text_of(sound.get("license_code")).lower(),
                url=f"{PAGE}/{number}",
                file_url=file,
                suffix=suffix_of(urlsplit(file or "").path),
                remarks=text_of(sound.get("attribution")),
                status=text_of(raw.get("quality_grade")).lower(),
                pseudo_species=not known,
            )
        )
    return records


def _place(raw: Mapping[str, object]) -> tuple[float | None, float | None]:
    """Latitude and longitude; None of both where they were moved to protect the place."""
    hidden = {raw.get("geoprivacy"), raw.get("taxon_geoprivacy")} & {"obscured", "private"}
    parts = text_of(raw.get("location")).split(",")
    if raw.get("obscured") or hidden or len(parts) != 2:
        return None, None
    return number_of(parts[0], 90.0), number_of(parts[1], 180.0)


def _is_withdrawn(sound: Mapping[str, object]) -> bool:
    """Whether moderators hide a sound, or somebody has flagged it, such as for its copyright."""
    flags = _tables(sound.get("flags"))
    return bool(sound.get("hidden")) or any(not flag.get("resolved") for flag in flags)


def _table(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def _tables(value: object) -> list[Mapping[str, object]]:
    rows = value if isinstance(value, list) else []
    return [row for row in rows if isinstance(row, Mapping)]


def _joined(values: "tuple[int, ...] | list[str]") -> str:
    return ",".join(map(str, values))


def _page(archive: Archive, query: str, above: int, per_page: int) -> tuple[list[object], int]:
    """The observations that follow one, and how many there are above it in all."""
    params = dict(parse_qsl(query)) | {
        "sounds": "true",
        "order_by": "id",
        "order": "asc",
        "id_above": str(above),
        "per_page": str(per_page),
    }
    path = "/v1/observations"
    answer = get_page(archive, path, params, query=query, rows="results", what="observations")
    left = parse_count(answer.get("total_results"))
    return answer["results"], sys.maxsize if left is None else left
