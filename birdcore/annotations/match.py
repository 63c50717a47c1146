"""Which recording a name in a table, or a table's own name, means.

Names come from other machines, with other suffixes, case and folders, and as addresses with `%20`.
Recorders name files by the clock, so that the same name is there at each site: where folders do
not decide, nothing is guessed.
"""

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import takewhile
from typing import TypeAlias, TypeVar
from urllib.parse import unquote

from birdcore.audio.container import AUDIO_SUFFIXES
from birdcore.unicode_names import nfc

Folders: TypeAlias = tuple[str, ...]
T = TypeVar("T")


@dataclass(frozen=True)
class Ambiguous:
    """Recordings among which a name does not decide."""

    recordings: tuple[str, ...]


Found: TypeAlias = str | Ambiguous | None
"""The recording that a name means; None where there is none of that name."""


class Names:
    """Recordings, to be found by the names that tables give them.

    Args:
        recordings: Paths below the root, with slashes and in NFC.
    """

    def __init__(self, recordings: Iterable[str]) -> None:
        self._by_stem: dict[str, dict[str, Folders]] = defaultdict(dict)
        for recording in sorted(recordings):
            parts = _spelling(recording)
            self._by_stem[_stem(parts[-1])][recording] = parts
        self._longest = max(map(len, self._by_stem), default=0)
        everywhere = (parts for found in self._by_stem.values() for parts in found.values())
        self._folders = {parts[:-1] for parts in everywhere}

    def of_rows(self, given: Iterable[str], folder: str) -> dict[str, Found]:
        """The recordings that the rows of a table name.

        Two sites' recordings of one name are not the same: where only one of them is there, it is
        that of the rows whose folders fit it best, and of none where they fit equally.

        Args:
            given: Paths of any machine, or names with or without suffix.
            folder: Where the table lies, below the root.
        """
        found = {name: self._named(name, folder) for name in dict.fromkeys(given)}
        places: dict[str, dict[Folders, int]] = defaultdict(dict)
        for name, recording in found.items():
            if isinstance(recording, str) and (folders := _folders(name)):
                places[recording][folders] = _tail(folders, _folders(recording))
        for name, recording in found.items():
            if isinstance(recording, str) and (folders := _folders(name)):
                found[name] = recording if _best(places[recording]) == [folders] else None
        return found

    def of_table(self, table: str) -> Found:
        """The recording that a table belongs to, by the longest stem that its name begins with.

        Args:
            table: Its path below the root, such as `site/name..Table.1.selections.txt`.

        Returns:
            The recording, in the table's folder if there is one; None where none fits.
        """
        *folder, name = _spelling(table)
        near = tuple(folder)
        for length in range(min(len(name), self._longest), 0, -1):
            found = self._in_reach(self._by_stem.get(name[:length], {}), near)
            if found and _ends_there(name, length):
                return _recording(
                    {
                        each: (
                            *_nearness(parts[:-1], near),
                            _raw(table).startswith(_raw_stem(each)),
                        )
                        for each, parts in found.items()
                    }
                )
        return None

    def _named(self, name: str, folder: str) -> Found:
        given, near = _spelling(name), _spelling(folder) if folder else ()
        found = self._by_stem.get(_stem(given[-1]), {})
        if len(given) == 1:
            found = self._in_reach(found, near)
        return _recording(
            {
                each: (*_agreement(given, parts, near), _raw(each) == _raw(name))
                for each, parts in found.items()
            }
        )

    def _in_reach(self, found: dict[str, Folders], near: Folders) -> dict[str, Folders]:
        """Recordings in or below a table's folder, if it holds any: that of another site, which may
        have the same name, is not meant then."""
        if near not in self._folders:
            return found
        return {each: parts for each, parts in found.items() if parts[: len(near)] == near}


def _folders(path: str) -> Folders:
    return _spelling(path)[:-1]


def _recording(scores: dict[str, tuple[int, ...]]) -> Found:
    best = _best(scores)
    return Ambiguous(tuple(best)) if len(best) > 1 else next(iter(best), None)


def _best(scores: dict[T, int] | dict[T, tuple[int, ...]]) -> list[T]:
    most = max(scores.values(), default=None)
    return [each for each, score in scores.items() if score == most]


def _spelling(path: str) -> Folders:
    """The parts of a path without what differs between machines."""
    parts = unquote(nfc(path)).replace("\\", "/").casefold().split("/")
    kept = [part for part in parts if part not in ("", ".")]
    return tuple(kept) or ("",)


def _raw(path: str) -> str:
    """A file's name as it is written, to tell names apart that differ in spelling alone."""
    return nfc(path).replace("\\", "/").rpartition("/")[2]


def _raw_stem(recording: str) -> str:
    return _raw(recording).rpartition(".")[0]


def _stem(name: str) -> str:
    stem, dot, suffix = name.rpartition(".")
    return stem if f"{dot}{suffix}" in AUDIO_SUFFIXES else name


def _agreement(given: Folders, recording: Folders, near: Folders) -> tuple[int, ...]:
    """How well a row's path fits a recording: as it stands, from the table or from the root; by
    the folders around the file; by suffix; by the table's place."""
    exact = recording in ((*near, *given), given)
    same_suffix = given[-1] == recording[-1]
    return exact, _tail(given[:-1], recording[:-1]), same_suffix, *_nearness(recording[:-1], near)


def _nearness(recording: Folders, table: Folders) -> tuple[int, ...]:
    return recording == table, _shared(recording, table) + _tail(recording, table)


def _tail(one: Folders, other: Folders) -> int:
    return _shared(one[::-1], other[::-1])


def _shared(one: Folders, other: Folders) -> int:
    """How many parts two paths have in common from their start."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _ends_there(name: str, length: int) -> bool:
    """Whether a recording's stem may end here in a table's name: no letter or digit goes on, and
    what follows is a word, not the number of another recording (`a.1` is not that of `a.1.5`)."""
    rest = re.sub(r"^[\W_]+", "", name[length:])
    goes_on = name[length : length + 1].isalnum() and name[length - 1].isalnum()
    return not goes_on and not rest[:1].isdigit()
