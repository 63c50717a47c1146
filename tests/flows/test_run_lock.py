import fcntl
from pathlib import Path

import pytest

from birdcore.store.store import Store
from flows.run_lock import lock_store


@pytest.mark.parametrize("said", ["", "{", "[]", "5", "null", '{"id": 1}', "[" * 100_000])
def test_whoever_has_a_store_is_refused_for_whatever_its_lock_says(
    tmp_path: Path, said: str
) -> None:
    store = Store(tmp_path / "store")
    (store.root / "runs").mkdir()
    with (store.root / "runs" / "deployment.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write(said)
        lock.flush()
        with lock_store(store, "mine", "my-id") as holder:
            assert holder == {"id": "", "title": "a run that has just begun", "since": "now"}
    with lock_store(store, "mine", "my-id") as holder:
        assert holder is None
        with lock_store(store, "another", "another-id") as other:
            assert other is not None
            assert (other["id"], other["title"]) == ("my-id", "mine")
