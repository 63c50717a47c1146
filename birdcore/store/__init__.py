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

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from birdcore.store.artifact import Artifact, Manifest, Metrics, Ref, Step
    from birdcore.store.format import StoreError
    from birdcore.store.job import Job
    from birdcore.store.location import open_store
    from birdcore.store.store import Store

_MODULES = {
    "Artifact": "artifact", "Manifest": "artifact", "Metrics": "artifact", "Ref": "artifact",
    "Step": "artifact", "StoreError": "format", "Job": "job", "open_store": "location",
    "Store": "store",
}  # fmt: skip

__all__ = [
    "Artifact", "Job", "Manifest", "Metrics", "Ref", "Step", "Store", "StoreError", "open_store",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Import a public name when it is used first: pyarrow comes with `Store` alone."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
