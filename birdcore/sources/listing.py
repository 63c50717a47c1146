"""What lies in a folder of recordings: its audio files, and all that is passed over, with why.

Nothing that looks like a recording is left out without a word. Links to folders are followed.
Only plain files are ever opened: a pipe named .wav would never end.
"""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from birdcore.audio.container import AUDIO_SUFFIXES
from birdcore.csv_table import Problem
from birdcore.unicode_names import is_utf8, nfc, preference, printable

# fmt: off
NO_RECORDINGS = frozenset({
    ".csv", ".tsv", ".txt", ".md", ".rst", ".json", ".jsonl", ".toml", ".yaml", ".yml", ".xml",
    ".html", ".htm", ".pdf", ".parquet", ".xlsx", ".ods", ".png", ".jpg", ".jpeg", ".gif", ".svg",
    ".log", ".ini", ".db", ".bak",
})
"""Suffixes of what people keep beside recordings: tables, notes, pictures."""
# fmt: on


@dataclass(frozen=True)
class Listing:
    """Audio files by name (under the data folder, slashes, NFC), and what is passed over."""

    audio: dict[str, Path] = field(default_factory=dict)
    passed_over: list[Problem] = field(default_factory=list)


def list_audio(root: Path, kind: str) -> Listing:
    """The recordings below `root / kind`, or `root` where it is empty, in the order of names."""
    listing = Listing()
    paths: dict[str, list[str]] = {}
    if os.path.lexists(root / kind):
        for name, (what, detail) in _walk(str(root / kind), kind):
            if what == AUDIO:
                paths.setdefault(nfc(name), []).append(name)
            else:
                listing.passed_over.append(Problem(what, printable(name), detail))
    for name in sorted(paths):
        first, *others = sorted(paths[name], key=lambda path: preference(name, path))
        listing.audio[name] = root / first
        listing.passed_over.extend(
            Problem("name that is there in another form", other, f"{_form(first)} is used")
            for other in others
        )
    listing.passed_over.sort(key=lambda problem: problem.where)
    return listing


What = tuple[str, str]
"""Of an entry: AUDIO, FOLDER, NOTHING, or the problem that it is, with detail."""
AUDIO, FOLDER, NOTHING = "audio", "folder", "nothing"


def _walk(folder: str, name: str) -> Iterator[tuple[str, What]]:
    """Names of audio files and of what is passed over, in no order."""
    todo: list[tuple[str, str, frozenset[tuple[int, int]]]] = [(folder, name, frozenset())]
    while todo:
        folder, name, around = todo.pop()
        try:
            here = os.stat(folder)
            inside = around | {(here.st_dev, here.st_ino)}
            if inside == around:
                yield name, ("linked folder that leads back to one around it", "")
                continue
            with os.scandir(folder) as entries:
                found = list(entries)
        except FileNotFoundError:
            yield name, ("link to what is not there", "")
            continue
        except OSError as error:
            yield name, ("folder that can't be read", error.strerror or str(error))
            continue
        for entry in found:
            what, detail = _what(entry)
            below = f"{name}/{entry.name}" if name else entry.name
            if what == FOLDER:
                todo.append((entry.path, below, inside))
            elif what != NOTHING:
                yield below, (what, detail)


def _what(entry: os.DirEntry[str]) -> What:
    if not is_utf8(entry.name):
        return "name that is not UTF-8", "rename it"
    hidden, suffix = entry.name.startswith("."), os.path.splitext(entry.name)[1].lower()
    try:
        mode = entry.stat().st_mode
    except FileNotFoundError:
        return "link to what is not there", ""
    except OSError as error:
        return "file that can't be read", error.strerror or str(error)
    if stat.S_ISDIR(mode):
        return ("hidden folder", "") if hidden else (FOLDER, "")
    if not stat.S_ISREG(mode):
        return "neither file nor folder", "a pipe, socket or device"
    if hidden:  # `._XC1.ogg` is what a Mac keeps beside XC1.ogg
        is_recording = suffix in AUDIO_SUFFIXES and not entry.name.startswith("._")
        return ("hidden file", "") if is_recording else (NOTHING, "")
    if suffix in AUDIO_SUFFIXES:
        return AUDIO, ""
    if suffix in NO_RECORDINGS or entry.name.casefold() in ("readme", "license"):
        return NOTHING, ""
    return "suffix of no known audio", suffix or "none"


def _form(name: str) -> str:
    """A name with its form said, since both look alike."""
    return f"{name} (NFC)" if name == nfc(name) else f"{name} (NFD)"
