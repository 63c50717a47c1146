"""Invented records of the API's shape, quirks included, for searches of any size."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")

STEMS = ("Aer", "Bryo", "Cala", "Dendr", "Eupho", "Formu", "Galer", "Hylo", "Lumi", "Melo")
ENDS = ("cola", "nis", "spiza", "thraupis", "phaga", "mimus")
EPITHETS = ("alba", "borealis", "cinerea", "demonstrata", "elegans", "ficta", "grisea", "montana")
NAMES = ("Ashen", "Bold", "Crested", "Dusky", "Elegant", "Feigned", "Grey", "Mountain")
FAMILIES = ("Warbler", "Finch", "Thrush", "Wren", "Sparrow", "Tanager")
FIRST = ("Ada", "Bo", "Cleo", "Dag", "Eli", "Fay", "Gus", "Ida", "João", "Lena", "O&#039;Mara")
LAST = ("Formula", "Sinus", "Fourier", "Mel", "Nyquist", "Quantile", "Wavelet & Sons", "Žák")
PLACES = {  # country: latitude, longitude
    "Brazil": (-12.0, -52.0),
    "Canada": (54.0, -100.0),
    "Colombia": (4.0, -73.0),
    "Germany": (51.0, 10.0),
    "Kenya": (0.5, 37.5),
    "Sweden": (60.0, 15.0),
    "Thailand": (15.0, 101.0),
    "United Kingdom": (53.0, -1.5),
    "United States": (39.0, -98.0),
}
TYPES = ("song", "call", "song", "flight call", "alarm call", "call, song", "Song", "begging call")
QUALITIES = ("A", "A", "A", "B", "B", "B", "C", "C", "D", "E", "no score", "")
LICENCES = ("by-nc-sa/4.0", "by-nc-sa/4.0", "by-nc-nd/4.0", "by-nc-nd/2.5", "by-sa/4.0", "by/4.0")
SUFFIXES = (".mp3", ".mp3", ".mp3", ".MP3", ".wav", ".WAV", ".flac")
RATES = ("48000", "44100", "44100", "32000", 96000)
REMARKS = ("", "", "Dawn &amp; dusk.\r\n\r\nHigh-pass at 200 Hz.", "Same bird as XC1000001")
PSEUDO = (("Sonus", "naturalis", "Soundscape"), ("Mystery", "mystery", "Identity unknown"))
FIRST_ID = 1_000_000


def generated(count: int, seed: int) -> list[dict[str, object]]:
    """`count` records, the same for the same seed; a larger count keeps the earlier ones.

    About 1 in 50 is restricted (no place, no file), 1 in 50 a pseudo-species; ids are unique.
    """
    rng = np.random.default_rng(seed)
    return [_record(FIRST_ID + 7 * i, rng) for i in range(count)]


def _record(number: int, rng: np.random.Generator) -> dict[str, object]:
    genus, epithet, name, group = _species(rng)
    country = _one(tuple(PLACES), rng)
    lat, lon = (x + rng.uniform(-3, 3) for x in PLACES[country])
    scheme = _one(("https:", ""), rng)
    file = f"XC{number}-{genus} {epithet}{_one(SUFFIXES, rng)}"
    media = f"{scheme}//xeno-canto.org/sounds/uploaded/INVENTED"
    year = int(rng.integers(1990, 2026))
    record: dict[str, object] = {
        "id": _one((str(number), str(number), number), rng),
        "gen": genus,
        "sp": epithet,
        "ssp": "",
        "grp": group,
        "en": name,
        "rec": f"{_one(FIRST, rng)} {_one(LAST, rng)}",
        "cnt": country,
        "loc": f"Ridge {rng.integers(40)} &quot;{country}&quot;",
        "lat": f"{lat:.4f}",
        "lon": f"{lon:.4f}",
        "alt": _one(("120", "1400", "-", ""), rng),
        "type": _one(TYPES, rng),
        "sex": _one(("", "", "male", "male, female"), rng),
        "stage": _one(("", "adult", "juvenile"), rng),
        "method": "field recording",
        "url": f"{scheme}//xeno-canto.org/{number}",
        "file": f"https://xeno-canto.org/{number}/download",
        "file-name": file,
        "sono": {s: f"{media}/ffts/XC{number}-{s}.png" for s in ("small", "med", "large", "full")},
        "osci": {s: f"{media}/wave/XC{number}-{s}.png" for s in ("small", "med", "large")},
        "lic": f"{scheme}//creativecommons.org/licenses/{_one(LICENCES, rng)}/",
        "q": _one(QUALITIES, rng),
        "length": _length(rng),
        "time": _one(("07:17", "?", "morning", "xx:xx"), rng),
        "date": _date(year, rng),
        "uploaded": f"{min(year + 1, 2025)}-{rng.integers(1, 13):02}-{rng.integers(1, 29):02}",
        "also": [" ".join(_species(rng)[:2])] if rng.random() < 0.3 else [],
        "rmk": _one(REMARKS, rng),
        "animal-seen": _one(("yes", "no", "unknown"), rng),
        "playback-used": _one(("yes", "no", "unknown"), rng),
        "temp": _one(("", None), rng),
        "regnr": "",
        "auto": "no",
        "dvc": "",
        "mic": "",
        "smp": _one(RATES, rng),
    }
    if rng.random() < 0.5:
        record |= {"annotation-set": [], "status": _one(("identified", "questioned"), rng)}
    return _restricted(record, rng) if rng.random() < 0.02 else record


def _restricted(record: dict[str, object], rng: np.random.Generator) -> dict[str, object]:
    hidden: dict[str, object] = dict.fromkeys(("loc", "lat", "lon", "file", "file-name"))
    if rng.random() < 0.5:
        return {**record, **hidden, "file": "restricted_species"}
    redacted = dict.fromkeys(hidden, "restricted_species")
    return {**record, **hidden, "_meta": {"redacted_fields": redacted}}


def _species(rng: np.random.Generator) -> tuple[str, str, str, str]:
    """Genus, epithet, English name and group, more often of the first genera."""
    if rng.random() < 0.02:
        genus, epithet, name = _one(PSEUDO, rng)
        return genus, epithet, name, "soundscape" if genus == "Sonus" else "birds"
    stem = int(len(STEMS) * rng.random() ** 2)
    end, last = int(rng.integers(len(ENDS))), int(rng.integers(len(EPITHETS)))
    name = f"{NAMES[last]} {STEMS[stem]}-{FAMILIES[end]}"
    return f"{STEMS[stem]}{ENDS[end]}", EPITHETS[last], name, "birds"


def _length(rng: np.random.Generator) -> str:
    seconds = int(np.exp(rng.normal(3.6, 1.0))) + 1 + 3600 * int(rng.random() < 0.01)
    minutes, seconds = divmod(seconds, 60)
    if minutes < 60:
        return f"{minutes}:{seconds:02}"
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"


def _date(year: int, rng: np.random.Generator) -> str:
    month, day = rng.integers(1, 13), rng.integers(1, 29)
    return _one(
        (f"{year}-{month:02}-{day:02}",) * 8
        + (f"{year}-{month:02}-00", f"{year}-00-00", "0000-00-00"),
        rng,
    )


def _one(of: Sequence[T], rng: np.random.Generator) -> T:
    return of[int(rng.integers(len(of)))]
