"""The tags of the archive's queries, as far as clients use them.

    gen:Turdus sp:merula cnt:"United Kingdom" q:">C" len:"<30" nr:1,2,3 year:">2010"

Values that can't be read and operators (< > =) outside quotes are errors.
"""

import re
from collections.abc import Callable
from datetime import date, timedelta

from birdcore.demo.archive import query
from birdcore.demo.archive.query import BadQuery, Raw, Tags, Test
from birdcore.demo.archive.query import field_text as _text

NUMBER = r"-?\d+(?:\.\d+)?"
RANGE = re.compile(rf"({NUMBER})-({NUMBER})")
COMPARED = re.compile(rf"([<>=]?)({NUMBER})")
DAYS_OF_SINCE = re.compile(r"\d{1,4}")
GROUPS = ("soundscape", "birds", "grasshoppers", "bats")
QUALITIES = "ABCDE"

AREAS: dict[str, frozenset[str]] = {
    "africa": frozenset({"ghana", "kenya", "morocco", "south africa", "uganda"}),
    "america": frozenset(
        {"argentina", "brazil", "canada", "colombia", "costa rica", "ecuador", "mexico", "peru"}
        | {"united states"}
    ),
    "asia": frozenset({"china", "india", "indonesia", "japan", "malaysia", "thailand"}),
    "australia": frozenset({"australia", "new zealand", "papua new guinea"}),
    "europe": frozenset(
        {"austria", "belgium", "denmark", "finland", "france", "germany", "greece", "italy"}
        | {"netherlands", "norway", "poland", "portugal", "spain", "sweden", "switzerland"}
        | {"united kingdom"}
    ),
}
"""Countries of the archive's areas, as far as recordings come from them."""


def parse(text: str) -> Test:
    """A test of records; raises BadQuery."""
    if not text.strip():
        raise BadQuery("No query specified")
    return query.parse(text, TAGS)


def _starts(name: str) -> Callable[[str], Test]:
    def test_of(value: str) -> Test:
        if value.startswith("="):
            return lambda raw: _text(raw, name) == value[1:]
        return lambda raw: _text(raw, name).startswith(value)

    return test_of


def _contains(name: str) -> Callable[[str], Test]:
    def test_of(value: str) -> Test:
        if value.startswith("="):
            return lambda raw: value[1:] in _text(raw, name).split(", ")
        return lambda raw: value in _text(raw, name)

    return test_of


def _species(value: str) -> Test:
    """`sp:merula` or, as in the API's own example, `sp:"turdus merula"`."""
    if " " not in value:
        return _starts("sp")(value)
    whole = _starts("name")(value)
    return lambda raw: whole({"name": f"{_text(raw, 'gen')} {_text(raw, 'sp')}"})


def _number(of: Callable[[Raw], float | None], ranges: bool = True) -> Callable[[str], Test]:
    """Numbers: `10`, `=10`, `<10`, `>10`, `10-15`; without `ranges` only a range's first value."""

    def test_of(value: str) -> Test:
        bounds = RANGE.fullmatch(value)
        if bounds and ranges:
            low, high = float(bounds[1]), float(bounds[2])
            return lambda raw: (x := of(raw)) is not None and low <= x <= high
        compared = COMPARED.fullmatch(bounds[1] if bounds else value)
        if compared is None:
            raise BadQuery(f"{value!r} is no number, range or comparison")
        operator, number = compared[1], float(compared[2])
        if operator == "<":
            return lambda raw: (x := of(raw)) is not None and x < number
        if operator == ">":
            return lambda raw: (x := of(raw)) is not None and x > number
        return lambda raw: of(raw) == number

    return test_of


def _seconds(raw: Raw) -> float | None:
    parts = _text(raw, "length").split(":")
    if not all(p.isdigit() for p in parts):
        return None
    return float(sum(60**place * int(p) for place, p in enumerate(reversed(parts))))


def _plain(name: str) -> Callable[[Raw], float | None]:
    def number(raw: Raw) -> float | None:
        try:
            return float(_text(raw, name))
        except ValueError:
            return None

    return number


def _date_part(part: slice) -> Callable[[Raw], float | None]:
    def number(raw: Raw) -> float | None:
        digits = _text(raw, "date")[part]
        return float(digits) if digits.isdigit() and int(digits) else None

    return number


def _numbers(value: str) -> Test:
    numbers = value.split(",")
    if len(numbers) == 1:
        return _number(_plain("id"))(value)
    if not all(n.strip().isdigit() for n in numbers):
        raise BadQuery(f"{value!r} is no list of catalogue numbers")
    wanted = {str(int(n)) for n in numbers}
    return lambda raw: _text(raw, "id") in wanted


def _quality(value: str) -> Test:
    """`q:A`, `q:0` (unrated), `q:">C"` (better than C), `q:"<C"` (rated, and worse than C)."""
    operator, letter = (value[0], value[1:]) if value[:1] in "<>=" else ("=", value)
    place = QUALITIES.find(letter.upper())
    if value == "0":
        return lambda raw: _text(raw, "q") in ("", "no score")
    if len(letter) != 1 or place < 0:
        raise BadQuery(f"{value!r} is no quality")
    wanted = {"<": QUALITIES[place + 1 :], ">": QUALITIES[:place], "=": QUALITIES[place]}[operator]
    return lambda raw: _text(raw, "q").upper() in set(wanted)


def _licence(value: str) -> Test:
    part = f"/{value.removeprefix('=')}/"
    return lambda raw: part in _text(raw, "lic").replace("/publicdomain/", "/pd/")


def _since(value: str) -> Test:
    days = DAYS_OF_SINCE.fullmatch(value)
    first = (date.today() - timedelta(days=int(value))).isoformat() if days else value
    try:
        date.fromisoformat(first)
    except ValueError:
        raise BadQuery(f"{value!r} is no date and no number of days") from None
    return lambda raw: _text(raw, "uploaded") >= first


def _box(value: str) -> Test:
    try:
        south, west, north, east = map(float, value.split(","))
    except ValueError:
        raise BadQuery(f"{value!r} is no box: lat,lon,lat,lon of its corners") from None
    latitude, longitude = _plain("lat"), _plain("lon")

    def test(raw: Raw) -> bool:
        lat, lon = latitude(raw), longitude(raw)
        inside = lat is not None and lon is not None and south <= lat <= north
        return inside and lon is not None and west <= lon <= east

    return test


def _area(value: str) -> Test:
    if value not in AREAS:
        raise BadQuery(f"{value!r} is no area: {', '.join(AREAS)}")
    return lambda raw: _text(raw, "cnt") in AREAS[value]


def _group(value: str) -> Test:
    name = GROUPS[int(value)] if value in ("0", "1", "2", "3") else value.removeprefix("=")
    return lambda raw: _text(raw, "grp") == name


TAGS: Tags = {
    **{tag: _starts(tag) for tag in ("gen", "ssp", "cnt")},
    **{tag: _contains(tag) for tag in ("en", "rec", "loc", "rmk", "type", "sex", "stage")},
    **{tag: _number(_plain(tag)) for tag in ("alt", "lat", "lon", "smp")},
    "also": _contains("also"),
    "method": _contains("method"),
    "area": _area,
    "box": _box,
    "grp": _group,
    "len": _number(_seconds),
    "lic": _licence,
    "month": _number(_date_part(slice(5, 7)), ranges=False),
    "nr": _numbers,
    "q": _quality,
    "since": _since,
    "sp": _species,
    "year": _number(_date_part(slice(0, 4)), ranges=False),
}
