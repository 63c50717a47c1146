"""How the rows of a submission are called after soundscapes, and which rows are asked for.

A row is `NAME_END`: a soundscape's name and the second at which its segment ends. The name is the
file's stem, as BirdCLEF has it. Soundscapes of one stem (two recorders of one clock) are named by
their folder as well, `site1/20250601_050000_5`, and files of one folder that differ in their
suffix alone with it, `20250601_050000.wav_5`. A stem has no slash, so no name is another's.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

from birdcore.csv_table import TableError
from birdcore.unicode_names import nfc


def row_names(soundscapes: Iterable[str]) -> dict[str, str]:
    """The name of each soundscape's rows, by recording; no two are alike.

    A first folder that all of them are in, such as test_soundscapes, is no part of a name.
    """
    level = dict.fromkeys(soundscapes, 0)
    shared = int(len({PurePosixPath(path).parts[0] for path in level}) == 1)
    while True:
        names = {path: _name(path, at, shared) for path, at in level.items()}
        times = Counter(names.values())
        alike = [path for path, name in names.items() if times[name] > 1 and level[path] < 2]
        if not alike:
            return names
        for path in alike:
            level[path] += 1


def _name(path: str, level: int, shared: int) -> str:
    """Of `test_soundscapes/a/b.ogg`: b, a/b, a/b.ogg; `shared`: folders that all are in."""
    inner = PurePosixPath(*PurePosixPath(path).parts[shared:] or (path,))
    return (inner.stem, str(inner.with_suffix("")), str(inner))[level]


def number_and_site(path: str) -> str:
    """What 2021's rows call a soundscape: `7019_COR` for 7019_COR_20190904.ogg."""
    return "_".join(PurePosixPath(path).stem.split("_")[:2])


def stem_of(row_id: str) -> str:
    """The soundscape's name in a row's, in NFC; all of it where there is no `_`."""
    return nfc(row_id.rpartition("_")[0] or row_id)


def refuse_one_for_two(table: str, row_ids: Iterable[str], names: Mapping[str, str]) -> None:
    """Raise TableError where rows of a table could be those of more than one soundscape."""
    by_stem: dict[str, list[str]] = defaultdict(list)
    for path in sorted(names):
        by_stem[PurePosixPath(path).stem].append(path)
    asked = {stem_of(row) for row in row_ids}
    for stem, paths in by_stem.items():
        own = {names[path] for path in paths}
        # Our own names may have a bare stem among them; beside the others it is no riddle.
        if len(paths) > 1 and stem in asked and not asked & (own - {stem}):
            called = " and ".join(sorted(own))
            raise TableError(
                f"{table}: its rows {stem}_… are those of one soundscape, and there are "
                f"{' and '.join(paths)}: rename one, or name the rows {called}"
            )


def decides_rows(row_ids: Iterable[str], names: Mapping[str, str], others: Iterable[str]) -> bool:
    """Whether the rows of sample_submission.csv are those that are asked for.

    A placeholder that names no soundscape that is there (2026's has three rows of one that does
    not exist) decides columns alone. `others`: soundscapes that are there and can't be used.
    """
    there = {*names.values(), *(nfc(PurePosixPath(path).stem) for path in others)}
    return any(stem_of(row) in there for row in row_ids)
