"""Garbage collection: `collect` removes from a store what no kept run and no pin needs.

Kept are the artifacts of each recipe's last completed runs (on each data folder, with each
settings), of every run that goes on, of one that has not ended well until as many later ones have,
and of every pin, with all that they were made of: lineage stays whole.

Runs may go on meanwhile. Runs and `collect` share one lock, which a run holds only while it writes
down what it needs, and `collect` from its decision to its last rename: a run is either on record
before the decision, and what it needs is kept, or it looks into the store after the last rename,
and makes what is gone. A lock for as long as a run goes on would be as safe, but then a training
of a week would leave the disk to fill for a week.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from birdcore.store.artifact import Ref
from birdcore.store.files import refuse_links, remove
from birdcore.store.format import StoreError
from birdcore.store.inventory import KEY, Entry, Work, entries, works
from birdcore.store.locks import lock_folder
from birdcore.store.pins import pins
from birdcore.store.run_records import FOLDER, Run, is_alive
from birdcore.store.runs import LOCK, forget, runs
from birdcore.store.store import Store

RESULTS = Path("prefect") / "results"
"""References to artifacts that Prefect caches, a file each: `<stage>-<key>-<store's place>`."""
KEPT_RUNS = 5


@dataclass(frozen=True)
class Unreachable:
    """What no kept run and no pin needs.

    Attributes:
        entries: Artifacts.
        works: What dead processes left unfinished.
        results: Files of Prefect's cache that refer to such artifacts.
        runs: Runs that are not kept, whose records are removed.
    """

    entries: tuple[Entry, ...]
    works: tuple[Work, ...]
    results: tuple[Path, ...]
    runs: tuple[Run, ...]


def kept_runs(known: Sequence[Run], keep: int = KEPT_RUNS, making: Iterable[Ref] = ()) -> list[Run]:
    """The runs whose artifacts are kept.

    These are the last `keep` completed runs of each recipe on its data with its settings, those
    after them that have not completed, and all that are running.

    Args:
        known: Runs, the latest first.
        keep: Completed runs of each recipe.
        making: What is being made now: a run that has ended counts as running while a step of it
            is among these.
    """
    making = set(making)
    completed: Counter[tuple[str, ...]] = Counter()
    kept = []
    for run in known:
        subject = run.request.subject
        goes_on = run.state == "running" or making.intersection(run.refs)
        if goes_on or completed[subject] < keep:
            kept.append(run)
        completed[subject] += run.state == "completed"
    return kept


def reasons(store: Store, kept: Iterable[Run]) -> dict[Ref, list[str]]:
    """For each artifact that is kept, the names of the runs and pins that need it."""
    inputs = cache(lambda ref: _inputs(store, ref))
    needs = [(run.name, run.refs) for run in kept]
    needs += [(f"pin of {ref}", [ref]) for ref in pins(store)]
    found: dict[Ref, list[str]] = defaultdict(list)
    for reason, refs in needs:
        for ref in _with_all_below(refs, inputs):
            found[ref].append(reason)
    return dict(found)


def unreachable(store: Store, keep: int = KEPT_RUNS) -> Unreachable:
    """What `collect` would remove now.

    Args:
        store: Which store.
        keep: Completed runs of each recipe whose artifacts are kept.

    Raises:
        ValueError: `keep` is below 1.
        StoreError: It can't be told what is needed.
    """
    if keep < 1:
        raise ValueError(f"the runs to keep of each recipe are at least 1, not {keep}")
    names = {path.stem for path in (store.root / FOLDER).glob("*.json")}
    known, left = runs(store), works(store)
    making = {work.ref for work in left if work.live}
    _refuse_unsure(store, names, known, making)
    kept = kept_runs(known, keep, making)
    needed = reasons(store, kept)
    return Unreachable(
        entries=tuple(entry for entry in entries(store) if entry.ref not in needed),
        works=tuple(work for work in left if not work.live and work.ref not in needed),
        results=tuple(_stale_results(store, needed)),
        runs=tuple(run for run in known if run not in kept),
    )


def collect(store: Store, keep: int = KEPT_RUNS) -> Unreachable:
    """Remove what is unreachable, and empty the trash; returns what was removed.

    A reader never sees half an artifact, as each is moved to the trash in one rename. Raises as
    `unreachable` does.
    """
    with store.lock(LOCK):
        found = unreachable(store, keep)
        for path in found.results:
            path.unlink(missing_ok=True)
        for entry in found.entries:
            store.discard(store.path(entry.ref))
        for work in found.works:
            abandon(store, work.ref)
        for run in found.runs:
            forget(store, run)
    for path in store.trash().glob("*"):  # not all at once: others move things in
        with suppress(OSError):
            remove(path)
    return found


def remove_damaged(store: Store, ref: Ref) -> list[str]:
    """Remove a damaged artifact, so that the next run makes it again.

    An artifact that running runs need stays. A run that begins meanwhile looks into the store after
    the removal, as with `collect`.

    Returns:
        The names of the runs that need it; none where it was removed.
    """
    with store.lock(LOCK):
        known = {run.name: run for run in runs(store)}
        names = {path.stem for path in (store.root / FOLDER).glob("*.json")}
        going = [name for name in sorted(names) if is_alive(store, name)]
        inputs = cache(lambda one: _inputs(store, one))
        needed_by = [  # one of a later birdflow may need anything
            name
            for name in going
            if name not in known or ref in _with_all_below(known[name].refs, inputs)
        ]
        gone = None if needed_by else store.discard(store.path(ref))
    if gone is not None:
        with suppress(OSError):  # it waits in the trash, and the next `collect` removes it
            remove(gone)
    return needed_by


def abandon(store: Store, ref: Ref) -> None:
    """Discard what a dead process left of an artifact; leave what is being made now."""
    work = store.work(ref)
    refuse_links(store.root, work.parent)
    if work.is_symlink() or not work.is_dir():  # which birdflow never makes
        store.discard(work)
        return
    with lock_folder(work, wait=False) as ours:
        if ours:
            store.discard(work)


def _refuse_unsure(store: Store, names: set[str], known: list[Run], making: set[Ref]) -> None:
    if unread := sorted(names - {run.name for run in known}):
        raise StoreError(
            f"{store.root / FOLDER / unread[0]}.json can't be read, so it is unknown what that "
            "run needs: use the birdflow that wrote it, or remove it"
        )
    if outside_runs := sorted(making - {ref for run in known for ref in run.refs}):
        raise StoreError(
            f"{outside_runs[0]} is being made outside of any run, and it is unknown what it reads: "
            "wait until it is made"
        )
    if not known and not pins(store):
        raise StoreError(
            f"{store.root} has no record of any run and no pin, so all of it would go: run a "
            "recipe or pin something first, or remove the folder"
        )


def _with_all_below(refs: Iterable[Ref], inputs: Callable[[Ref], tuple[Ref, ...]]) -> set[Ref]:
    """Artifacts and everything that they were made of."""
    found: set[Ref] = set()
    new = set(refs)
    while new:
        found |= new
        new = {one for ref in new for one in inputs(ref)} - found
    return found


def _inputs(store: Store, ref: Ref) -> tuple[Ref, ...]:
    manifest = store.manifest(ref)
    return manifest.reads if manifest else ()


def _stale_results(store: Store, needed: Container[Ref]) -> Iterator[Path]:
    for path in sorted((store.root / RESULTS).glob("*-*-*")):
        stage, key, _ = path.name.split("-", 2)
        if KEY.fullmatch(key) and Ref.of(stage, key) not in needed:
            yield path
