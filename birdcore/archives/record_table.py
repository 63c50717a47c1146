"""Records as a Parquet table: what a search found, and what a selection chose.

Text that says where and when a table is from is kept in it (`notes`), so that a table and what is
known of it are never apart.
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from birdcore.archives.record import Record
from birdcore.store.files import parquet_bytes, write_bytes

_TYPES: dict[object, pa.DataType] = {
    int | None: pa.int64(),
    float | None: pa.float64(),
    int: pa.int64(),
    str: pa.string(),
    str | None: pa.string(),
    bool: pa.bool_(),
    tuple[str, ...]: pa.list_(pa.string()),
}
SCHEMA = pa.schema([(f.name, _TYPES[f.type]) for f in fields(Record)])


def write_records(path: Path, records: Sequence[Record], notes: Mapping[str, str] = {}) -> None:
    """Records as a Parquet table, there in full or not at all; `notes` are kept beside it."""
    table = pa.table(
        [[getattr(r, name) for r in records] for name in SCHEMA.names],
        schema=SCHEMA.with_metadata(dict(notes)),
    )
    write_bytes(path, parquet_bytes(table))


def read_records(path: Path) -> list[Record]:
    """The records of `write_records`, in order; raises ValueError where the file has none."""
    try:
        columns = pq.read_table(path, schema=SCHEMA).to_pydict()
        for name in ("types", "also"):
            columns[name] = [tuple(values) for values in columns[name]]
        return [Record(*row) for row in zip(*columns.values(), strict=True)]
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError, LookupError, TypeError, ValueError) as error:
        raise ValueError(f"{path} holds no records that can be read: {error}") from error


def read_notes(path: Path) -> dict[str, str]:
    """What `write_records` was given as notes."""
    notes = pq.read_schema(path).metadata or {}
    return {k.decode(): v.decode() for k, v in notes.items()}
