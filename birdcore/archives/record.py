"""A recording as Xeno-canto lists it, from its loose JSON to a typed record.

The archive's fields were filled by people over twenty years: lengths such as `1:02:03`, dates such
as `1998-06-00`, numbers as text and text with HTML entities, licences as addresses. Whatever can't
be read is taken as not said; only a record without an id is none.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from birdcore.archives.fields import (
    OTHER_SUFFIX,
    RecordError,
    address_of,
    date_of,
    id_of,
    number_of,
    suffix_of,
    text_of,
    texts_of,
)

PAGE = "https://xeno-canto.org"
LONGEST_S = 7 * 86_400.0
"""A length beyond a week is not said."""
RESTRICTED = "restricted_species"
RATINGS = {"A": 5.0, "B": 4.0, "C": 3.0, "D": 2.0, "E": 1.0}
NO_SPECIES = frozenset({"sonus", "mystery"})
SOUND_ID = re.compile(r"(?:\biNat|\binaturalist[\w.-]*/sounds/)(\d+)", re.ASCII | re.IGNORECASE)
OBSERVATION_ID = re.compile(r"//[\w.-]+/observations/(\d+)", re.ASCII)
XENO_CANTO_ID = re.compile(r"(?:\bXC|xeno-canto\.org/)(\d+)", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Record:
    """A recording of the archive; text that is not said is empty, numbers are None."""

    id: int
    scientific_name: str = ""
    subspecies: str = ""
    common_name: str = ""
    group: str = ""
    recordist: str = ""
    country: str = ""
    locality: str = ""
    latitude: float | None = None
    longitude: float | None = None
    types: tuple[str, ...] = ()
    """Lower case, such as song and flight call."""
    sex: str = ""
    stage: str = ""
    method: str = ""
    quality: str = ""
    """A, the best, to E; empty where nobody has rated it."""
    length_s: float | None = None
    date: str = ""
    """As exactly as it is known: 2015-06-23, 2015-06 or 2015."""
    year: int | None = None
    month: int | None = None
    licence: str = ""
    """As train.csv spells it: cc-by-nc-sa 4.0."""
    url: str = ""
    file_url: str | None = None
    """None where the archive does not give the file away."""
    suffix: str = OTHER_SUFFIX
    """One of AUDIO_SUFFIXES, or .audio."""
    sample_rate: int | None = None
    also: tuple[str, ...] = ()
    """Scientific names of the species in the background."""
    remarks: str = ""
    status: str = ""
    """Of the identification, where the archive says it: identified, questioned, unidentified."""
    restricted: bool = False
    """A species whose recordings are not given away."""
    pseudo_species: bool = False
    """A soundscape, a mystery, or a record that names no species."""


def parse_record(raw: object) -> Record:
    """A record of the archive's JSON; raises RecordError where it has no usable id."""
    if not isinstance(raw, Mapping):
        raise RecordError("a record that is no table of fields")
    number = id_of(raw.get("id"))
    genus, epithet = text_of(raw.get("gen")), text_of(raw.get("sp"))
    group, file = text_of(raw.get("grp")), text_of(raw.get("file"))
    status = text_of(raw.get("status")).lower()
    day, year, month = date_of(text_of(raw.get("date")))
    return Record(
        id=number,
        scientific_name=f"{genus} {epithet}".strip(),
        subspecies=text_of(raw.get("ssp")),
        common_name=text_of(raw.get("en")),
        group=group,
        recordist=text_of(raw.get("rec")),
        country=text_of(raw.get("cnt")),
        locality=text_of(raw.get("loc")),
        latitude=number_of(raw.get("lat"), 90.0),
        longitude=number_of(raw.get("lon"), 180.0),
        types=tuple(dict.fromkeys(t.lower() for t in texts_of(raw.get("type")))),
        sex=text_of(raw.get("sex")),
        stage=text_of(raw.get("stage")),
        method=text_of(raw.get("method")),
        quality=q if (q := text_of(raw.get("q")).upper()) in RATINGS else "",
        length_s=_seconds(text_of(raw.get("length"))),
        date=day,
        year=year,
        month=month,
        licence=_licence(text_of(raw.get("lic"))),
        url=address_of(text_of(raw.get("url"))) or f"{PAGE}/{number}",
        file_url=address_of(file),
        suffix=suffix_of(text_of(raw.get("file-name"))),
        sample_rate=_rate(raw.get("smp")),
        also=tuple(dict.fromkeys(texts_of(raw.get("also")))),
        remarks=text_of(raw.get("rmk")),
        status=status,
        restricted=file == RESTRICTED or _is_redacted(raw.get("_meta")),
        pseudo_species=not (genus and epithet)
        or genus.lower() in NO_SPECIES
        or group.lower() == "soundscape"
        or status == "unidentified",
    )


def rating(quality: str) -> float | None:
    """The quality as train.csv gives it: A is 5 and E is 1; None for unrated."""
    return RATINGS.get(quality)


def _rate(value: object) -> int | None:
    rate = number_of(value, 10e6)
    return int(rate) if rate is not None and rate >= 1 else None


def _seconds(length: str) -> float | None:
    """The seconds in 4:13 or 1:02:03."""
    if not re.fullmatch(r"([0-9]{1,6}:){0,2}[0-9]{1,6}(\.[0-9]*)?", length):
        return None
    parts = enumerate(reversed(length.split(":")))
    seconds = math.fsum(float(part) * 60.0**at for at, part in parts)
    return seconds if seconds <= LONGEST_S else None


def _licence(text: str) -> str:
    """`//creativecommons.org/licenses/by-nc-sa/4.0/` as `cc-by-nc-sa 4.0`; others as they are."""
    match = re.search(r"creativecommons\.org/(licenses|publicdomain)/(.+)", text, re.IGNORECASE)
    if match is None or not (path := match[2].rstrip("/")):
        return text
    name, *rest = path.lower().split("/")
    version = [part for part in rest if not part.startswith(("deed", "legalcode"))]
    short = {"zero": "cc0", "mark": "pdm"}.get(name, name)
    return " ".join([short if match[1].lower() == "publicdomain" else f"cc-{name}", *version])


def _is_redacted(meta: object) -> bool:
    redacted = meta.get("redacted_fields") if isinstance(meta, dict) else None
    return isinstance(redacted, dict) and redacted.get("file") == RESTRICTED


def xeno_canto_id(text: str) -> int | None:
    """The archive's id in a file name such as `amered/XC551413.ogg` or a URL of the archive.

    It is the first number after an XC that no letter, digit or underscore precedes, or right after
    the archive's address.
    """
    found = XENO_CANTO_ID.search(text)
    return int(found[1]) if found else None


def inaturalist_id(text: str) -> int | None:
    """The number of a sound in a file name such as `1462711/iNat263113.ogg` or its address."""
    found = SOUND_ID.search(text)
    return int(found[1]) if found else None


def observation_of(text: str) -> int | None:
    """The number of an observation in its address, on any of the sites of iNaturalist."""
    found = OBSERVATION_ID.search(text)
    return int(found[1]) if found else None


def archive_name(text: str) -> str | None:
    """What an archive's recording is called that a file name or an address is of: XC7, iNat7."""
    if (number := xeno_canto_id(text)) is not None:
        return f"XC{number}"
    return None if (number := inaturalist_id(text)) is None else f"iNat{number}"
