"""Which recordings are worked on together.

A recording stays in the shard it was given, and new recordings make new shards: one new recording
among ten thousand re-makes one shard. So the store keeps a ledger, by content: (kind, sha256) and
the shard's number. Only the grouping hangs on the ledger; a shard's key is made of the recordings
in it.

A step is a task, and Prefect's server writes down some tens of them a second: so many new
recordings that they would make more than `MOST` shards make larger ones.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from birdcore.catalog.source import Kind, SourceFile
from birdcore.store import Store

LEDGER = "shards.parquet"
Ledger: TypeAlias = dict[tuple[str, str], int]

MOST = 256
"""New shards of a kind in one run."""
MOST_ROWS, LAST = 10_000_000, 1 << 30
"""What no ledger of ours reaches: rows, and a shard's number."""


@dataclass(frozen=True)
class Shard:
    kind: Kind
    number: int
    files: tuple[SourceFile, ...]

    @property
    def name(self) -> str:
        return f"{self.kind}/{self.number:04d}"


def assign(ledger: Ledger, kind: Kind, files: Iterable[SourceFile], size: int) -> list[Shard]:
    """Shards of the files; files that the ledger does not know are entered into it.

    Every file is in exactly one shard; known ones are where they were, new ones fill new shards
    of `size` contents, or more where these would be too many, in the order of their paths.
    """
    files = sorted(files, key=lambda f: f.path)
    used = max((n for (k, _), n in ledger.items() if k == kind), default=-1)
    new = list(dict.fromkeys(f.sha256 for f in files if (kind, f.sha256) not in ledger))
    size = max(size, -(-len(new) // MOST))
    for at, sha in enumerate(new):
        ledger[kind, sha] = used + 1 + at // size
    members: dict[int, list[SourceFile]] = defaultdict(list)
    for file in files:
        members[ledger[kind, file.sha256]].append(file)
    return [Shard(kind, number, tuple(members[number])) for number in sorted(members)]


def shards(
    audio: Mapping[Kind, Iterable[SourceFile]], store: Store, size: int, *, keep: bool
) -> dict[Kind, list[Shard]]:
    """The shards of each kind's recordings; with `keep` new assignments go to the store."""
    with store.lock("shards"):
        ledger = _parse(store.read_shared(LEDGER))
        known = len(ledger)
        by_kind = {kind: assign(ledger, kind, audio[kind], size) for kind in audio}
        if keep and len(ledger) > known:
            store.write_shared(LEDGER, _bytes(ledger))
    return by_kind


def _parse(content: bytes | None) -> Ledger:
    if content is None:
        return {}
    try:
        file = pq.ParquetFile(pa.BufferReader(content))
        if file.metadata.num_rows > MOST_ROWS:
            return {}
        columns = file.read(["kind", "sha256", "shard"]).to_pydict()
        rows = list(zip(columns["kind"], columns["sha256"], columns["shard"], strict=True))
    except (OSError, ValueError, KeyError):
        return {}  # a lost ledger costs work that is done again, and is no error
    return {(kind, sha): n for kind, sha, n in rows if _believable(kind, sha, n)}


def _believable(kind: object, sha: object, number: object) -> bool:
    """Whether a row can be one that we wrote: others may write to a shared store."""
    whole = isinstance(number, int) and not isinstance(number, bool) and 0 <= number < LAST
    return isinstance(kind, str) and isinstance(sha, str) and whole


def _bytes(ledger: Ledger) -> bytes:
    table = pa.table(
        {
            "kind": [kind for kind, _ in ledger],
            "sha256": [sha for _, sha in ledger],
            "shard": pa.array(ledger.values(), pa.int32()),
        }
    )
    file = pa.BufferOutputStream()
    pq.write_table(table, file)
    return bytes(file.getvalue().to_pybytes())
