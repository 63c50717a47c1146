"""Who analyses which files of a folder, so that a run goes on after a kill and many share one.

    DIR/.detect/
      settings.json         what all of it is made with; other settings are refused
      plan-0000.json        groups of files, in order; new files of a later run are a further plan
      parts/0000-00012.parquet   a group's detections, its files' rows in the metadata
      locks/                a lock for each group, for plans and for the final tables

A group is analysed by whoever gets its lock (an flock, which ends with its process) and is
published by one rename: it is there in full or not at all. The final tables are written from the
parts in the order of the plans. So they are the same, byte for byte, whoever made which part and
however often it was killed in between.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from birdcore.detection.table import FILE_SCHEMA, FileRow, file_rows, files_table
from birdcore.detection.writers import Results, write_outputs
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
class Work:
    """The work on one output folder.

    Attributes:
        out: The output folder.
        root: The folder to which the files' names are relative.
    """

    out: Path
    root: Path

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

    def pending(self) -> Iterator[Group]:
        """Groups to analyse, each under its lock for as long as the caller is at it.

        What other processes are at is waited for at the end, since they may be killed.
        """
        groups = [group for group in self.groups() if not self._part(group).exists()]
        for wait in (False, True):
            for group in groups:
                if self._part(group).exists():
                    continue
                with lock_file(self.folder / "locks" / group.name, wait=wait) as ours:
                    if ours and not self._part(group).exists():
                        yield group

    def publish(self, group: Group, rows: Sequence[FileRow], tables: Sequence[pa.Table]) -> None:
        """Keep what was found in a group, for good.

        Args:
            group: The group.
            rows: Its files, in order, each with the number of its detections.
            tables: Their detections.
        """
        table = pa.concat_tables(tables)
        records = json.dumps(files_table(rows).to_pylist()).encode()
        metadata = {**(table.schema.metadata or {}), FILES_KEY: records}
        write_bytes(self._part(group), parquet_bytes(table.replace_schema_metadata(metadata)))

    def results(self) -> Results:
        """All analysed files and their detections, in order, a group in memory at a time."""
        for group in self.groups():
            table = pq.read_table(self._part(group))
            metadata = dict(table.schema.metadata)
            rows = _rows_of(metadata.pop(FILES_KEY))
            table, first = table.replace_schema_metadata(metadata), 0
            for row in rows:
                yield row, table.slice(first, row.detections)
                first += row.detections

    def finish(self, rtypes: Sequence[str], *, split_tables: bool = False) -> bool:
        """Write the final tables, where all groups are there.

        Returns:
            False where a group is missing.
        """
        with lock_file(self.folder / "locks" / "tables"):
            groups = self.groups()
            if not all(self._part(group).exists() for group in groups):
                return False
            contents = {"groups": len(groups), "rtypes": list(rtypes), "split_tables": split_tables}
            written = self.folder / "tables.json"
            # Of several processes that end together, one writes.
            if _read_json(written) != contents or not (self.out / "files.csv").exists():
                written.unlink(missing_ok=True)
                write_outputs(self.out, self.results, rtypes, self.root, split_tables=split_tables)
                write_text(written, json.dumps(contents) + "\n")
        return True

    def _part(self, group: Group) -> Path:
        return self.folder / "parts" / f"{group.name}.parquet"


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
