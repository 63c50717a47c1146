"""A recording as Xeno-canto lists it, from its loose JSON to a typed record.

The archive's fields were filled by people over twenty years: lengths such as `1:02:03`, dates such
as `1998-06-00`, numbers as text and text with HTML entities, licences as addresses. Whatever can't
be read is taken as not said; only a record without an id is none.
"""

import html
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from urllib.parse import urlsplit

from birdcore.audio.container import AUDIO_SUFFIXES
from birdcore.text import plain_text

PAGE = "https://xeno-canto.org"
OTHER_SUFFIX = ".audio"
LONGEST_TEXT, LONGEST_ADDRESS = 10_000, 2000
LONGEST_S = 7 * 86_400.0
"""A length beyond a week is not said."""
RESTRICTED = "restricted_species"
RATINGS = {"A": 5.0, "B": 4.0, "C": 3.0, "D": 2.0, "E": 1.0}
NO_SPECIES = frozenset({"sonus", "mystery"})
XENO_CANTO_ID = re.compile(r"(?:\bXC|xeno-canto\.org/)(\d+)", re.ASCII | re.IGNORECASE)


class RecordError(ValueError):
    """A record of the archive that can't be used at all."""


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
    number = _id(raw.get("id"))
    genus, epithet = _text(raw.get("gen")), _text(raw.get("sp"))
    group, file = _text(raw.get("grp")), _text(raw.get("file"))
    status = _text(raw.get("status")).lower()
    day, year, month = _date(_text(raw.get("date")))
    return Record(
        id=number,
        scientific_name=f"{genus} {epithet}".strip(),
        subspecies=_text(raw.get("ssp")),
        common_name=_text(raw.get("en")),
        group=group,
        recordist=_text(raw.get("rec")),
        country=_text(raw.get("cnt")),
        locality=_text(raw.get("loc")),
        latitude=_number(raw.get("lat"), 90.0),
        longitude=_number(raw.get("lon"), 180.0),
        types=tuple(dict.fromkeys(t.lower() for t in _list(raw.get("type")))),
        sex=_text(raw.get("sex")),
        stage=_text(raw.get("stage")),
        method=_text(raw.get("method")),
        quality=q if (q := _text(raw.get("q")).upper()) in RATINGS else "",
        length_s=_seconds(_text(raw.get("length"))),
        date=day,
        year=year,
        month=month,
        licence=_licence(_text(raw.get("lic"))),
        url=_address(_text(raw.get("url"))) or f"{PAGE}/{number}",
        file_url=_address(file),
        suffix=_suffix(_text(raw.get("file-name"))),
        sample_rate=_rate(raw.get("smp")),
        also=tuple(dict.fromkeys(_list(raw.get("also")))),
        remarks=_text(raw.get("rmk")),
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


def _id(value: object) -> int:
    text = _text(value)
    match = re.fullmatch(r"(?:XC)?([0-9]{1,15})", text, re.IGNORECASE)
    if match is None or not int(match[1]):
        raise RecordError(f"a record with the id {text[:40]!r}, which is no number above 0")
    return int(match[1])


def _text(value: object) -> str:
    """One line of text; "" for what is none."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    return plain_text(html.unescape(str(value)[:LONGEST_TEXT]))


def _list(value: object) -> list[str]:
    """The parts of `call, song`, or of a list."""
    parts = value if isinstance(value, list) else _text(value).split(",")
    return [text for part in parts if (text := _text(part))]


def _number(value: object, most: float) -> float | None:
    try:
        number = float(_text(value))
    except ValueError:
        return None
    return number if abs(number) <= most else None


def _rate(value: object) -> int | None:
    rate = _number(value, 10e6)
    return int(rate) if rate is not None and rate >= 1 else None


def _seconds(length: str) -> float | None:
    """The seconds in 4:13 or 1:02:03."""
    if not re.fullmatch(r"([0-9]{1,6}:){0,2}[0-9]{1,6}(\.[0-9]*)?", length):
        return None
    parts = enumerate(reversed(length.split(":")))
    seconds = math.fsum(float(part) * 60.0**at for at, part in parts)
    return seconds if seconds <= LONGEST_S else None


def _date(text: str) -> tuple[str, int | None, int | None]:
    """A date to the precision to which it is one, its year and its month."""
    match = re.match(r"([0-9]{4})(?:-([0-9]{1,2})(?:-([0-9]{1,2}))?)?(?![0-9])", text)
    if match is None:
        return "", None, None
    year, month, day = (int(part or 0) for part in match.groups())
    known_year = year if 1800 <= year < 2200 else None
    known_month = month if 1 <= month <= 12 else None
    if known_year is None:
        return "", None, known_month
    if known_month is None:
        return f"{year:04d}", year, None
    try:
        return date(year, month, day).isoformat(), year, month
    except ValueError:
        return f"{year:04d}-{month:02d}", year, month


def _licence(text: str) -> str:
    """`//creativecommons.org/licenses/by-nc-sa/4.0/` as `cc-by-nc-sa 4.0`; others as they are."""
    match = re.search(r"creativecommons\.org/(licenses|publicdomain)/(.+)", text, re.IGNORECASE)
    if match is None or not (path := match[2].rstrip("/")):
        return text
    name, *rest = path.lower().split("/")
    version = [part for part in rest if not part.startswith(("deed", "legalcode"))]
    short = {"zero": "cc0", "mark": "pdm"}.get(name, name)
    return " ".join([short if match[1].lower() == "publicdomain" else f"cc-{name}", *version])


def _address(text: str) -> str | None:
    """An http(s) address without a password; `//` in front is taken as https."""
    address = f"https:{text}" if text.startswith("//") else text
    try:
        parts = urlsplit(address)
    except ValueError:
        return None
    usable = parts.scheme in ("http", "https") and parts.hostname and "@" not in parts.netloc
    return address if usable and len(address) <= LONGEST_ADDRESS else None


def _suffix(name: str) -> str:
    suffix = f".{name.rpartition('.')[2].lower()}"
    return suffix if suffix in AUDIO_SUFFIXES else OTHER_SUFFIX


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
