"""Unicode normalisation of file names: one name for a file, however its letters are encoded.

`é` is one code point (NFC, as most keyboards write it) or a letter and an accent (NFD, as in a zip
made on a Mac). Both look the same, so recordings, rows and labels are named in NFC everywhere, and
a file is found by either form.
"""

import os
import unicodedata
from collections.abc import Iterable
from pathlib import Path


def nfc(text: str) -> str:
    """The text with each accented letter as one code point where there is one.

    Example:
        >>> len("e\u0301"), len(nfc("e\u0301"))
        (2, 1)
    """
    return unicodedata.normalize("NFC", text)


def is_utf8(name: str) -> bool:
    """Whether a name of the file system is UTF-8; other names can't be written to tables."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def printable(name: str) -> str:
    r"""A name of the file system as text: bytes that are not UTF-8 as `\xf6`."""
    return os.fsencode(name).decode(errors="backslashreplace")


def by_casefold(names: Iterable[str]) -> dict[str, str]:
    """Names by their case-folded form, to suggest the right spelling of a name."""
    return {nfc(name).casefold(): name for name in names}


def preference(name: str, path: str) -> tuple[bool, bool, tuple[str, ...]]:
    """A sort key for files whose names (`path`) differ in form alone: `name` (NFC) comes first."""
    return path != name, path != unicodedata.normalize("NFD", name), tuple(path.split("/"))


def find_by_name(root: Path, name: str) -> Path:
    """The path of a recording.

    Args:
        root: The folder below which it lies.
        name: Its path there, with slashes and in NFC.

    Returns:
        The path, in the form that the file system has. Where files differ in form alone, it is the
        one that `preference` puts first; where there is none, `root / name`.
    """
    for form in (name, unicodedata.normalize("NFD", name)):
        if os.path.lexists(root / form):
            return root / form
    found = [root]
    for part in name.split("/"):
        found = [
            folder / entry
            for folder in found
            if folder.is_dir()
            for entry in sorted(os.listdir(folder))
            if nfc(entry) == part
        ]
    return found[0] if found else root / name
