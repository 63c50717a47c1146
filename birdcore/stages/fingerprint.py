"""Stage `fingerprint`: acoustic fingerprints of one shard, to find the same sound elsewhere.

Publishes `fingerprints.parquet` (see `birdcore/audio/fingerprints.py`), of the recordings as they
are, before anything is cut. What can't be decoded has none: cleaning says why.
"""

from pathlib import Path

from birdcore.sources.shards import Shard
from birdcore.store.artifact import Metrics, Step
from birdcore.store.store import Job

VERSION = 2


def step(shard: Shard, root: Path) -> Step:
    """Fingerprints of one shard of recordings."""
    files = {f.path: f.sha256 for f in shard.files}
    return Step("fingerprint", VERSION, f"fingerprint {shard.name}", files=files, root=str(root))


def run(job: Job) -> Metrics:
    from birdcore.audio.decode import Rejected, decode
    from birdcore.audio.fingerprints import fingerprint, gather, write_fingerprints

    found = {}
    names = list(job.step.files)
    for done, name in enumerate(names):
        job.progress(done, len(names), name)
        try:
            audio = decode(job.source(name))
        except Rejected:
            continue
        found[name] = fingerprint(audio.blocks(), audio.rate)
    job.progress(len(names), len(names), "")
    write_fingerprints(job.folder / "fingerprints.parquet", gather(found))
    return {"recordings": len(found), "landmarks": sum(map(len, found.values()))}
