"""iNaturalist on loopback: invented observations, and sounds as files, with faults by script."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from birdcore.demo.archive.api import Reply, page_of_html
from birdcore.demo.archive.records import RecordIndex
from birdcore.demo.archive.server import serve_api
from tests.support.archive import KEY, Faults, FaultyApi, FaultyHandler, Served, recording

Raw: TypeAlias = dict[str, Any]


def observation(number: int, sounds: Sequence[Raw] = (), **changes: Any) -> Raw:
    """An observation in the form of API v1, as far as anything of it is read."""
    raw: Raw = {
        "id": number,
        "quality_grade": "research",
        "observed_on": "2021-06-25",
        "uri": f"https://www.inaturalist.org/observations/{number}",
        "place_guess": "Oxfordshire, England, GB",
        "location": "51.601234,-1.122952",
        "obscured": False,
        "geoprivacy": None,
        "taxon_geoprivacy": "open",
        "taxon": {
            "id": 40364,
            "name": "Pipistrellus pipistrellus",
            "rank": "species",
            "preferred_common_name": "Common Pipistrelle",
            "iconic_taxon_name": "Mammalia",
            "ancestor_ids": [48460, 1, 2, 40151, 40364],
        },
        "user": {"id": 7, "login": "listener", "name": "Lis Tener"},
        "sounds": list(sounds),
    }
    return raw | changes


def sound(number: int, licence: str | None = "cc-by", suffix: str = ".wav", **changes: Any) -> Raw:
    """A sound of an observation."""
    raw: Raw = {
        "id": number,
        "license_code": licence,
        "attribution": "(c) Lis Tener, some rights reserved",
        "native_sound_id": None,
        "file_url": f"https://static.inaturalist.org/sounds/{number}{suffix}?1624793769",
        "file_content_type": "audio/x-wav",
        "flags": [],
        "hidden": False,
    }
    return raw | changes


@dataclass
class ObservationApi(FaultyApi):
    """The answers of /v1/observations and of /sounds/NUMBER.SUFFIX; files lie in `folder`."""

    observations: list[Raw] = field(default_factory=list)
    folder: Path = Path()

    def reply(self, path: str, given: Mapping[str, str], headers: Mapping[str, str]) -> Reply:
        if path == "/v1/observations":
            return self._observations(given)
        file = self.folder / Path(path).name
        if path.startswith("/sounds/") and file.is_file():
            return recording(file, headers.get("range"), headers.get("if-range"))
        return page_of_html(404, "404 Not Found")

    def _observations(self, given: Mapping[str, str]) -> Reply:
        assert (given["sounds"], given["order_by"], given["order"]) == ("true", "id", "asc")
        found = sorted((o for o in self.observations if _fits(o, given)), key=lambda o: o["id"])
        per_page = int(given["per_page"])
        rows = [self._with_files(each) for each in found[:per_page]]
        page = {"total_results": len(found), "page": 1, "per_page": per_page, "results": rows}
        return Reply(200, json.dumps(page).encode())

    def _with_files(self, raw: Raw) -> Raw:
        """Sounds' addresses, which are those of another host, lead here."""
        text = json.dumps(raw)
        return dict(json.loads(text.replace("https://static.inaturalist.org", self.site)))


def _fits(raw: Raw, given: Mapping[str, str]) -> bool:
    taxon = raw["taxon"] or {}
    name, taxa = given.get("taxon_name"), given.get("taxon_id")
    return (
        bool(raw["sounds"])
        and raw["id"] > int(given["id_above"])
        and raw["quality_grade"] in given["quality_grade"].split(",")
        and (name is None or taxon.get("name", "").startswith(name))
        and (taxa is None or not {*map(int, taxa.split(","))}.isdisjoint(taxon["ancestor_ids"]))
    )


@contextmanager
def serve_observations(
    folder: Path, observations: list[Raw], faults: Faults | None = None
) -> Iterator[Served]:
    """Serve observations and the sounds in a folder, whose names are their numbers.

    `leaked` of what is yielded has the requests that held a key, which this archive never gets.
    """
    no_records: Any = None
    index: RecordIndex = no_records
    api = ObservationApi(
        index, KEY, faults=faults or Faults(), observations=observations, folder=folder
    )
    with serve_api(api, 0, FaultyHandler) as url:
        yield Served(url, api.log, api.leaked)
