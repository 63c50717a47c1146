"""The runs of a store: what each was asked for, which artifacts it needs, how it ended.

    store/runs/20261125-201500-mini.json    the record, written as the run begins and as it ends
    store/runs/20261125-201500-mini.lock    held by the run's process: one that died lets go of it

So nobody has to ask a server which runs there were, what the last of them needs to be kept, and
whether one that says it is running still is.
"""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TypeAlias

from pydantic import TypeAdapter

from birdcore.artifact import Ref, Step
from birdcore.files import write_text
from birdcore.store import Store

FOLDER = "runs"
LOCK = "runs"
"""The store's lock that a run holds while it goes on record, and whoever decides what runs need."""
State: TypeAlias = Literal["running", "completed", "failed", "stopped", "died"]


@dataclass(frozen=True)
class Asked:
    """What a person, a schedule or a form asked for: all that it takes to ask again."""

    recipe: str
    data: str
    out: str
    collection: str = "collection"
    settings: tuple[str, ...] = ()
    only: str | None = None
    since: str | None = None
    refresh: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """The recipe's name and what differs from it, in a line."""
        parts = [Path(self.recipe).stem, *self.settings]
        parts += [f"only {self.only}"] if self.only else []
        parts += [f"from {self.since}"] if self.since else []
        parts += [f"anew {what}" for what in self.refresh]
        return ", ".join(parts)


@dataclass(frozen=True)
class Run:
    """One run; `failed` has the reason by step, and `began` is when it began first."""

    name: str
    asked: Asked
    began: str
    steps: tuple[tuple[str, str, str], ...]
    """Name, stage and key of all steps of its DAG."""
    flow_run: str | None = None
    """Prefect's id of it, where it has one."""
    state: State = "running"
    ended: str | None = None
    failed: Mapping[str, str] = field(default_factory=dict)

    @property
    def refs(self) -> Sequence[Ref]:
        return [Ref(stage, key) for _, stage, key in self.steps]


RECORD = TypeAdapter(Run)


class RunFailed(RuntimeError):
    """Steps of a run failed; `failed` has the reason of each, and the message names them."""

    def __init__(self, failed: Mapping[str, str]) -> None:
        super().__init__("\n".join(f"{name}: {reason}" for name, reason in failed.items()))
        self.failed = failed


@contextmanager
def recorded(
    store: Store, asked: Asked, steps: Sequence[Step], flow_run: str | None = None
) -> Iterator[Run]:
    """A run from its beginning to its end, on record; the same run where Prefect's id is known.

    Where another process still has that very run, this waits for it.
    """
    kept = tuple((step.name, step.stage, step.key) for step in steps)
    earlier = [run for run in runs(store) if run.flow_run == flow_run and flow_run is not None]
    (store.root / FOLDER).mkdir(exist_ok=True)
    with ExitStack() as held:
        if earlier:
            held.enter_context(_locked(store, earlier[0].name))
            run = replace(earlier[0], steps=kept, state="running", ended=None, failed={})
        else:
            run = Run(held.enter_context(_new(store, asked)), asked, _now(), kept, flow_run)
        # What a run needs is safe from `birdcore.keeping.clear` as soon as this is written, and not
        # before: look for artifacts to count on inside of this context only.
        with store.lock(LOCK):
            _write(store, run)
        try:
            yield run
        except BaseException as error:
            with suppress(OSError):  # of a disk so full that the record can't say why it is
                _write(store, _ended(run, error))
            raise
        _write(store, replace(run, state="completed", ended=_now()))


def runs(store: Store) -> list[Run]:
    """All runs that there are records of, the latest first."""
    found = []
    for path in sorted((store.root / FOLDER).glob("*.json"), reverse=True):
        try:
            found.append(_read(store, path))
        except (OSError, ValueError, LookupError, TypeError, RecursionError):
            continue  # of a later birdflow, damaged, or being removed
    return sorted(found, key=lambda run: (run.began, run.name), reverse=True)


def unfinished_since(store: Store, asked: Asked) -> str | None:
    """When a run was first asked for that has been asked for since, and has never ended well.

    What it was to make anew and has made since then, it need not make once more.
    """
    since = None
    for run in runs(store):
        if replace(run.asked, out=asked.out) == asked:
            if run.state in ("completed", "running"):
                break
            since = run.began
    return since


def run_named(store: Store, name: str | None) -> Run:
    """The run of that name or how it begins, or the latest; raises ValueError without one."""
    known = runs(store)
    if not known:
        raise ValueError(f"there is no run in {store.root}")
    if name is None:
        return known[0]
    found = [run for run in known if run.name == name] or [
        run for run in known if run.name.startswith(name)
    ]
    if len(found) != 1:
        listed = ", ".join(run.name for run in (found or known)[:5])
        problem = f"{len(found)} runs begin with {name}" if found else f"there is no run {name}"
        raise ValueError(f"{problem} in {store.root}: there are {listed}")
    return found[0]


def forget(store: Store, run: Run) -> None:
    """Remove a run's record; a run that goes on, or is just being begun again, keeps it."""
    with _locked(store, run.name, wait=False) as ours:
        if ours:
            _record(store, run.name).unlink(missing_ok=True)
            _lock(store, run.name).unlink(missing_ok=True)


def _ended(run: Run, error: BaseException) -> Run:
    if not isinstance(error, Exception):  # Ctrl-C, and a worker that cancels
        return replace(run, state="stopped", ended=_now())
    failed = error.failed if isinstance(error, RunFailed) else {"": str(error)}
    return replace(run, state="failed", ended=_now(), failed=dict(failed))


@contextmanager
def _new(store: Store, asked: Asked) -> Iterator[str]:
    """A name that no run had, and its lock: of two that begin in one second, one waits a number."""
    stem = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{Path(asked.recipe).stem}"
    for name in [stem, *(f"{stem}-{at:02}" for at in range(2, 100))]:
        with _locked(store, name, wait=False) as ours:
            if ours and not _record(store, name).exists():
                yield name
                return
    raise RuntimeError(f"a hundred runs began at once in {store.root}")


@contextmanager
def _locked(store: Store, name: str, *, wait: bool = True) -> Iterator[bool]:
    ours = False
    while not ours:
        with _lock(store, name).open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            with suppress(FileNotFoundError):  # forgotten while we waited: a file of no name
                ours = os.path.samestat(_lock(store, name).stat(), os.fstat(lock.fileno()))
            if ours:
                yield True


def _record(store: Store, name: str) -> Path:
    return store.root / FOLDER / f"{name}.json"


def _lock(store: Store, name: str) -> Path:
    return store.root / FOLDER / f"{name}.lock"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _write(store: Store, run: Run) -> None:
    write_text(_record(store, run.name), json.dumps(asdict(run), indent=1) + "\n")


def _read(store: Store, path: Path) -> Run:
    fields = json.loads(path.read_text(encoding="utf-8"))
    asked = fields["asked"]
    lists = {key: tuple(asked[key]) for key in ("settings", "refresh")}
    fields["asked"] = Asked(**asked | lists)
    fields["steps"] = tuple((name, stage, key) for name, stage, key in fields["steps"])
    run = RECORD.validate_python(asdict(Run(**fields)))
    if run.name != path.stem:
        raise ValueError(f"{path} is the record of {run.name}")
    return run if run.state != "running" or _alive(store, run) else replace(run, state="died")


def _alive(store: Store, run: Run) -> bool:
    try:
        with _lock(store, run.name).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False
