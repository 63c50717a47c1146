"""Stage `leaks`: which recordings of one shard of a source the data folder has as well.

A model that learnt from one of them would be scored on what it knows. Publishes `leaks.parquet`:
recording, the data folder's recording that is the same, why (id, content or audio) and evidence.
"""

from collections.abc import Iterable

from birdcore.archives.record import archive_name
from birdcore.config.section import Section
from birdcore.sources.duplicates import Leak, by_content, by_id
from birdcore.sources.shards import Shard
from birdcore.sources.source import SourceFile
from birdcore.store.artifact import Metrics, Ref, Step
from birdcore.store.store import Job

VERSION = 1


class Settings(Section):
    """Leaks that names, addresses and contents show before any audio is read."""

    found: tuple[Leak, ...]


def step(
    shard: Shard,
    fingerprints: Ref,
    competition: tuple[Ref, ...],
    files: Iterable[SourceFile],
    urls: Iterable[tuple[str, str]],
) -> Step:
    """Leaks of a shard.

    Args:
        shard: Recordings of another source.
        fingerprints: Of the shard.
        competition: Fingerprints of all recordings of the data folder.
        files: All recordings of the data folder.
        urls: Its labelled recordings, each with its address or "".
    """
    names = {f.path: name for f in shard.files if (name := archive_name(f.path)) is not None}
    found = by_id(names, urls) + by_content(
        {f.path: f.sha256 for f in shard.files}, {f.path: f.sha256 for f in files}
    )
    return Step(
        "leaks",
        VERSION,
        f"leaks {shard.name}",
        {"found": [list(leak) for leak in found]},
        {"fingerprints": (fingerprints,), "competition": competition},
    )


def run(job: Job) -> Metrics:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from birdcore.audio.fingerprints import read_fingerprints
    from birdcore.sources.duplicates import by_audio

    settings = Settings.model_validate(job.config)
    candidates = read_fingerprints([job.input("fingerprints") / "fingerprints.parquet"])
    known = read_fingerprints([a / "fingerprints.parquet" for a in job.inputs("competition")])
    leaks = [*settings.found, *by_audio(candidates, known)]
    schema = pa.schema([(name, pa.string()) for name in Leak._fields])
    table = pa.Table.from_pylist([leak._asdict() for leak in leaks], schema)
    pq.write_table(table, job.folder / "leaks.parquet")
    counts = {why: sum(leak.why == why for leak in leaks) for why in ("id", "content", "audio")}
    return {"recordings": len({leak.recording for leak in leaks}), **counts}
