"""The runs of a store, from their beginning to their end: recorded, listed, chosen for a retry.

So no server is needed to know which runs there were, which artifacts must be kept for them, and
whether one that is recorded as running still is. The records themselves: run_records.py.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from contextvars import ContextVar
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from birdcore.store.artifact import Step
from birdcore.store.locks import lock_file
from birdcore.store.run_records import (
    FOLDER,
    Run,
    RunRequest,
    lock_path,
    read_own_record,
    read_record,
    record_path,
    write_record,
)
from birdcore.store.store import Store

LOCK = "runs"
"""The store's lock under which records change, and under which gc decides what runs need."""
NO_RETRY = ("running", "completed")
"""States of a run that need no retry."""
_ours: ContextVar[tuple[Path, Run] | None] = ContextVar("_ours", default=None)
"""The store and the run that has begun in this process before Prefect knows of it."""


class RunFailed(RuntimeError):
    """Steps of a run failed; `failed` has the reason of each, and the message names them."""

    def __init__(self, failed: Mapping[str, str]) -> None:
        super().__init__("\n".join(f"{name}: {reason}" for name, reason in failed.items()))
        self.failed = failed


@contextmanager
def recorded(
    store: Store, request: RunRequest, steps: Sequence[Step] = (), flow_run: str | None = None
) -> Iterator[Run]:
    """Record a run from its beginning to its end.

    The record is written before anything is read, so that an error in recipe or data is recorded
    too; `record_steps` adds the steps when they are known. A flow that this process starts within
    its run is the same run, and so is one whose Prefect id is on record: Prefect starts it again.
    Where another process still holds that run, this waits for it.

    Args:
        store: Where the record is kept.
        request: What the run was started with.
        steps: Its steps, where they are known already.
        flow_run: Prefect's id of it.

    Yields:
        The run, which is recorded as completed at the end, or as failed or stopped after an error.
    """
    root, begun = _ours.get() or (None, None)
    if flow_run and begun and (root, begun.request, begun.flow_run) == (store.root, request, None):
        yield _update(store, begun, flow_run=flow_run)
        return
    earlier = [run for run in runs(store) if run.flow_run == flow_run and flow_run is not None]
    (store.root / FOLDER).mkdir(exist_ok=True)
    with ExitStack() as held:
        if earlier:
            held.enter_context(lock_file(lock_path(store, earlier[0].name)))
            again = replace(earlier[0], request=request, state="running", ended=None, failed={})
            run = replace(again, resumed=_now(), cwd=os.getcwd())
        else:
            name = held.enter_context(_new(store, request))
            run = Run(name, request, _now(), (), flow_run, cwd=os.getcwd())
        with store.lock(LOCK):
            write_record(store, run)
        held.callback(_ours.reset, _ours.set((store.root, run)))
        try:
            yield record_steps(store, run, steps) if steps else run
        except BaseException as error:
            with suppress(OSError):  # of a disk so full that the record can't say why it is
                _end(store, run, error)
            raise
        _update(store, run, state="completed", ended=_now())


def record_steps(store: Store, run: Run, steps: Sequence[Step]) -> Run:
    """Record the steps of a run: from then on `birdcore.store.gc.collect` keeps their artifacts.

    Only what is found in the store after this call is sure to stay.
    """
    with store.lock(LOCK):
        return _update(store, run, steps=tuple((s.name, s.stage, s.key) for s in steps))


def runs(store: Store) -> list[Run]:
    """All runs on record, the latest first."""
    found = []
    for path in (store.root / FOLDER).glob("*.json"):
        with suppress(OSError, ValueError):  # of a later birdflow, or being removed
            found.append(read_record(store, path.stem))
    return sorted(found, key=lambda run: (run.latest, run.name), reverse=True)


def unfinished_since(store: Store, request: RunRequest, run: Run | None = None) -> str | None:
    """When the first of the latest runs of a request began, none of which has completed.

    What the request wants made again, and what has been made since then, need not be made once
    more.

    Args:
        store: Which store.
        request: What is requested.
        run: The run that is under way with it.
    """
    first = run.began if run is not None and run.resumed else None
    for other in runs(store):
        same = replace(other.request, out=request.out) == request
        if same and (run is None or other.name != run.name):
            if other.state in NO_RETRY:
                break
            first = min(first or other.began, other.began)
    return first


def run_named(store: Store, name: str | None) -> Run:
    """The run whose name is or begins with `name`, or the latest; raises ValueError without one."""
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


def run_to_retry(store: Store, name: str | None) -> Run:
    """The run of that name, or the latest if it has not completed; never another one.

    Raises:
        ValueError: It is running, it has completed and was not named, or other accounts can have
            written its record.
    """
    run = run_named(store, name)
    if run.state == "running":
        raise ValueError(f"{run.name} goes on: there is nothing to retry")
    if name is None and run.state == "completed":
        others = [one.name for one in runs(store) if one.state not in NO_RETRY]
        more = f"; the last that did not is {others[0]}: name it to retry it" if others else ""
        raise ValueError(f"the latest run, {run.name}, ended well{more}")
    return read_own_record(store, run.name)


def forget(store: Store, run: Run) -> None:
    """Remove a run's record, unless it is running or is just being started again."""
    with lock_file(lock_path(store, run.name), wait=False) as ours:
        if ours:
            record_path(store, run.name).unlink(missing_ok=True)
            lock_path(store, run.name).unlink(missing_ok=True)


def _end(store: Store, run: Run, error: BaseException) -> None:
    if not isinstance(error, Exception):  # Ctrl-C, and a worker that cancels
        _update(store, run, state="stopped", ended=_now())
        return
    failed = (
        error.failed if isinstance(error, RunFailed) else {"": str(error) or type(error).__name__}
    )
    _update(store, run, state="failed", ended=_now(), failed=dict(failed))


def _update(store: Store, run: Run, **fields: object) -> Run:
    """Change fields of a run's record, and keep the others as they are there."""
    with suppress(OSError, ValueError):  # a record that can't be read is written again
        run = read_record(store, run.name)
    run = replace(run, **fields)  # type: ignore[arg-type]
    write_record(store, run)
    return run


@contextmanager
def _new(store: Store, request: RunRequest) -> Iterator[str]:
    """A name that no run has, under its lock; of two within one second, one gets a number."""
    recipe = re.sub(r"[^\w.-]+", "-", Path(request.recipe).stem)[:80]
    stem = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{recipe}"
    for name in [stem, *(f"{stem}-{at:02}" for at in range(2, 100))]:
        with lock_file(lock_path(store, name), wait=False) as ours:
            if ours and not record_path(store, name).exists():
                yield name
                return
    raise RuntimeError(f"a hundred runs began at once in {store.root}")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
