"""A run's record and what the store still holds of it, for commands that read a run's results.

Artifacts of a run may be gone since (`birdflow store gc`), and those of a store with a remote are
fetched as they are read: so they come one at a time, and each is looked up once.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

from birdcore.store.artifact import Artifact, Ref
from birdcore.store.run_records import Run
from birdcore.store.runs import runs
from birdcore.store.store import Store


def run_of(store: Store, out: Path) -> Run:
    """The latest run whose results lie in a folder; raises ValueError where there is none."""
    for run in runs(store):
        if run.steps and Path(run.request.out).resolve() == out.resolve():
            return run
    raise ValueError(
        f"no run in the store {store.location} has written {out}: name its store with --store"
    )


def refs_of(run: Run, stage: str) -> list[tuple[str, Ref]]:
    """The steps of a run's stage, in order: their names, and what they make."""
    return [(name, Ref(own, key)) for name, own, key in run.steps if own == stage]


def fetched(store: Store, refs: Iterable[Ref]) -> Iterator[Artifact]:
    """Those artifacts that are in the store, their files on this machine, one after another."""
    return (artifact for ref in refs if (artifact := store.fetched(ref)) is not None)


def made(store: Store, run: Run, stage: str) -> Iterator[Artifact]:
    """The artifacts of a run's stage that are in the store, in order."""
    return fetched(store, (ref for _, ref in refs_of(run, stage)))


def kind_of(step: str) -> str:
    """What the recordings of a step of a shard are called: the subset's name."""
    return step.split(" ")[-1].partition("/")[0]
