"""What lies in a BirdCLEF+ folder: its audio files with their content's sha256.

Keys are made of content, so every run needs the digest of every file. A digest is remembered by
path, size and modification time (as git does it), so that only new and changed files are read.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from birdcore.audio.cut import Override
from birdcore.catalog.overrides import OVERRIDES, read_overrides
from birdcore.catalog.tables import TABLES, TableError, Tables, read_tables
from birdcore.files import file_sha256, write_bytes
from birdcore.store import Store

Kind: TypeAlias = Literal["train_audio", "train_soundscapes", "test_soundscapes", "xeno_canto"]
FOLDERS: tuple[Kind, ...] = ("train_audio", "train_soundscapes", "test_soundscapes")
"""Of a data folder; recordings of Xeno-canto lie in a collection."""
LABELLED: tuple[Kind, ...] = ("train_audio", "xeno_canto")
"""What is cleaned of speech and trains; soundscapes keep every second."""
AUDIO_SUFFIXES = frozenset(
    {".ogg", ".oga", ".opus", ".spx", ".flac", ".wav", ".wave", ".w64", ".rf64", ".aif", ".aiff"}
    | {".aifc", ".mp3", ".mp2", ".aac", ".ac3", ".m4a", ".m4b", ".mp4", ".mov", ".3gp", ".amr"}
    | {".wma", ".webm", ".mka", ".mkv", ".wv", ".caf", ".au", ".snd", ".ape", ".tta", ".mpc"}
    | {".dsf", ".avi"}
)


@dataclass(frozen=True)
class SourceFile:
    """An audio file: `path` under the data folder, with slashes, is also its recording's name."""

    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Source:
    """A data folder as it is now: `csv` its tables and `tables` their files' digests."""

    root: Path
    csv: Tables = field(compare=False)
    tables: dict[str, str]
    audio: dict[Kind, tuple[SourceFile, ...]]
    overrides: dict[str, tuple[Override, ...]]

    @property
    def labels(self) -> tuple[str, ...]:
        return self.csv.labels


def scan(root: Path, store: Store) -> Source:
    """The data folder's audio files, tables and overrides.

    Raises TableError where the folder or a table in it can't be used.
    """
    if not root.is_dir():
        raise TableError(f"{root}: there is no such data folder")
    csv = read_tables(root)  # a bad table is refused before any work
    found = {kind: sorted(_audio_below(root / kind)) for kind in FOLDERS}
    if not found["train_audio"]:
        raise TableError(
            f"{root}: no audio files in train_audio/ (suffixes {', '.join(sorted(AUDIO_SUFFIXES))})"
        )
    tables = [root / name for name in TABLES if (root / name).is_file()]
    with store.lock("digests"):
        digests = _digests([p for paths in found.values() for p in paths] + tables, store)
    return Source(
        root=root.absolute(),
        csv=csv,
        tables={p.name: digests[p].sha256 for p in tables},
        audio={
            kind: tuple(
                SourceFile(p.relative_to(root).as_posix(), digests[p].bytes, digests[p].sha256)
                for p in paths
            )
            for kind, paths in found.items()
        },
        overrides=read_overrides(
            root / OVERRIDES, {p.relative_to(root).as_posix() for p in found["train_audio"]}
        ),
    )


def _audio_below(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        for path in folder.rglob("*"):
            audio = path.suffix.lower() in AUDIO_SUFFIXES and not path.name.startswith(".")
            if audio and path.is_file():
                yield path


@dataclass(frozen=True)
class _Digest:
    bytes: int
    mtime_ns: int
    sha256: str


def _digests(paths: Iterable[Path], store: Store) -> dict[Path, _Digest]:
    known = _read_digests(store.root / "digests.parquet")
    now: dict[Path, _Digest] = {}
    unread: list[tuple[Path, os.stat_result]] = []
    for path in paths:
        stat = path.stat()
        digest = known.get(str(path.absolute()))
        if digest and (digest.bytes, digest.mtime_ns) == (stat.st_size, stat.st_mtime_ns):
            now[path] = digest
        else:
            unread.append((path, stat))
    if unread:
        with ThreadPoolExecutor() as pool:
            contents = pool.map(_content, [path for path, _ in unread])
            for (path, stat), sha in zip(unread, contents, strict=True):
                found = sha or hashlib.sha256(f"unreadable {path.name}".encode()).hexdigest()
                now[path] = _Digest(stat.st_size, stat.st_mtime_ns, found)
                if sha:
                    known[str(path.absolute())] = now[path]
        _write_digests(store.root / "digests.parquet", known)
    return now


def _content(path: Path) -> str | None:
    """The file's sha256; None where it may not be read, which cleaning tells of that recording."""
    try:
        return file_sha256(path)
    except PermissionError:
        return None


def _read_digests(path: Path) -> dict[str, _Digest]:
    try:
        columns = pq.read_table(path).to_pydict()
        rows = zip(columns["bytes"], columns["mtime_ns"], columns["sha256"], strict=True)
        return {name: _Digest(*row) for name, row in zip(columns["path"], rows, strict=True)}
    except (OSError, ValueError, KeyError):
        return {}  # all is read again


def _write_digests(path: Path, digests: dict[str, _Digest]) -> None:
    table = pa.table(
        {
            "path": list(digests),
            "bytes": [d.bytes for d in digests.values()],
            "mtime_ns": [d.mtime_ns for d in digests.values()],
            "sha256": [d.sha256 for d in digests.values()],
        }
    )
    file = pa.BufferOutputStream()
    pq.write_table(table, file)
    write_bytes(path, file.getvalue().to_pybytes())
