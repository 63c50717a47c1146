"""One run of a deployment at a time on a store: a schedule that fires too early is told so.

A run that a person starts with `birdflow run` may share a store with others: whoever makes the
same step waits for it. But runs of schedules would pile up behind a run that takes a week. The
lock ends with its holder, so a run that was killed refuses nobody.
"""

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TypedDict

from prefect.client.schemas.objects import State, StateType

from birdcore.store.runs import FOLDER
from birdcore.store.store import Store


class Holder(TypedDict):
    """Whose turn it is: Prefect's id and name of the run, and since when."""

    id: str
    title: str
    since: str


@contextmanager
def turn(store: Store, title: str, run_id: str) -> Iterator[Holder | None]:
    """Whoever has the store already, or None where it is ours while the context lasts.

    A run that Prefect starts again while its first process still lives waits for that.
    """
    folder = store.root / FOLDER
    folder.mkdir(exist_ok=True)
    with (folder / "deployment.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _read(folder / "deployment.lock")
            if holder["id"] != run_id:
                yield holder
                return
            fcntl.flock(lock, fcntl.LOCK_EX)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        lock.truncate(0)
        json.dump(Holder(id=run_id, title=title, since=now), lock)
        lock.flush()
        yield None


def refused(store: Store, holder: Holder) -> State[None]:
    """The state of a run that came while another had the store."""
    message = (
        f"the store {store.root} is in use by {holder['title']} since {holder['since']} "
        f"(flow run {holder['id']}): wait for it or cancel it, then run again"
    )
    return State(type=StateType.CANCELLED, name="Refused", message=message)


def _read(path: Path) -> Holder:
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        return Holder(id=str(said["id"]), title=str(said["title"]), since=str(said["since"]))
    except (ValueError, LookupError, TypeError, RecursionError):
        # It has the lock, and has not said yet who it is.
        return Holder(id="", title="a run that has just begun", since="now")
