"""Fields of an archive's loose JSON, as people filled them: text, numbers, dates and addresses.

Whatever can't be read is taken as not said; only a record without an id is none.
"""

import html
import re
from datetime import date
from urllib.parse import urlsplit

from birdcore.audio.container import AUDIO_SUFFIXES
from birdcore.text import plain_text

OTHER_SUFFIX = ".audio"
LONGEST_TEXT, LONGEST_ADDRESS = 10_000, 2000


class RecordError(ValueError):
    """A record of an archive that can't be used at all."""


def id_of(value: object) -> int:
    text = text_of(value)
    match = re.fullmatch(r"(?:XC)?([0-9]{1,15})", text, re.IGNORECASE)
    if match is None or not int(match[1]):
        raise RecordError(f"a record with the id {text[:40]!r}, which is no number above 0")
    return int(match[1])


def text_of(value: object) -> str:
    """One line of text; "" for what is none."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    return plain_text(html.unescape(str(value)[:LONGEST_TEXT]))


def texts_of(value: object) -> list[str]:
    """The parts of `call, song`, or of a list."""
    parts = value if isinstance(value, list) else text_of(value).split(",")
    return [text for part in parts if (text := text_of(part))]


def number_of(value: object, most: float) -> float | None:
    try:
        number = float(text_of(value))
    except ValueError:
        return None
    return number if abs(number) <= most else None


def date_of(text: str) -> tuple[str, int | None, int | None]:
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


def address_of(text: str) -> str | None:
    """An http(s) address without a password; `//` in front is taken as https."""
    address = f"https:{text}" if text.startswith("//") else text
    try:
        parts = urlsplit(address)
    except ValueError:
        return None
    usable = parts.scheme in ("http", "https") and parts.hostname and "@" not in parts.netloc
    return address if usable and len(address) <= LONGEST_ADDRESS else None


def suffix_of(name: str) -> str:
    suffix = f".{name.rpartition('.')[2].lower()}"
    return suffix if suffix in AUDIO_SUFFIXES else OTHER_SUFFIX
