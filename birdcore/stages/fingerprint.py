"""Stage `fingerprint`: what one shard of recordings sounds like, for finding the same sound again.

Publishes `fingerprints.parquet` (see `birdcore/audio/fingerprints.py`), of the recordings as they
are, before anything is cut. What can't be decoded has no landmarks: cleaning says why.
"""

from pathlib import Path

from birdcore.audio.decode import Rejected, decode
from birdcore.audio.fingerprints import Landmarks, fingerprint, gather, write_fingerprints
from birdcore.sources.shards import Shard
from birdcore.store.artifact import Metrics, Step
from birdcore.store.store import Job

VERSION = 2


def step(shard: Shard, root: Path) -> Step:
    files = {f.path: f.sha256 for f in shard.files}
    return Step("fingerprint", VERSION, f"fingerprint {shard.name}", files=files, root=str(root))


def run(job: Job) -> Metrics:
    found: dict[str, Landmarks] = {}
    for done, name in enumerate(job.step.files):
        job.progress(done, len(job.step.files), name)
        try:
            audio = decode(job.source(name))
        except Rejected:
            continue
        found[name] = fingerprint(audio.blocks(), audio.rate)
    job.progress(len(job.step.files), len(job.step.files), "")
    write_fingerprints(job.folder / "fingerprints.parquet", gather(found))
    return {"recordings": len(found), "landmarks": sum(len(f.hashes) for f in found.values())}
