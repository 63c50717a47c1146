"""A run's record and what the store still holds of it, for commands that read a run's results.

Artifacts of a run may be gone since (`birdflow store gc`), and those of a store with a remote are
fetched as they are read: so they come one at a time, and each is looked up once.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from birdcore.store.artifact import Artifact, Manifest, Ref
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


def heard_once(
    store: Store, steps: Sequence[tuple[str, Manifest]], like: Mapping[str, Any] | None = None
) -> Iterator[Artifact]:
    """What a teacher says of recordings, one table of each shard.

    Where a recipe has a model twice, with another hop or synonyms, there is a table of each.

    Args:
        store: The run's.
        steps: Names of steps of `external_teacher` and manifests, all of one model.
        like: Settings of the table that is read of each shard, where it is there; else the one
            with the smallest hop.
    """
    of_shard: dict[str, list[Manifest]] = {}
    for name, manifest in steps:
        of_shard.setdefault(name.rpartition(" ")[2], []).append(manifest)

    def last_choice(manifest: Manifest) -> tuple[bool, bool, float]:
        own, wanted = manifest.config, like or manifest.config
        of_others = own.get("mapped") != wanted.get("mapped")
        return own["hop_s"] != wanted["hop_s"], of_others, own["hop_s"]

    for tables in of_shard.values():
        refs = (Ref(one.stage, one.key) for one in sorted(tables, key=last_choice))
        yield from islice(fetched(store, refs), 1)


def manifests_of(store: Store, run: Run, stage: str) -> list[tuple[str, Manifest]]:
    """The steps of a run's stage, in order, and the manifests of those that were made."""
    found = ((name, store.manifest(ref)) for name, ref in refs_of(run, stage))
    return [(name, manifest) for name, manifest in found if manifest is not None]


def names_of(run: Run) -> dict[str, str]:
    """What the run calls its steps, by STAGE/KEY. A manifest has the name of the run that made it,
    which may have called rounds and shards otherwise."""
    return {f"{stage}/{key}": name for name, stage, key in run.steps}


def kind_of(step: str) -> str:
    """What the recordings of a step of a shard are called: the subset's name."""
    return step.split(" ")[-1].partition("/")[0]
