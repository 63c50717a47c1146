"""Which recordings are worked on together.

A recording stays in the shard it was given, and new recordings make new shards: one new recording
among ten thousand re-makes one shard. So the store keeps a ledger, by content: (kind, sha256) and
the shard's number. Only the grouping hangs on the ledger; a shard's key is made of the recordings
in it. So a ledger that is lost or can't be read stops nobody: what is left of it is set aside, and
it is written anew by what the store has made of shards.

A step is a task, and Prefect's server writes down some tens of them a second: so many new
recordings that they would make more than `MOST` shards make larger ones.
"""

import hashlib
import logging
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from birdcore.sources.source import SourceFile, Subset, Use
from birdcore.store.artifact import Manifest, Ref
from birdcore.store.files import parquet_bytes
from birdcore.store.manifest import read_manifest
from birdcore.store.store import Store

LEDGER = "shards.parquet"
Ledger: TypeAlias = dict[tuple[str, str], int]
SCHEMA = pa.schema([("kind", pa.string()), ("sha256", pa.string()), ("shard", pa.int32())])
CLEANED = re.compile(r"clean (\w+)/(\d+)")
"""What cleaning of a shard is called, in the manifest that names the shard's recordings."""
LOG = logging.getLogger("birdflow")

MOST = 256
"""New shards of a kind in one run."""
MOST_ROWS, LAST = 10_000_000, 1 << 30
"""What no ledger of ours reaches: rows, and a shard's number."""


@dataclass(frozen=True)
class Shard:
    """Recordings of one subset that are worked on together.

    `kind` is the subset's name and `use` its use.
    """

    kind: str
    number: int
    files: tuple[SourceFile, ...]
    use: Use = "labelled"

    @property
    def name(self) -> str:
        return f"{self.kind}/{self.number:04d}"


def assign(ledger: Ledger, subset: Subset, size: int) -> list[Shard]:
    """Shards of the files; files that the ledger does not know are entered into it.

    Every file is in exactly one shard; known ones are where they were, new ones fill new shards
    of `size` contents, or more where these would be too many, in the order of their paths.
    """
    kind, files = subset.name, sorted(subset.files, key=lambda f: f.path)
    used = max((n for (k, _), n in ledger.items() if k == kind), default=-1)
    new = list(dict.fromkeys(f.sha256 for f in files if (kind, f.sha256) not in ledger))
    size = max(size, -(-len(new) // MOST))
    for at, sha in enumerate(new):
        ledger[kind, sha] = used + 1 + at // size
    members: dict[int, list[SourceFile]] = defaultdict(list)
    for file in files:
        members[ledger[kind, file.sha256]].append(file)
    return [Shard(kind, number, tuple(members[number]), subset.use) for number in sorted(members)]


def shards(
    subsets: Iterable[Subset], store: Store, size: int, *, keep: bool
) -> dict[str, list[Shard]]:
    """The shards of each subset by its name; with `keep` new assignments go to the store."""
    with store.lock("shards"):
        content = store.read_shared(LEDGER)
        stored = None if content is None else _parse(content)
        ledger = _made(store) if stored is None else dict(stored)
        if stored is None and content is not None:
            aside = f"shards.damaged-{hashlib.sha256(content).hexdigest()[:12]}.parquet"
            LOG.warning(
                "%s of the store can't be read: recordings keep the shards in which the store has "
                "them cleaned, and a run sets it aside as %s",
                LEDGER,
                aside,
            )
            if keep:
                store.write_shared(aside, content)
        by_kind = {subset.name: assign(ledger, subset, size) for subset in subsets}
        if keep and ledger != stored:
            store.write_shared(LEDGER, _bytes(ledger))
    return by_kind


def _parse(content: bytes) -> Ledger | None:
    """None for what is no ledger."""
    try:
        file = pq.ParquetFile(pa.BufferReader(content), page_checksum_verification=True)
        if file.metadata.num_rows > MOST_ROWS or not file.schema_arrow.equals(SCHEMA):
            return None
        table = file.read()
        columns = [table[name].to_pylist() for name in SCHEMA.names]
    except (pa.ArrowException, OSError, ValueError, LookupError, MemoryError):
        return None
    kinds, contents, numbers = columns
    if any(value is None for column in columns for value in column):
        return None
    if not all(0 <= number < LAST for number in numbers):
        return None
    return dict(zip(zip(kinds, contents, strict=True), numbers, strict=True))


def _made(store: Store) -> Ledger:
    """The shards that artifacts of this machine are of; where two disagree, the later one's."""
    manifests = filter(None, map(_manifest, store.root.glob("clean/*")))
    ledger: Ledger = {}
    for one in sorted(manifests, key=lambda manifest: manifest.made_at):
        if named := CLEANED.fullmatch(one.name):
            ledger |= {(named[1], sha): int(named[2]) for sha in one.sources.values()}
    return ledger


def _manifest(folder: Path) -> Manifest | None:
    try:
        return read_manifest(folder, Ref(folder.parent.name, folder.name))
    except (OSError, ValueError):
        return None


def _bytes(ledger: Ledger) -> bytes:
    kinds, contents = zip(*ledger, strict=True)
    table = pa.table([kinds, contents, list(ledger.values())], schema=SCHEMA)
    return parquet_bytes(table, write_page_checksum=True)
