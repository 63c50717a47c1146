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
from birdcore.store import run_records as records
from birdcore.store import runs as module
from birdcore.store.artifact import Step
from birdcore.store.run_records import FOLDER, Run, RunRequest, run_request
from birdcore.store.runs import (
    RunFailed,
    forget,
    record_steps,
    recorded,
    run_named,
    run_to_retry,
    runs,
    unfinished_since,
)
from birdcore.store.store import Store

REQUEST = RunRequest(
    "recipes/mini.toml", "data", "out", settings=("seed=1",), refresh=("mel:0003",)
)
STEPS = [Step("mel", 1, "mel 0000"), Step("train", 1, "train student", {"fold": 0})]
HOLDS = """
import sys, time
from pathlib import Path
from birdcore.store.run_records import RunRequest
from birdcore.store.runs import recorded
from birdcore.store.store import Store

with recorded(Store(Path(sys.argv[1])), RunRequest("mini.toml", "data", "out"), []) as run:
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
    with recorded(store, REQUEST, STEPS, "an id") as run:
        assert only(store) == run
        assert run.state == "running"
    done = only(store)
    assert (done.state, done.failed, done.flow_run) == ("completed", {}, "an id")
    assert done.request == REQUEST
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
def test_run_that_raises_is_failed_or_stopped(
    store: Store, error: BaseException, state: str, failed: dict[str, str]
) -> None:
    with pytest.raises(type(error)), recorded(store, REQUEST, STEPS):
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
        with recorded(store, REQUEST, STEPS):
            monkeypatch.setattr(records, "write_text", full)
            raise RunFailed({"mel 0000": "no disk space left"})

    with pytest.raises(RunFailed, match="mel 0000: no disk space left"):
        fails()
    assert only(store).state == "died"


def test_what_is_asked_for_again_goes_on_until_it_has_ended_well(store: Store) -> None:
    other = replace(REQUEST, refresh=())
    assert unfinished_since(store, REQUEST) is None
    for _ in range(2):
        with suppress(RunFailed), recorded(store, REQUEST, STEPS):
            raise RunFailed({"mel 0000": "bad"})
    with recorded(store, other, STEPS):
        pass
    first = runs(store)[-1]
    assert unfinished_since(store, REQUEST) == first.began
    assert unfinished_since(store, other) is None
    with recorded(store, REQUEST, STEPS):
        pass
    assert unfinished_since(store, REQUEST) is None


def test_killed_run_is_died(store: Store) -> None:
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
    with recorded(store, REQUEST, []) as first, recorded(store, REQUEST, []) as second:
        pass
    with recorded(store, REQUEST, []) as third:
        pass
    others = []
    for _ in range(8):
        with recorded(store, REQUEST, []) as run:
            others.append(run)
    names = [run.name for run in (first, second, third, *others)]
    assert len(set(names)) == 11
    assert [run.name for run in runs(store)] == names[::-1]


def test_a_flow_run_that_is_tried_again_goes_on_with_its_record(store: Store) -> None:
    with suppress(RunFailed), recorded(store, REQUEST, STEPS[:1], "one") as first:
        raise RunFailed({"mel 0000": "no ear"})
    with recorded(store, REQUEST, [], "other"):
        pass
    record = store.root / FOLDER / f"{first.name}.json"
    long_ago = json.loads(record.read_text()) | {"began": "2026-01-01T00:00:00+00:00"}
    record.write_text(json.dumps(long_ago))
    with recorded(store, REQUEST, STEPS, "one") as again:
        assert run_named(store, first.name) == again
    done = run_named(store, first.name)
    assert (done.state, done.failed, done.began) == ("completed", {}, long_ago["began"])
    assert list(done.refs) == [step.ref for step in STEPS]
    assert len(runs(store)) == 2


def test_runs_without_an_id_of_prefect_are_not_one(store: Store) -> None:
    for _ in range(2):
        with recorded(store, REQUEST, STEPS):
            pass
    assert len(runs(store)) == 2


def test_a_record_forgotten_just_as_its_run_goes_on_is_written_anew(store: Store) -> None:
    with recorded(store, REQUEST, STEPS, "one") as first:
        pass
    goes_on, seen = threading.Event(), []

    def again() -> None:
        with recorded(store, REQUEST, STEPS, "one"):
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
    [
        "", "{", "[]", "{}", '{"name": "x"}', b"\xff", '{"of": "a later birdflow"}', "null", "cut",
        "[" * 100_000, '{"name":' * 100_000, "9" * 100_000,
    ],
)  # fmt: skip
def test_a_record_that_cannot_be_read_is_passed_over(store: Store, content: str | bytes) -> None:
    with recorded(store, REQUEST, STEPS) as run:
        pass
    whole = (store.root / FOLDER / f"{run.name}.json").read_bytes()
    content = content.encode() if isinstance(content, str) else content
    strange = store.root / FOLDER / "29991231-000000-other.json"
    strange.write_bytes(whole[:-20] if content == b"cut" else content)
    assert [one.name for one in runs(store)] == [run.name]


def test_a_run_that_fails_before_its_steps_are_known_is_on_record(store: Store) -> None:
    states = []
    with suppress(ValueError), recorded(store, REQUEST) as run:
        states.append(only(store).state)
        raise ValueError("no such folder")
    assert states == ["running"]
    failed = only(store)
    assert (failed.state, failed.steps, failed.failed) == ("failed", (), {"": "no such folder"})
    assert failed.name == run.name


def test_error_without_message_is_named_by_its_type(store: Store) -> None:
    with suppress(RuntimeError), recorded(store, REQUEST):
        raise RuntimeError
    assert only(store).failed == {"": "RuntimeError"}


def test_steps_that_are_known_later_are_on_record_from_then_on(store: Store) -> None:
    with recorded(store, REQUEST) as run:
        record_steps(store, run, STEPS)
        assert list(only(store).refs) == [step.ref for step in STEPS]
    assert list(only(store).refs) == [step.ref for step in STEPS]
    assert only(store).state == "completed"


def test_a_run_that_goes_on_keeps_what_it_needed_until_it_knows_better(store: Store) -> None:
    with suppress(RunFailed), recorded(store, REQUEST, STEPS, "one"):
        raise RunFailed({"mel 0000": "no ear"})
    with suppress(ValueError), recorded(store, REQUEST, flow_run="one"):
        assert len(only(store).steps) == len(STEPS)
        raise ValueError("the folder is away")
    assert len(only(store).steps) == len(STEPS)
    assert only(store).failed == {"": "the folder is away"}


def test_the_flow_that_a_run_starts_is_that_run(store: Store) -> None:
    other = replace(REQUEST, data="other")
    with suppress(RunFailed), recorded(store, REQUEST) as run:
        with recorded(store, REQUEST, flow_run="an id") as inner:
            assert (inner.name, inner.flow_run) == (run.name, "an id")
            record_steps(store, inner, STEPS)
        assert only(store).state == "running"
        with recorded(store, other, flow_run="another id"):
            pass
        raise RunFailed({"mel 0000": "bad"})
    found = {run.request.data: run for run in runs(store)}
    assert (found["other"].state, found["other"].flow_run) == ("completed", "another id")
    assert (found["data"].state, found["data"].flow_run) == ("failed", "an id")
    assert len(found["data"].steps) == len(STEPS)
    with recorded(store, REQUEST, flow_run="later"):
        pass
    assert len(runs(store)) == 3


def test_what_is_asked_for_is_the_same_from_every_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "here")
    here = run_request("a.toml", Path("data"), "out", settings=["seed=1"])
    monkeypatch.chdir(tmp_path / "there")
    there = run_request(Path("../here/a.toml").resolve(), tmp_path / "here/data", "../out")
    assert here.data == str(tmp_path / "here" / "data")
    assert run_request(here.recipe, here.data, here.out, here.collection, here.settings) == here
    assert here.subject[:2] == there.subject[:2]
    assert run_request("a.toml", "data", "out", settings=["seed=1"]).subject != here.subject


def test_a_run_that_goes_on_was_asked_for_when_it_first_began(store: Store) -> None:
    with suppress(RunFailed), recorded(store, REQUEST, STEPS, "one") as first:
        raise RunFailed({"mel 0000": "bad"})
    with recorded(store, REQUEST) as run:  # another one, which ends well meanwhile
        assert unfinished_since(store, REQUEST, run) == first.began
    with recorded(store, REQUEST, flow_run="one") as again:
        assert unfinished_since(store, REQUEST, again) == first.began
    with recorded(store, REQUEST) as last:
        assert unfinished_since(store, REQUEST, last) is None


def test_the_latest_run_is_the_one_that_began_last_also_for_the_second_time(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = iter(f"2026-11-{day}T12:00:00+00:00" for day in range(10, 30))
    monkeypatch.setattr(module, "_now", lambda: next(times))
    with suppress(RunFailed), recorded(store, REQUEST, STEPS, "one") as first:
        raise RunFailed({"mel 0000": "bad"})
    with recorded(store, REQUEST) as second:
        pass
    assert [run.name for run in runs(store)] == [second.name, first.name]
    with suppress(RunFailed), recorded(store, REQUEST, flow_run="one"):
        raise RunFailed({"mel 0000": "bad again"})
    assert [run.name for run in runs(store)] == [first.name, second.name]
    assert run_to_retry(store, None).name == first.name


def test_retry_takes_the_latest_run_and_never_another(store: Store) -> None:
    with suppress(ValueError), recorded(store, REQUEST) as failed:
        raise ValueError("no data")
    assert run_to_retry(store, None).name == failed.name
    with recorded(store, replace(REQUEST, data="other")) as goes_on:
        with pytest.raises(ValueError, match=f"{goes_on.name} goes on"):
            run_to_retry(store, None)
        assert run_to_retry(store, failed.name).name == failed.name
    with pytest.raises(ValueError, match=f"{goes_on.name}, ended well; .* is {failed.name}: name"):
        run_to_retry(store, None)
    assert run_to_retry(store, goes_on.name).state == "completed"
    forget(store, failed)
    with pytest.raises(ValueError, match=f"{goes_on.name}, ended well$"):
        run_to_retry(store, None)


def failed_run(store: Store) -> Path:
    with suppress(ValueError), recorded(store, REQUEST) as run:
        raise ValueError("no data")
    return store.root / FOLDER / f"{run.name}.json"


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o666])
def test_a_record_that_others_can_write_is_not_retried(store: Store, mode: int) -> None:
    failed_run(store).chmod(mode)
    with pytest.raises(ValueError, match=rf"written by others than you \(mode {mode:o}\)"):
        run_to_retry(store, None)


def test_a_record_of_another_user_is_not_retried(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = failed_run(store)
    owner = path.stat().st_uid
    assert run_to_retry(store, None).failed == {"": "no data"}
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    with pytest.raises(ValueError, match=rf"{path} is \S+'s, so it may ask for anything"):
        run_to_retry(store, None)


def test_records_are_written_by_nobody_else_whatever_the_umask(store: Store) -> None:
    before = os.umask(0)
    try:
        path = failed_run(store)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o022 == 0


@pytest.mark.parametrize("kind", ["link", "fifo", "folder"])
def test_what_is_no_ordinary_file_is_no_record(store: Store, tmp_path: Path, kind: str) -> None:
    path = failed_run(store)
    kept = path.rename(tmp_path / "kept")
    if kind == "link":
        path.symlink_to(kept)
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.mkdir()
    assert runs(store) == []


@pytest.mark.parametrize(
    "hostile",
    [
        {"name": "../../elsewhere"},
        {"name": "another"},
        {"steps": [["mel", "../..", "0" * 64]]},
        {"steps": [["mel", "mel", "../../etc"]]},
        {"steps": [["mel", "mel"]]},
        {"state": "well"},
        {"began": 3},
        {"asked": {"recipe": ["a"], "data": "", "out": ""}},
        {"asked": {"recipe": "a", "data": "", "out": "", "later": 1}},
        {"failed": {"mel": {}}},
    ],
)
def test_a_record_that_says_what_none_can_is_passed_over(
    store: Store, hostile: dict[str, object]
) -> None:
    path = failed_run(store)
    path.write_text(json.dumps(json.loads(path.read_text()) | hostile))
    assert runs(store) == []


def test_a_lock_that_is_a_link_is_not_followed(store: Store, tmp_path: Path) -> None:
    run = failed_run(store).stem
    lock = store.root / FOLDER / f"{run}.lock"
    lock.unlink()
    lock.symlink_to(tmp_path / "made")
    forget(store, only(store))
    assert not (tmp_path / "made").exists()
    assert not list((store.root / FOLDER).iterdir())


def test_a_record_of_an_earlier_version_is_read(store: Store) -> None:
    """As birdflow 0.1 wrote it, with relative paths."""
    name = "20261125-201500-mini"
    request = {
        "recipe": "recipes/mini.toml", "data": "data", "out": "out", "collection": "collection",
        "settings": ["seed=1"], "only": None, "since": None, "refresh": [],
    }  # fmt: skip
    record = {
        "name": name, "asked": request, "began": "2026-11-25T20:15:00+00:00",
        "steps": [["mel 0000", "mel", STEPS[0].key]], "flow_run": None, "state": "failed",
        "ended": "2026-11-25T20:16:00+00:00", "failed": {"mel 0000": "bad"},
    }  # fmt: skip
    (store.root / FOLDER).mkdir()
    (store.root / FOLDER / f"{name}.json").write_text(json.dumps(record))
    run = only(store)
    assert (run.name, run.state, run.refs) == (name, "failed", [STEPS[0].ref])
    assert run.request.subject[0] == str(Path("recipes/mini.toml").absolute())
    assert run_to_retry(store, None) == run


@pytest.mark.parametrize("recipe", ["a\nb.toml", "a b.toml", "\x1b[31m.toml", "x" * 200 + ".toml"])
def test_a_recipe_of_any_name_gets_a_record(store: Store, recipe: str) -> None:
    with recorded(store, RunRequest(recipe, "data", "out")) as run:
        pass
    assert only(store).request.recipe == recipe
    assert run.name.isprintable()
    assert " " not in run.name


def test_a_run_is_named_by_how_it_begins_and_the_latest_by_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match="there is no run in"):
        run_named(store, None)
    monkeypatch.setattr(module, "datetime", Noon)
    with recorded(store, RunRequest("a.toml", "", ""), []) as a:
        pass
    with recorded(store, RunRequest("b.toml", "", ""), []) as b:
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
        with recorded(store, REQUEST, STEPS):
            pass
    kept, harmed = runs(store)
    path = store.root / FOLDER / f"{harmed.name}.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert runs(store) == [kept]


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe", b"[" * 100_000, b"5", b"null", b'"x"', b"{}"]
)
def test_content_that_is_no_record_hides_no_other(store: Store, content: bytes) -> None:
    with recorded(store, REQUEST, STEPS) as run:
        (store.root / FOLDER / "20000101-000000-x.json").write_bytes(content)
    assert [one.name for one in runs(store)] == [run.name]
