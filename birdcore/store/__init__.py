"""The store: artifacts by key, their files, locks, the records of runs and garbage collection.

    artifact.py      Step, Ref, Artifact, Manifest: a piece of work, its key and its result
    job.py           Job: a step while it runs
    store.py         Store: make, find and get artifacts
    manifest.py      manifests, validated whenever they are read
    files.py         files in full or not at all; no links, pipes or devices
    private.py       files of this account alone
    locks.py         locks that end with their holder
    format.py        the mark of a store
    location.py      open_store: a store by its folder or its URL
    remote.py        the remote of a store that machines share
    transfer.py      artifacts to and from it
    digests.py       a cache of the sha256 of raw files
    run_records.py   records of runs: content and files
    runs.py          runs from their beginning to their end
    inventory.py     what lies in a store, and what of it is damaged
    pins.py          artifacts that are kept whatever runs
    gc.py            the removal of what no run and no pin needs
    provenance.py    what an artifact was made of

Example:
    >>> from birdcore.store import Step, Store
    >>> store = Store(tmp_path / "store")
    >>> step = Step("hello", version=1, name="hello")
    >>> artifact = store.make(step, lambda job: {"bytes": (job.folder / "a").write_text("hi")})
    >>> artifact.metrics, (artifact / "a").read_text()
    ({'bytes': 2}, 'hi')
"""

from typing import TYPE_CHECKING

from birdcore.late_imports import late_imports

if TYPE_CHECKING:
    from birdcore.store.artifact import Artifact, Manifest, Metrics, Ref, Step
    from birdcore.store.format import StoreError
    from birdcore.store.job import Job
    from birdcore.store.location import open_store
    from birdcore.store.store import Store

__all__ = [
    "Artifact", "Job", "Manifest", "Metrics", "Ref", "Step", "Store", "StoreError", "open_store",
]  # fmt: skip

# Imported when used first: pyarrow comes with `Store` alone.
__getattr__ = late_imports(
    __name__,
    {
        "artifact": ["Artifact", "Manifest", "Metrics", "Ref", "Step"],
        "format": ["StoreError"],
        "job": ["Job"],
        "location": ["open_store"],
        "store": ["Store"],
    },
)
