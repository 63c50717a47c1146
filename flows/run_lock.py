"""One run of a deployment at a time on a store; a run that comes meanwhile is refused.

Runs from the command line may share a store: whoever makes the same step waits for it. But runs of
a schedule would queue up behind a run that takes a week. The lock is a file lock, which ends with
its process, so a run that was killed refuses nobody.
"""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TypedDict

from prefect.client.schemas.objects import State, StateType

from birdcore.store.locks import lock_file
from birdcore.store.run_records import FOLDER
from birdcore.store.store import Store


class LockHolder(TypedDict):
    """The run that holds the lock: Prefect's id and name of it, and since when."""

    id: str
    title: str
    since: str


@contextmanager
def lock_store(store: Store, title: str, run_id: str) -> Iterator[LockHolder | None]:
    """Hold a store for a run of a deployment.

    A run that Prefect starts again while its first process still lives waits for that process.

    Args:
        store: Which store.
        title: What the run is called in the message to others.
        run_id: Prefect's id of it.

    Yields:
        None where the store is held, or the run that holds it.
    """
    path = store.root / FOLDER / "deployment.lock"
    path.parent.mkdir(exist_ok=True)
    with ExitStack() as stack:
        if not stack.enter_context(lock_file(path, wait=False)):
            holder = _read(path)
            if holder["id"] != run_id:
                yield holder
                return
            stack.enter_context(lock_file(path))
        now = datetime.now(UTC).isoformat(timespec="seconds")
        path.write_text(json.dumps(LockHolder(id=run_id, title=title, since=now)), encoding="utf-8")
        yield None


def refused(store: Store, holder: LockHolder) -> State[None]:
    """The state of a run that came while another held the store."""
    message = (
        f"the store {store.root} is in use by {holder['title']} since {holder['since']} "
        f"(flow run {holder['id']}): wait for it or cancel it, then run again"
    )
    return State(type=StateType.CANCELLED, name="Refused", message=message)


def _read(path: Path) -> LockHolder:
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        return LockHolder(
            id=str(fields["id"]), title=str(fields["title"]), since=str(fields["since"])
        )
    except (ValueError, LookupError, TypeError, RecursionError):
        # It holds the lock and has not yet written who it is.
        return LockHolder(id="", title="a run that has just begun", since="now")
