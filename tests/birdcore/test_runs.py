"""Records of runs: how each ended, also where nobody was left to say so."""

import errno
import fcntl
import json
import os
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, tzinfo
from pathlib import Path

import pytest

import birdcore
from birdcore import runs as module
from birdcore.artifact import Step
from birdcore.runs import (
    FOLDER,
    Asked,
    Run,
    RunFailed,
    forget,
    recorded,
    run_named,
    runs,
    unfinished_since,
)
from birdcore.store import Store

ASKED = Asked("recipes/mini.toml", "data", "out", settings=("seed=1",), refresh=("mel:0003",))
STEPS = [Step("mel", 1, "mel 0000"), Step("train", 1, "train student", {"fold": 0})]
HOLDS = """
import sys, time
from pathlib import Path
from birdcore.runs import Asked, recorded
from birdcore.store import Store

with recorded(Store(Path(sys.argv[1])), Asked("mini.toml", "data", "out"), []) as run:
    print(run.name, flush=True)
    time.sleep(600)
"""


class Noon(datetime):
    """A clock that stands still."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> "Noon":
        return cls(2026, 11, 25, 12, tzinfo=UTC)


def only(store: Store) -> Run:
    (run,) = runs(store)
    return run


def test_a_run_that_ends_well_is_completed(store: Store) -> None:
    with recorded(store, ASKED, STEPS, "an id") as run:
        assert only(store) == run
        assert run.state == "running"
    done = only(store)
    assert (done.state, done.failed, done.flow_run) == ("completed", {}, "an id")
    assert done.asked == ASKED
    assert list(done.refs) == [step.ref for step in STEPS]
    assert done.ended is not None
    assert done.ended >= done.began


@pytest.mark.parametrize(
    ("error", "state", "failed"),
    [
        (RunFailed({"mel 0000": "no ear"}), "failed", {"mel 0000": "no ear"}),
        (ValueError("no data"), "failed", {"": "no data"}),
        (KeyboardInterrupt(), "stopped", {}),
    ],
)
def test_a_run_that_raises_has_how_it_ended(
    store: Store, error: BaseException, state: str, failed: dict[str, str]
) -> None:
    with pytest.raises(type(error)), recorded(store, ASKED, STEPS):
        raise error
    run = only(store)
    assert (run.state, run.failed) == (state, failed)
    assert run.ended is not None


def test_a_disk_too_full_for_the_record_hides_no_failure(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, text: str) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    def fails() -> None:
        with recorded(store, ASKED, STEPS):
            monkeypatch.setattr(module, "write_text", full)
            raise RunFailed({"mel 0000": "no disk space left"})

    with pytest.raises(RunFailed, match="mel 0000: no disk space left"):
        fails()
    assert only(store).state == "died"


def test_what_is_asked_for_again_goes_on_until_it_has_ended_well(store: Store) -> None:
    other = replace(ASKED, refresh=())
    assert unfinished_since(store, ASKED) is None
    for _ in range(2):
        with suppress(RunFailed), recorded(store, ASKED, STEPS):
            raise RunFailed({"mel 0000": "bad"})
    with recorded(store, other, STEPS):
        pass
    first = runs(store)[-1]
    assert unfinished_since(store, ASKED) == first.began
    assert unfinished_since(store, other) is None
    with recorded(store, ASKED, STEPS):
        pass
    assert unfinished_since(store, ASKED) is None


def test_a_killed_run_has_died(store: Store) -> None:
    environment = os.environ | {"PYTHONPATH": str(Path(birdcore.__file__).parents[1])}
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS, store.root], env=environment, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout
        name = process.stdout.readline().decode().strip()
        try:
            assert (only(store).name, only(store).state) == (name, "running")
            forget(store, only(store))
            assert only(store).state == "running"
        finally:
            process.kill()
    assert only(store).state == "died"
    forget(store, only(store))
    assert not list((store.root / FOLDER).iterdir())


def test_runs_that_begin_in_one_second_have_names_of_their_own(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "datetime", Noon)
    with recorded(store, ASKED, []) as first, recorded(store, ASKED, []) as second:
        pass
    with recorded(store, ASKED, []) as third:
        pass
    others = []
    for _ in range(8):
        with recorded(store, ASKED, []) as run:
            others.append(run)
    names = [run.name for run in (first, second, third, *others)]
    assert len(set(names)) == 11
    assert [run.name for run in runs(store)] == names[::-1]


def test_a_flow_run_that_is_tried_again_goes_on_with_its_record(store: Store) -> None:
    with suppress(RunFailed), recorded(store, ASKED, STEPS[:1], "one") as first:
        raise RunFailed({"mel 0000": "no ear"})
    with recorded(store, ASKED, [], "other"):
        pass
    record = store.root / FOLDER / f"{first.name}.json"
    long_ago = json.loads(record.read_text()) | {"began": "2026-01-01T00:00:00+00:00"}
    record.write_text(json.dumps(long_ago))
    with recorded(store, ASKED, STEPS, "one") as again:
        assert run_named(store, first.name) == again
    done = run_named(store, first.name)
    assert (done.state, done.failed, done.began) == ("completed", {}, long_ago["began"])
    assert list(done.refs) == [step.ref for step in STEPS]
    assert len(runs(store)) == 2


def test_runs_without_an_id_of_prefect_are_not_one(store: Store) -> None:
    for _ in range(2):
        with recorded(store, ASKED, STEPS):
            pass
    assert len(runs(store)) == 2


def test_a_record_forgotten_just_as_its_run_goes_on_is_written_anew(store: Store) -> None:
    with recorded(store, ASKED, STEPS, "one") as first:
        pass
    goes_on, seen = threading.Event(), []

    def again() -> None:
        with recorded(store, ASKED, STEPS, "one"):
            goes_on.set()
            seen.append(only(store).state)

    thread = threading.Thread(target=again)
    lock = store.root / FOLDER / f"{first.name}.lock"
    with lock.open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        thread.start()
        goes_on.wait(0.3)  # it waits for the lock now, or else this shows nothing
        lock.with_suffix(".json").unlink()
        lock.unlink()
    thread.join()
    assert seen == ["running"]
    assert only(store).state == "completed"


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "{}", '{"name": "x"}', b"\xff", '{"of": "a later birdflow"}', "null", "cut"],
)
def test_a_record_that_cannot_be_read_is_passed_over(store: Store, content: str | bytes) -> None:
    with recorded(store, ASKED, STEPS) as run:
        pass
    whole = (store.root / FOLDER / f"{run.name}.json").read_bytes()
    content = content.encode() if isinstance(content, str) else content
    strange = store.root / FOLDER / "29991231-000000-other.json"
    strange.write_bytes(whole[:-20] if content == b"cut" else content)
    assert [one.name for one in runs(store)] == [run.name]


def test_a_run_is_named_by_how_it_begins_and_the_latest_by_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match="there is no run in"):
        run_named(store, None)
    monkeypatch.setattr(module, "datetime", Noon)
    with recorded(store, Asked("a.toml", "", ""), []) as a:
        pass
    with recorded(store, Asked("b.toml", "", ""), []) as b:
        pass
    assert run_named(store, None) == run_named(store, "20261125-120000-b")
    assert run_named(store, a.name[:-1] + "a").name == a.name
    with pytest.raises(ValueError, match=f"2 runs begin with 2026 in .*{b.name}, {a.name}"):
        run_named(store, "2026")
    with pytest.raises(ValueError, match=f"there is no run x in .*{b.name}"):
        run_named(store, "x")


@pytest.mark.parametrize(
    "change",
    [
        {"name": 5},
        {"name": "another"},
        {"began": None},
        {"state": "resting"},
        {"steps": [["mel", "mel"]]},
        {"steps": "mel"},
        {"steps": [["mel", 3, []]]},
        {"asked": []},
        {"asked": {"settings": []}},
        {"failed": [1]},
        {"new": 1},
    ],
)
def test_a_record_that_is_none_hides_no_other(store: Store, change: dict[str, object]) -> None:
    for _ in range(2):
        with recorded(store, ASKED, STEPS):
            pass
    kept, harmed = runs(store)
    path = store.root / FOLDER / f"{harmed.name}.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert runs(store) == [kept]


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe", b"[" * 100_000, b"5", b"null", b'"x"', b"{}"]
)
def test_content_that_is_no_record_hides_no_other(store: Store, content: bytes) -> None:
    with recorded(store, ASKED, STEPS) as run:
        (store.root / FOLDER / "20000101-000000-x.json").write_bytes(content)
    assert [one.name for one in runs(store)] == [run.name]
