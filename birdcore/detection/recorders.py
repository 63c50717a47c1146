"""What a recorder wrote about a recording: when, where, by which device, how warm it was.

Three places, in this order of trust: a GUANO chunk, the comment of an AudioMoth, the file's name.
Each fills what those before it leave open, and nothing is an answer too: a time that is guessed
is worse than none. So names are read by strict patterns only; the fuzzy search that some readers
fall back to takes `aru_1.wav` for the first of this month.
"""

import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import fields
from datetime import datetime
from math import isfinite
from pathlib import Path
from typing import Any

import soundfile as sf
from aru_metadata_parser.parse import (
    audiomoth_start_time,
    owlsense_start_time,
    parse_audiomoth_metadata,
    songmeter_start_time,
    swift_start_time,
)
from guano import GuanoFile

from birdcore.audio.riff import small_chunks
from birdcore.detection.table import RecorderInfo
from birdcore.text import plain_text

FIRST_YEAR, LAST_YEAR = 1990, 2060
"""Digits that make another year are no time, such as the number of a recording."""

AUDIOMOTH = re.compile(r'Recorded at [^"]*?(?:AudioMoth|deployment)[^"]*')
"""Within a comment: other programs put it into a comment of their own (OpenSoundscape: JSON)."""
AUDIOMOTH_SERIAL = re.compile(r"AudioMoth ([0-9A-F]{16})")
TEMPERATURE = re.compile(r"temperature was (-?\d+(?:\.\d+)?)C")
FRACTION = re.compile(r"(Recorded at \d\d:\d\d:\d\d)\.\d+")

# The day of a recorder of Frontier Labs may begin with a space: `201906 7T095935+1000`.
NAME_TIME = re.compile(
    r"(?<!\d)(\d{6}[ \d]\d|\d{4}-\d\d-\d\d)[T_ -]*(\d\d)[-:.]?(\d\d)[-:.]?(\d\d)"
    r"(?!\d)_?([+-]\d{4}|Z)?"
)
NAME_POSITION = re.compile(r"\[([+-]?\d+\.\d+)[ ,]*([+-]?\d+\.\d+)\]")
SONG_METER = re.compile(r"(?:S4A|S4U|SM[ACM234U]|2M[AMU])\d{4,6}")
HEX_TIME = re.compile(r"[0-9A-F]{8}")


def read_recorder(path: Path, name: str | None = None) -> RecorderInfo:
    """What is known of a recording file; never raises for what its metadata are.

    Args:
        path: The file.
        name: What its name was when it was recorded; that of the path by default.

    Raises:
        OSError: The file can't be read.
    """
    found = [*_guano(path), *_audiomoth(path), from_name(name or path.name)]
    values: dict[str, Any] = {}
    for field in fields(RecorderInfo):
        known = (getattr(info, field.name) for info in found)
        values[field.name] = next((v for v in known if v not in ("", None)), field.default)
    return RecorderInfo(**values)


def _guano(path: Path) -> Iterator[RecorderInfo]:
    content = next((data for name, data in small_chunks(path) if name == b"guan"), None)
    if content is None:
        return
    # Lines that are none would end the package's reading: other lines may still be right.
    text = content.decode("utf-8", "replace").rstrip("\0")
    lines = "\n".join(line for line in text.split("\n") if ":" in line)
    logging.getLogger("guano").setLevel(logging.ERROR)  # one warning a file, over 48,000 files
    said = GuanoFile.from_string(lines)
    latitude, longitude = _position(said.get("Loc Position"))
    time = said.get("Timestamp")
    temperature = said.get("Temperature Int", said.get("Temperature Ext"))
    yield RecorderInfo(
        recorder=_text(" ".join(_text(said.get(key)) for key in ("Make", "Model"))),
        serial=_text(said.get("Serial")),
        recorded_at=_time(time),
        latitude=latitude,
        longitude=longitude,
        temperature=_number(temperature),
        site=_text(said.get("WA|Song Meter|Prefix") or said.get("Site")),
    )


def _audiomoth(path: Path) -> Iterator[RecorderInfo]:
    """Its comment, in whatever container libsndfile reads one from."""
    try:
        with sf.SoundFile(str(path)) as file:
            comment = file.copy_metadata().get("comment", "")
    except (sf.LibsndfileError, TypeError, UnicodeDecodeError):
        return
    if match := AUDIOMOTH.search(comment):
        yield from_audiomoth_comment(match[0])


def from_audiomoth_comment(comment: str) -> RecorderInfo:
    """What an AudioMoth's comment says.

    Example:
        >>> from_audiomoth_comment(
        ...     "Recorded at 19:30:00 04/06/2021 (UTC+1) by AudioMoth 24F31904603A2F8C at medium "
        ...     "gain while battery was 4.1V and temperature was 12.8C."
        ... ).recorded_at
        '2021-06-04T19:30:00+01:00'
    """
    serial = AUDIOMOTH_SERIAL.search(comment)
    temperature = TEMPERATURE.search(comment)
    try:
        about = parse_audiomoth_metadata({"comment": FRACTION.sub(r"\1", comment)})
        recorded_at = _iso(about["recording_start_time"])
    except (ValueError, IndexError):  # another wording of its firmware
        recorded_at = ""
    return RecorderInfo(
        recorder="AudioMoth",
        serial=serial[1] if serial else "",
        recorded_at=recorded_at,
        temperature=float(temperature[1]) if temperature else None,
    )


def from_name(name: str) -> RecorderInfo:
    """What the name of a file says.

    Example:
        >>> info = from_name("S4A03895_20190522_013000.flac")
        >>> info.serial, info.recorded_at
        ('S4A03895', '2019-05-22T01:30:00')
    """
    stem = name.rpartition(".")[0] or name
    match = NAME_TIME.search(stem)
    position = NAME_POSITION.search(stem)
    latitude, longitude = _position(position.groups() if position else None)
    serial = SONG_METER.match(stem)
    site = stem[: match.start()].strip(" _-") if match else ""
    return RecorderInfo(
        recorder="Song Meter" if serial else "",
        serial=serial[0] if serial else "",
        recorded_at=_name_time(stem, match),
        latitude=latitude,
        longitude=longitude,
        site="" if serial else plain_text(site),
    )


def _name_time(stem: str, match: re.Match[str] | None) -> str:
    readers: tuple[Callable[[str], datetime], ...] = (
        swift_start_time,
        songmeter_start_time,
        owlsense_start_time,
    )
    if HEX_TIME.fullmatch(stem):
        readers = (audiomoth_start_time,)
    for read in readers:
        try:
            return _iso(read(stem))
        except (ValueError, IndexError):
            continue
    if match is None:
        return ""
    date, *clock, zone = match.groups()
    digits = date.replace("-", "").replace(" ", "0") + "".join(clock)
    try:
        return _iso(datetime.strptime(f"{digits}{zone or ''}", f"%Y%m%d%H%M%S{'%z' * bool(zone)}"))
    except ValueError:
        return ""


def _iso(time: datetime) -> str:
    """ISO 8601; raises ValueError for a year in which nobody recorded."""
    if not FIRST_YEAR <= time.year <= LAST_YEAR:
        raise ValueError(f"no recording is of the year {time.year}")
    return time.isoformat()


def _time(value: object) -> str:
    """ISO 8601; empty where it is no time, or that of a recorder whose clock was never set."""
    try:
        return _iso(value) if isinstance(value, datetime) else ""
    except ValueError:
        return ""


def _position(value: object) -> tuple[float | None, float | None]:
    """Latitude and longitude in degrees; a recorder without a fix writes zeros, which is none."""
    if not isinstance(value, tuple) or len(value) != 2:
        return None, None
    latitude, longitude = _number(value[0]), _number(value[1])
    if latitude is None or longitude is None or latitude == longitude == 0:
        return None, None
    if abs(latitude) > 90 or abs(longitude) > 180:
        return None, None
    return latitude, longitude


def _number(value: object) -> float | None:
    try:
        number = float(str(value))
    except ValueError:
        return None
    return number if isfinite(number) else None


def _text(value: object) -> str:
    return plain_text("" if value is None else str(value))
