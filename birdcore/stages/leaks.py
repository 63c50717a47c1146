"""Stage `leaks`: which recordings of one shard of the collection the competition has as well.

A model that learnt from one of them would be scored on what it knows. Publishes `leaks.parquet`:
recording, the competition's recording that is the same, why (id, content or audio) and evidence.
"""

from collections.abc import Iterable

import pyarrow as pa
import pyarrow.parquet as pq

from birdcore.audio.fingerprints import read_fingerprints
from birdcore.sources.birdclef import SourceFile
from birdcore.sources.duplicates import Leak, by_audio, by_content, by_id
from birdcore.sources.shards import Shard
from birdcore.store.artifact import Metrics, Ref, Step
from birdcore.store.store import Job
from birdcore.xeno_canto.record import xeno_canto_id

VERSION = 1
LEAKS = pa.schema([(name, pa.string()) for name in Leak._fields])


def step(
    shard: Shard,
    fingerprints: Ref,
    competition: tuple[Ref, ...],
    files: Iterable[SourceFile],
    urls: Iterable[tuple[str, str]],
) -> Step:
    """Leaks of a shard.

    `competition` are the fingerprints of all of its audio, `files` the audio itself, `urls` its
    training recordings with their urls. What ids and contents tell is known here and is part of
    the key.
    """
    ids = {f.path: number for f in shard.files if (number := xeno_canto_id(f.path)) is not None}
    told = by_id(ids, urls) + by_content(
        {f.path: f.sha256 for f in shard.files}, {f.path: f.sha256 for f in files}
    )
    return Step(
        "leaks",
        VERSION,
        f"leaks {shard.name}",
        {"told": [list(leak) for leak in told]},
        {"fingerprints": (fingerprints,), "competition": competition},
    )


def run(job: Job) -> Metrics:
    candidates = read_fingerprints([job.input("fingerprints") / "fingerprints.parquet"])
    known = read_fingerprints([a / "fingerprints.parquet" for a in job.inputs("competition")])
    leaks = [Leak(*row) for row in job.config["told"]] + by_audio(candidates, known)
    pq.write_table(
        pa.Table.from_pylist([leak._asdict() for leak in leaks], LEAKS),
        job.folder / "leaks.parquet",
    )
    counts = {why: sum(leak.why == why for leak in leaks) for why in ("id", "content", "audio")}
    return {"recordings": len({leak.recording for leak in leaks}), **counts}
