"""Who analyses which files of a folder, so that a run goes on after a kill and many share one.

    DIR/.detect/
      settings.json         what all of it is made with; other settings are refused
      plan-0000.json        groups of files, in order; new files of a later run are a further plan
      parts/0000-00012.parquet   a group's detections, its files' rows in the metadata
      locks/                a lock for each group, for plans and for the final tables

A group is analysed by whoever gets its lock (an flock, which ends with its process) and is
published by one rename: it is there in full or not at all. Nothing but its own files decides what
is found in a group: where numbers depend on what is computed together, they do so in the same way
each time. The final tables are written from the parts in the order of the plans. So they are the
same, byte for byte, whoever made which part and however often it was killed in between.
"""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from birdcore.detection.table import FILE_SCHEMA, FileRow, file_rows, files_table
from birdcore.detection.writers import RTYPES, Results, write_outputs
from birdcore.store.files import parquet_bytes, write_bytes, write_text
from birdcore.store.locks import lock_file

FOLDER = ".detect"
GROUP_FILES, GROUP_BYTES = 16, 1 << 28
"""A group ends at so many files or bytes: what a kill throws away, and what processes share."""
FILES_KEY = b"birdflow.files"


@dataclass(frozen=True)
class Group:
    """Files that are analysed and published together."""

    name: str
    files: tuple[str, ...]


@dataclass(frozen=True)
class Claim:
    """A group that this process has locked: nobody else analyses it until it is published."""

    group: Group
    lock: ExitStack


@dataclass(frozen=True)
class Work:
    """The work on one output folder.

    Attributes:
        out: The output folder.
        root: The folder to which the files' names are relative.
        opened: When this process began with it, Unix seconds.
    """

    out: Path
    root: Path
    opened: float = field(default_factory=time.time)

    @property
    def folder(self) -> Path:
        """Where its state is kept."""
        return self.out / FOLDER

    def groups(self) -> list[Group]:
        """All groups of all plans, in order."""
        return [
            Group(f"{path.stem.removeprefix('plan-')}-{number:05d}", tuple(files))
            for path in sorted(self.folder.glob("plan-*.json"))
            for number, files in enumerate(json.loads(path.read_text(encoding="utf-8")))
        ]

    def missing(self) -> list[Group]:
        """Groups that are not published yet."""
        published = {path.stem for path in (self.folder / "parts").glob("*.parquet")}
        return [group for group in self.groups() if group.name not in published]

    @contextmanager
    def claims(self) -> Iterator[Iterator[Claim]]:
        """Missing groups that no process is at, each locked from its turn until it is published.

        Several may be held at a time, so that files are prepared ahead. What is still held at the
        end of the context is given back.
        """
        with ExitStack() as held:
            yield self._claims(held)

    def _claims(self, held: ExitStack) -> Iterator[Claim]:
        for group in self.missing():
            lock = held.enter_context(ExitStack())
            ours = lock.enter_context(lock_file(self._lock(group), wait=False))
            if ours and not self._part(group).exists():
                yield Claim(group, lock)
            else:
                lock.close()

    def publish(self, claim: Claim, found: Sequence[tuple[FileRow, pa.Table]]) -> None:
        """Keep what was found in a group, for good, and give back its lock.

        Args:
            claim: The group.
            found: Its files, in order, each with the number of its detections, and these.
        """
        rows, tables = zip(*found, strict=True)
        table = pa.concat_tables(tables)
        records = json.dumps(files_table(rows).to_pylist()).encode()
        metadata = {**(table.schema.metadata or {}), FILES_KEY: records}
        content = parquet_bytes(table.replace_schema_metadata(metadata))
        write_bytes(self._part(claim.group), content)
        claim.lock.close()

    def wait_for_others(self) -> bool:
        """Wait until no process is at a missing group; this one holds none.

        Returns:
            Whether a group is still missing, since its process was stopped.
        """
        for group in self.missing():
            with lock_file(self._lock(group)):
                pass
        return bool(self.missing())

    def results(self) -> Results:
        """All analysed files and their detections, in order, a group in memory at a time."""
        for group in self.groups():
            with pq.ParquetFile(self._part(group)) as file:
                table = file.read(use_threads=False)  # threads cost more than a small part
            metadata = dict(table.schema.metadata)
            rows = _rows_of(metadata.pop(FILES_KEY))
            table, first = table.replace_schema_metadata(metadata), 0
            for row in rows:
                yield row, table.slice(first, row.detections)
                first += row.detections

    def finish(self, rtypes: Sequence[str], *, split_tables: bool = False) -> bool:
        """Write the final tables, where all groups are there.

        Formats that earlier runs have written are written anew too, so that none is left behind.

        Returns:
            False where a group is missing.
        """
        with lock_file(self.folder / "locks" / "tables"):
            if self.missing():
                return False
            written = self.folder / "tables.json"
            before = _read_json(written) or {}
            kinds = {(name, split_tables) for name in rtypes}
            kinds |= {(name, split) for name, split in before.get("tables", [])}
            contents = {
                "groups": len(self.groups()),
                "tables": [list(kind) for kind in sorted(kinds)],
            }
            # Of several processes that end together, one writes.
            if before == contents and written.stat().st_mtime >= self.opened:
                return True
            written.unlink(missing_ok=True)
            for split in {split for _, split in kinds}:
                names = [name for name in RTYPES if (name, split) in kinds]
                write_outputs(self.out, self.results, names, self.root, split_tables=split)
            write_text(written, json.dumps(contents) + "\n")
        return True

    def _part(self, group: Group) -> Path:
        return self.folder / "parts" / f"{group.name}.parquet"

    def _lock(self, group: Group) -> Path:
        return self.folder / "locks" / group.name


def open_work(out: Path, root: Path, files: Mapping[str, int], settings: Mapping[str, Any]) -> Work:
    """The work on a folder, with the files that no earlier run has planned added to it.

    Args:
        out: The output folder; made where it lacks.
        root: The analysed folder.
        files: Names relative to it, with their bytes.
        settings: All that decides what is detected, as JSON holds it.

    Raises:
        ValueError: The folder holds detections that were made with other settings.
        OSError: It can't be written to.
    """
    work = Work(out, root)
    for name in ("parts", "locks"):
        (work.folder / name).mkdir(parents=True, exist_ok=True)
    with lock_file(work.folder / "locks" / "plan"):
        _check_settings(work, {"root": str(root), **settings})
        known = {name for group in work.groups() for name in group.files}
        if new := {name: size for name, size in files.items() if name not in known}:
            number = len(list(work.folder.glob("plan-*.json")))
            plan = json.dumps(list(divide(new)), ensure_ascii=False, indent=0)
            write_text(work.folder / f"plan-{number:04d}.json", plan + "\n")
    return work


def divide(files: Mapping[str, int]) -> Iterator[list[str]]:
    """Names of files in groups, in the order of the names.

    Example:
        >>> list(divide({"b": 1, "a": 1 << 28, "c": 1}))
        [['a'], ['b', 'c']]
    """
    group: list[str] = []
    size = 0
    for name in sorted(files):
        group.append(name)
        size += files[name]
        if len(group) == GROUP_FILES or size >= GROUP_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


def _rows_of(records: bytes) -> list[FileRow]:
    """The rows of a part's files, as its metadata hold them."""
    return file_rows(pa.Table.from_pylist(json.loads(records), FILE_SCHEMA))


def _check_settings(work: Work, settings: dict[str, Any]) -> None:
    path = work.folder / "settings.json"
    given = json.loads(json.dumps(settings))
    known = _read_json(path)
    if known is None:
        write_text(path, json.dumps(given, indent=1) + "\n")
        return
    different = sorted(name for name in {*known, *given} if known.get(name) != given.get(name))
    if different:
        name = different[0]
        raise ValueError(
            f"{work.out} holds detections of other settings ({', '.join(different)}; {name} was "
            f"{str(known.get(name))[:60]}, now {str(given.get(name))[:60]}): "
            "give another --out, or remove the folder"
        )


def _read_json(path: Path) -> Any:
    """The content of a JSON file, None where it is not there."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
