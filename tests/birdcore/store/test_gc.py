"""What runs and pins need is never removed, all else is, whoever runs meanwhile."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import birdcore
from birdcore.store import gc
from birdcore.store.artifact import MANIFEST, Artifact, Metrics, Ref, Step
from birdcore.store.format import StoreError
from birdcore.store.gc import (
    RESULTS,
    abandon,
    collect,
    kept_runs,
    reasons,
    unreachable,
)
from birdcore.store.inventory import damage, entries, works
from birdcore.store.pins import PINS, pin, pins, unpin
from birdcore.store.run_records import FOLDER, Run, RunRequest, State, run_request
from birdcore.store.runs import recorded, runs
from birdcore.store.store import TRASH, WORK, Job, Store

COUNT = 7
"""Artifacts of a made-up past; each may read those before it."""


@dataclass(frozen=True)
class Past:
    """What has happened to a store: artifacts by number, with what they read."""

    reads: list[set[int]]
    there: set[int]
    left: set[int]
    runs: list[tuple[str, State, set[int]]]
    """Recipe, state and what it needs, the earliest first."""
    pinned: set[int]


def past() -> st.SearchStrategy[Past]:
    some = st.sets(st.integers(0, COUNT - 1), max_size=3)
    states = st.sampled_from([*get_args(State), "completed", "completed", "completed"])
    return st.builds(
        Past,
        reads=st.tuples(
            *(st.sets(st.integers(0, at - 1), max_size=2) if at else st.just(set())
              for at in range(COUNT))
        ).map(list),
        there=st.sets(st.integers(0, COUNT - 1), min_size=COUNT - 2),
        left=some,
        runs=st.lists(st.tuples(st.sampled_from("ab"), states, some), min_size=1, max_size=6),
        pinned=some,
    )  # fmt: skip


def steps_of(reads: list[set[int]]) -> list[Step]:
    steps: list[Step] = []
    for at, read in enumerate(reads):
        inputs = {"in": tuple(steps[one].ref for one in sorted(read))}
        steps.append(Step(f"stage{at % 2}", 1, f"step {at}", {"at": at}, inputs))
    return steps


def write(job: Job) -> Metrics:
    (job.folder / "file").write_text(job.step.name)
    return {}


def write_record(store: Store, at: int, recipe: str, state: State, refs: Iterable[Ref]) -> None:
    kept = tuple((ref.stage, ref.stage, ref.key) for ref in refs)
    name, request = f"{at:04}-{recipe}", run_request(f"{recipe}.toml", "data", f"out{at}")
    run = Run(name, request, began=f"2999-01-01T00:00:{at:02}+00:00", steps=kept, state=state)
    (store.root / FOLDER).mkdir(exist_ok=True)
    (store.root / FOLDER / f"{name}.json").write_text(json.dumps(asdict(run)))


def written(folder: Path, past: Past) -> tuple[Store, list[Step]]:
    store, steps = Store(folder), steps_of(past.reads)
    (store.root / RESULTS).mkdir(parents=True)
    for at in past.there:
        store.make(steps[at], write)
        (store.root / RESULTS / f"{steps[at].stage}-{steps[at].key}-0123456789ab").touch()
    for at in past.left:
        store.work(steps[at].ref).mkdir(parents=True)
        (store.work(steps[at].ref) / "checkpoint-1.pt").write_text("half")
    for at, (recipe, state, needs) in enumerate(past.runs):
        write_record(store, at, recipe, state, [steps[one].ref for one in needs])
    for at in past.pinned & past.there:
        pin(store, steps[at].ref)
    return store, steps


def keepers(past: Past, keep: int) -> set[int]:
    """Runs to keep, by number: fewer than `keep` later ones of their recipe have completed."""
    return {
        at
        for at, (recipe, _, _) in enumerate(past.runs)
        if sum((of, s) == (recipe, "completed") for of, s, _ in past.runs[at + 1 :]) < keep
    }


def needed(past: Past, keep: int) -> set[int]:
    found: set[int] = set()

    def walk(at: int) -> None:
        found.add(at)
        for below in past.reads[at] if at in past.there else ():
            walk(below)

    for run in keepers(past, keep):
        for at in past.runs[run][2]:
            walk(at)
    for at in past.pinned & past.there:
        walk(at)
    return found


@given(past=past(), keep=st.integers(1, 3))
@settings(max_examples=30)
def test_collect_keeps_what_runs_and_pins_need(past: Past, keep: int) -> None:
    with TemporaryDirectory() as folder:
        store, steps = written(Path(folder) / "store", past)
        before = {entry.ref for entry in entries(store)}
        assert before == {steps[at].ref for at in past.there}
        said = unreachable(store, keep)
        assert {entry.ref for entry in entries(store)} == before
        assert collect(store, keep) == said

        stays = {steps[at].ref for at in needed(past, keep)}
        assert {entry.ref for entry in entries(store)} == before & stays
        for ref in before & stays:
            assert damage(store, ref) == []
            inputs = store.get(ref).manifest.inputs.values()
            below = {Ref(*name.split("/")) for names in inputs for name in names}
            assert all(store.find(one) for one in below & before)
        assert {work.ref for work in works(store)} == {steps[at].ref for at in past.left} & stays
        assert {run.name[:4] for run in runs(store)} == {f"{at:04}" for at in keepers(past, keep)}
        results = {path.name.split("-")[1] for path in (store.root / RESULTS).iterdir()}
        assert results == {ref.key for ref in before & stays}
        again = unreachable(store, keep)
        assert (again.entries, again.works, again.results, again.runs) == ((), (), (), ())


@pytest.fixture
def chain(store: Store) -> list[Step]:
    """Four artifacts, each made of the one before; the first two are there."""
    steps = steps_of([set(), {0}, {1}, {2}])
    for step in steps[:2]:
        store.make(step, write)
    return steps


def junk(store: Store) -> Ref:
    return store.make(Step("stage0", 1, "junk"), write).ref


def completed(at: int, **asked: Any) -> Run:
    known = {"recipe": "mini.toml", "data": "data", "out": f"out{at}"} | asked
    return Run(str(at), run_request(**known), str(at), (), state="completed")


@pytest.mark.parametrize(
    "other",
    [
        {"settings": ["seed=1"]},
        {"data": "other/data"},
        {"recipe": "elsewhere/mini.toml"},
        {"collection": "birds"},
    ],
)
def test_of_what_is_another_run_the_last_ones_stay_too(other: dict[str, Any]) -> None:
    known = [completed(9), completed(8, **other), completed(7), completed(6), completed(5, **other)]
    assert [one.name for one in kept_runs(known, 1)] == ["9", "8"]
    assert [one.name for one in kept_runs(known, 2)] == ["9", "8", "7", "5"]


def test_one_folder_named_in_two_ways_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    known = [completed(9), completed(8, data=Path.cwd() / "data"), completed(7, refresh=["mel"])]
    old = Run("6", RunRequest("mini.toml", "data", "out"), "6", (), state="completed")
    assert [one.name for one in kept_runs([*known, old], 1)] == ["9"]


def test_a_run_that_has_not_ended_well_stays_until_enough_later_ones_have() -> None:
    request = RunRequest("mini.toml", "", "")
    not_well: list[State] = ["failed", "stopped", "died", "running"]
    states: list[State] = [*not_well, "completed", "completed", *not_well]
    known = [Run(str(at), request, str(9 - at), (), state=s) for at, s in enumerate(states)]
    assert [one.name for one in kept_runs(known, 1)] == list("012349")
    assert [one.name for one in kept_runs(known, 2)] == list("0123459")


def test_an_artifact_without_a_readable_manifest_goes_unless_it_is_needed(
    store: Store, chain: list[Step]
) -> None:
    write_record(store, 0, "a", "completed", [chain[1].ref])
    for ref in (junk(store), chain[1].ref):
        (store.path(ref) / MANIFEST).write_text("{")
    collect(store)
    assert [entry.ref for entry in entries(store)] == [chain[1].ref]


def test_what_is_no_artifact_is_left_alone(store: Store, chain: list[Step]) -> None:
    write_record(store, 0, "a", "completed", [chain[1].ref])
    others = [store.root / name for name in ("mine/notes", "prefect/results/flow-x-y", "digests")]
    for path in others:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
    collect(store)
    assert all(path.read_text() == "mine" for path in others)


def test_collect_empties_the_trash(store: Store, chain: list[Step]) -> None:
    write_record(store, 0, "a", "completed", [chain[1].ref])
    store.discard(store.path(junk(store)))
    collect(store)
    assert list((store.root / WORK / TRASH).iterdir()) == []


def test_a_pin_keeps_its_reason_and_can_be_taken_back(store: Store, chain: list[Step]) -> None:
    pin(store, chain[1].ref, "the best so far")
    assert pins(store)[chain[1].ref].why == "the best so far"
    assert reasons(store, []) == {step.ref: [f"pin of {chain[1].ref}"] for step in chain[:2]}
    with pytest.raises(
        ValueError, match=f"{chain[0].ref} is not pinned: pinned are {chain[1].ref}"
    ):
        unpin(store, chain[0].ref)
    unpin(store, chain[1].ref)
    assert pins(store) == {}
    with pytest.raises(StoreError, match=f"{chain[3].ref} is not in the store"):
        pin(store, chain[3].ref)


def nothing_is_cleared(store: Store, match: str, keep: int = 1) -> None:
    before = entries(store)
    with pytest.raises(ValueError, match=match):
        collect(store, keep)
    assert entries(store) == before


def test_collect_refuses_unknown_needs(store: Store, chain: list[Step]) -> None:
    nothing_is_cleared(store, "no record of any run and no pin")
    write_record(store, 0, "a", "completed", [])
    nothing_is_cleared(store, "at least 1, not 0", keep=0)
    (store.root / FOLDER / "0001-a.json").write_text('{"of": "a later birdflow"}')
    nothing_is_cleared(store, "0001-a.json can't be read")
    (store.root / FOLDER / "0001-a.json").unlink()
    (store.root / PINS).write_text("{")
    nothing_is_cleared(store, "pins.json can't be read")
    (store.root / PINS).unlink()
    collect(store)
    assert entries(store) == []


@pytest.mark.parametrize("state", ["none", "completed"])
def test_collect_leaves_running_work(store: Store, chain: list[Step], state: str) -> None:
    """By a notebook: of what no run has on record nobody knows what it reads."""
    write_record(
        store, 0, "a", "completed", [step.ref for step in chain] if state != "none" else []
    )
    write_record(store, 1, "a", "completed", [])
    made: list[Artifact] = []
    half, go = threading.Event(), threading.Event()

    def slow(job: Job) -> Metrics:
        half.set()
        assert go.wait(60)
        return {"read": (job.input("in") / "file").read_text()} | write(job)

    thread = threading.Thread(target=lambda: made.append(store.make(chain[2], slow)))
    thread.start()
    try:
        assert half.wait(60)
        if state == "none":
            nothing_is_cleared(store, f"{chain[2].ref} is being made outside of any run")
        else:
            extra = junk(store)
            collect(store, 1)
            assert store.find(extra) is None
    finally:
        go.set()
        thread.join()
    assert made[0].metrics["read"] == chain[1].name


def test_a_run_is_on_record_before_the_decision_or_looks_after_the_last_removal(
    store: Store, chain: list[Step], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_record(store, 0, "a", "completed", [])
    counted_on: list[bool] = []
    looked = threading.Event()

    def run() -> None:
        with recorded(store, RunRequest("b.toml", "", ""), chain[:2]):
            counted_on.append(store.find(chain[1].ref) is not None)
            looked.set()

    thread = threading.Thread(target=run)
    decide = gc.unreachable

    def decide_and_dawdle(*arguments: Any) -> Any:
        decided = decide(*arguments)
        thread.start()
        looked.wait(0.5)  # it can't look now, or else it would count on what goes in a moment
        return decided

    monkeypatch.setattr(gc, "unreachable", decide_and_dawdle)
    collect(store, 1)
    thread.join()
    assert store.find(chain[1].ref) is None
    assert counted_on == [False]


RUN = """
import sys, time
from pathlib import Path
from birdcore.store.artifact import Step
from birdcore.store.run_records import run_request
from birdcore.store.runs import recorded
from birdcore.store.store import Store

def run(job):
    text = "".join((one / "file").read_text() for one in job.inputs("in"))
    print("half", flush=True)
    while not Path(sys.argv[2]).exists():
        time.sleep(0.01)
    (job.folder / "file").write_text(text + job.step.name)
    return {}

store, steps = Store(Path(sys.argv[1])), []
for at in range(5):
    inputs = {"in": tuple(step.ref for step in steps)}
    steps.append(Step("chain", 1, str(at), {}, inputs))
with recorded(store, run_request("long.toml", "data", "out"), steps):
    for step in steps:
        store.make(step, run)
"""


def start(store: Store, go: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", RUN, store.root, go],
        env=os.environ | {"PYTHONPATH": str(Path(birdcore.__file__).parents[1])},
        stdout=subprocess.PIPE,
        text=True,
    )


def test_a_run_in_another_process_is_right_though_all_else_goes_meanwhile(
    store: Store, tmp_path: Path
) -> None:
    with start(store, tmp_path / "go") as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == "half\n"
            for at in range(3):
                write_record(store, 50 + at, "long", "completed", [junk(store)])
            write_record(store, 60, "long", "completed", [])
            assert [entry.name for entry in collect(store, 1).entries] == ["junk"]
            (tmp_path / "go").touch()
            while process.poll() is None:  # of its recipe the last but one, once it has ended
                assert collect(store, 2).entries == ()
        finally:
            process.kill()
    assert process.returncode == 0
    texts = {e.name: (store.path(e.ref) / "file").read_text() for e in entries(store)}
    assert texts == {"0": "0", "1": "01", "2": "0012", "3": "00100123", "4": "0010012001001234"}


def test_what_a_killed_run_would_go_on_with_stays_until_enough_later_ones_have_ended(
    store: Store, tmp_path: Path
) -> None:
    with start(store, tmp_path / "go") as process:
        assert process.stdout
        assert process.stdout.readline() == "half\n"
        process.kill()
    (died,) = runs(store)
    assert died.state == "died"
    assert collect(store, 1).works == ()
    write_record(store, 1, "long", "completed", [])
    assert collect(store, 2).works == ()
    (work,) = works(store)
    assert not work.live
    assert [one.ref for one in collect(store, 1).works] == [work.ref]
    assert works(store) == []


def test_work_that_comes_alive_after_the_decision_is_left(store: Store, chain: list[Step]) -> None:
    half, go = threading.Event(), threading.Event()

    def slow(job: Job) -> Metrics:
        half.set()
        assert go.wait(60)
        return write(job)

    thread = threading.Thread(target=lambda: store.make(chain[2], slow))
    thread.start()
    try:
        assert half.wait(60)
        abandon(store, chain[2].ref)
        assert store.is_being_made(chain[2].ref)
    finally:
        go.set()
        thread.join()
    assert damage(store, chain[2].ref) == []
