"""What lies in a BirdCLEF+ folder: its tables, and its audio files with their content's sha256."""

from collections.abc import Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from birdcore.audio.container import AUDIO_SUFFIXES
from birdcore.audio.trim import Override
from birdcore.sources.listing import list_audio
from birdcore.sources.overrides import OVERRIDES, read_overrides
from birdcore.sources.table import TableError, is_there
from birdcore.sources.tables import TABLES, Problem, Tables, read_tables
from birdcore.store.artifact import Progress
from birdcore.store.digests import digests
from birdcore.store.job import no_progress
from birdcore.store.store import Store
from birdcore.unicode_names import is_utf8, printable

Kind: TypeAlias = Literal["train_audio", "train_soundscapes", "test_soundscapes", "xeno_canto"]
FOLDERS: tuple[Kind, ...] = ("train_audio", "train_soundscapes", "test_soundscapes")
"""Of a data folder; recordings of Xeno-canto lie in a collection."""
LABELLED: tuple[Kind, ...] = ("train_audio", "xeno_canto")
"""What is cleaned of speech and trains; soundscapes keep every second."""


@dataclass(frozen=True)
class SourceFile:
    """An audio file: `path` under the data folder (slashes, NFC) is also its recording's name."""

    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Source:
    """A data folder as it is now: `csv` its tables and `tables` their files' digests.

    `problems` are what was passed over in the folders of recordings.
    """

    root: Path
    csv: Tables = field(compare=False)
    tables: dict[str, str]
    audio: dict[Kind, tuple[SourceFile, ...]]
    overrides: dict[str, tuple[Override, ...]]
    problems: tuple[Problem, ...] = ()

    @property
    def labels(self) -> tuple[str, ...]:
        return self.csv.labels


def scan(root: Path, store: Store, progress: Progress = no_progress) -> Source:
    """The data folder's audio files, tables and overrides.

    Raises TableError where the folder or a table in it can't be used, or no row of train.csv fits
    a file.
    """
    if not root.is_dir():
        raise TableError(f"{printable(str(root))}: there is no such data folder")
    if not is_utf8(str(root.absolute())):
        raise TableError(f"{printable(str(root))}: the data folder's name is not UTF-8: rename it")
    csv = read_tables(root)  # a bad table is refused before any work
    found = {kind: list_audio(root, kind) for kind in FOLDERS}
    passed_over = [problem for kind in FOLDERS for problem in found[kind].passed_over]
    labelled = found["train_audio"].audio
    _refuse_unfit(root, csv, labelled.keys(), passed_over)
    tables = [root / name for name in TABLES if is_there(root / name)]
    paths = [path for listing in found.values() for path in listing.audio.values()]
    cache = store.root / "digests.parquet" if store.is_made else None
    with store.lock("digests"):
        read = digests(paths + tables, cache, progress)
    return Source(
        root=root.absolute(),
        csv=csv,
        tables={path.name: read[path].sha256 for path in tables},
        audio={
            kind: tuple(
                SourceFile(name, read[path].bytes, read[path].sha256)
                for name, path in listing.audio.items()
            )
            for kind, listing in found.items()
        },
        overrides=read_overrides(root / OVERRIDES, labelled.keys()),
        problems=tuple(passed_over),
    )


def _refuse_unfit(
    root: Path, csv: Tables, labelled: Set[str], passed_over: Sequence[Problem]
) -> None:
    """Raise TableError where nothing could be trained on, for a reason that is known now."""
    if not labelled:
        why = f"; {passed_over[0].problem}: {passed_over[0].where}" if passed_over else ""
        raise TableError(
            f"{root}: no audio files in train_audio/ (suffixes {', '.join(sorted(AUDIO_SUFFIXES))})"
            f"{why}"
        )
    names = "train_audio/" + csv.train["filename"]
    rows = csv.train[names.isin(labelled)]
    if rows.empty:
        raise TableError(
            f"{root / 'train.csv'}: no row fits a file of train_audio/: the first row names "
            f"{csv.train['filename'].iloc[0]!r}, the first file is "
            f"{min(labelled).removeprefix('train_audio/')!r}"
        )
    if not rows["primary_label"].isin(csv.labels).any():
        raise TableError(
            f"{root / 'train.csv'}: no label of it is a class: the first is "
            f"{rows['primary_label'].iloc[0]!r}, the first class is {csv.labels[0]!r}"
        )
