"""`birdflow store`: what a person reads of a store, and what they can do about it."""

import json
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from birdcore.store.artifact import Metrics, Step
from birdcore.store.format import LAYOUT
from birdcore.store.gc import RESULTS, remove_damaged
from birdcore.store.inventory import entries
from birdcore.store.location import open_store
from birdcore.store.pins import pins
from birdcore.store.run_records import FOLDER, RunRequest
from birdcore.store.runs import record_steps, recorded, runs
from birdcore.store.store import Job, Store
from flows.cli import main


def write(job: Job) -> Metrics:
    (job.folder / "file").write_text("f" * 5000)
    return {"rows": 12, "of": {"a": 1}}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def steps(store: Store) -> list[Step]:
    """A run of two steps, of which the second reads the first, and one that no run needs."""
    first = Step("mel", 1, "mel train_audio/0000", {"n_mels": 32}, files={"a.ogg": "1" * 64})
    second = Step("train", 1, "train student", {"mask": {"bins": 8}}, {"mel": (first.ref,)})
    made = [first, second, Step("mel", 1, "mel [old]", {"n_mels": 16})]
    with recorded(store, RunRequest("recipes/mini.toml", "data", "out"), made[:2]):
        for step in made:
            store.make(step, write)
    return made


@pytest.fixture
def say(store: Store, capsys: pytest.CaptureFixture[str]) -> Callable[..., list[str]]:
    """Lines that `birdflow store` prints, in words that one space parts."""

    def said(*arguments: object, code: int = 0) -> list[str]:
        assert main(["store", *map(str, arguments), "--store", str(store.root)]) == code
        answer = capsys.readouterr()
        text = answer.err.removeprefix("birdflow: ") if not answer.out else answer.out
        return [" ".join(line.split()) for line in text.splitlines()]

    return said


def test_ls_says_what_there_is_by_stage(
    store: Store, steps: list[Step], say: Callable[..., list[str]]
) -> None:
    lines = say("ls")
    made_at = max(entry.made_at for entry in entries(store))
    assert lines[0] == "stage artifacts files size last made"
    assert lines[1].startswith("mel 2 4 1")
    assert [line.split()[0:3] for line in lines[2:4]] == [["train", "1", "2"], ["total", "3", "6"]]
    assert lines[3].endswith(f" kB {made_at}")


def test_ls_says_what_lies_beside(
    store: Store, steps: list[Step], say: Callable[..., list[str]]
) -> None:
    work = store.work(steps[1].ref)
    work.mkdir(parents=True)
    (work / "checkpoint-1.pt").write_text("half")
    store.discard(store.path(steps[2].ref))
    (store.root / RESULTS).mkdir(parents=True)
    (store.root / RESULTS / "a").write_text("12345")
    (store.root / "prefect" / "prefect.db").write_text("d" * 2000)
    say("pin", steps[1].ref, "--why", "the [best]")
    lines = say("ls")
    assert f"left behind {steps[1].ref} train student 4 bytes, with a checkpoint" in lines
    (trash,) = [line for line in lines if line.startswith("trash ")]
    assert re.fullmatch(r"trash 5\.\d kB", trash)
    assert "Prefect database 2.0 kB" in lines
    assert "1 results 5 bytes" in lines
    assert f"pinned {steps[1].ref} the [best]" in lines


def test_ls_of_a_stage_says_who_needs_each(
    store: Store, steps: list[Step], say: Callable[..., list[str]]
) -> None:
    (run,) = runs(store)
    say("pin", steps[2].ref)
    lines = {line.split(" ", 2)[1]: line for line in say("ls", "--stage", "mel")[1:]}
    key = steps[0].key[:12]
    assert re.search(rf"{key} mel train_audio/0000 [\d.]+ kB {run.name}$", lines[key])
    key = steps[2].key[:12]
    assert re.search(rf"{key} mel \[old\] [\d.]+ kB pinned pin of {steps[2].ref}$", lines[key])
    assert say("ls", "--stage", "clean", code=1) == [
        f"there is no artifact of a stage clean in {store.root}"
    ]


def test_show_says_all_of_one(
    store: Store, steps: list[Step], say: Callable[..., list[str]]
) -> None:
    (run,) = runs(store)
    lines = say("show", "train")
    for line in (
        "name train student",
        f"artifact train/{steps[1].key}",
        "pinned no",
        f"needed by {run.name}",
        "metrics rows 12",
        'of {"a": 1}',
        'config mask {"bins": 8}',
        f"from mel {steps[0].ref}",
        "files file 5.0 kB",
    ):
        assert line in lines
    assert not [line for line in lines if "not in the store" in line]
    store.discard(store.path(steps[0].ref))
    say("pin", "train", "--why", "the best")
    lines = say("show", "train")
    assert f"not in the store: {steps[0].ref}" in lines
    assert any(re.fullmatch(r"pinned since 2\S+: the best", line) for line in lines)
    lines = say("show", f"mel/{steps[2].key}")
    assert "needed by nothing: birdflow store gc removes it" in lines


def test_verify_finds_damage_and_removes_it(
    store: Store, steps: list[Step], say: Callable[..., list[str]]
) -> None:
    assert re.fullmatch(r"3 artifacts read, \S+ kB: none damaged", say("verify")[-1])
    for step, text in ((steps[0], "x" * 5000), (steps[2], "f")):
        (store.path(step.ref) / "file").write_text(text)
    worse = f"{steps[0].ref} {steps[0].name}: file is not what it was when it was made"
    lines = say("verify", code=1)
    assert worse in lines
    assert f"{steps[2].ref} {steps[2].name}: file is missing or cut" in lines
    assert say("verify", "train")[-1].endswith("none damaged")
    assert say("verify", steps[0].ref, "--remove", code=1)[0] == worse
    assert {entry.ref for entry in entries(store)} == {steps[1].ref, steps[2].ref}
    assert store.make(steps[0], write).metrics["rows"] == 12
    say("verify", steps[2].ref, "--remove", code=1)
    assert say("verify")[-1].startswith("2 artifacts read")


def test_verify_removes_nothing_that_a_run_that_goes_on_needs(
    store: Store, steps: list[Step], say: Callable[..., list[str]]
) -> None:
    """Its inputs neither, also where the run has only the last step on record."""
    for step in (steps[0], steps[2]):
        (store.path(step.ref) / "file").write_text("f")
    with recorded(store, RunRequest("other.toml", "data", "out"), steps[1:2]) as run:
        lines = say("verify", "--remove", code=1)
        assert f"stays: {run.name} is running and needs it" in lines
        assert lines[-2] == "1 removed: the next run that needs them makes them again"
        assert lines[-1] == "1 left: end that run or wait for it, then verify --remove again"
        assert {entry.ref for entry in entries(store)} == {steps[0].ref, steps[1].ref}
    lines = say("verify", "--remove", code=1)
    assert lines[-1] == "1 removed: the next run that needs them makes them again"
    assert {entry.ref for entry in entries(store)} == {steps[1].ref}


def test_a_run_of_a_later_birdflow_may_need_anything(store: Store, steps: list[Step]) -> None:
    with recorded(store, RunRequest("later.toml", "data", "out")) as run:
        (store.root / FOLDER / f"{run.name}.json").write_text('{"of": "a later birdflow"}')
        assert remove_damaged(store, steps[2].ref) == [run.name]
    (store.root / FOLDER / f"{run.name}.json").write_text('{"of": "a later birdflow"}')
    assert remove_damaged(store, steps[2].ref) == []


def test_a_run_that_begins_as_verify_removes_looks_after_it(
    store: Store, steps: list[Step], monkeypatch: pytest.MonkeyPatch
) -> None:
    counted_on: list[bool] = []
    looked = threading.Event()

    def run() -> None:
        with recorded(store, RunRequest("late.toml", "data", "out")) as begun:
            record_steps(store, begun, steps[:2])
            counted_on.append(store.find(steps[0].ref) is not None)
            looked.set()

    thread = threading.Thread(target=run)
    discard = store.discard

    def dawdle(folder: Path) -> Path:
        thread.start()
        looked.wait(0.5)  # it can't look now, or else it would count on what goes in a moment
        return discard(folder)

    monkeypatch.setattr(store, "discard", dawdle)
    assert remove_damaged(store, steps[0].ref) == []
    thread.join()
    assert counted_on == [False]


def test_gc_says_what_it_would_remove_and_does_it_when_told(
    store: Store, steps: list[Step], say: Callable[..., list[str]]
) -> None:
    lines = say("gc")
    assert any(re.fullmatch(r"mel 1 5\.\d kB", line) for line in lines)
    assert re.fullmatch(r"this would remove 5\.\d kB; to do it: (birdflow .* --yes)", lines[-1])
    assert len(entries(store)) == 3
    told = lines[-1].partition("to do it: birdflow store ")[2].split()
    assert told[1:3] == ["--store", str(store.root)]
    assert re.fullmatch(r"removed 5\.\d kB", say(*told)[-1])
    assert {entry.ref for entry in entries(store)} == {steps[0].ref, steps[1].ref}
    assert say("gc")[-1].startswith("this would remove 0 bytes")


def test_a_pin_is_taken_back_also_where_its_artifact_is_gone(
    store: Store, steps: list[Step], say: Callable[..., list[str]]
) -> None:
    assert say("pin", steps[2].ref) == [f"{steps[2].ref} stays, and all that it was made of"]
    assert say("gc")[-1].startswith("this would remove 0 bytes")
    store.discard(store.path(steps[2].ref))
    assert f"pinned {steps[2].ref} (not in the store)" in say("ls")
    say("unpin", steps[2].ref)
    assert pins(store) == {}
    assert say("unpin", steps[0].ref, code=1) == [f"{steps[0].ref} is not pinned: pinned are none"]


COMMANDS = [
    ["store", "ls"],
    ["store", "show", "mel"],
    ["store", "verify"],
    ["store", "gc"],
    ["store", "pin", "mel"],
    ["store", "unpin", "mel"],
    ["lineage", "mel"],
    ["status"],
    ["retry"],
    ["run", "RECIPE", "--data", "DATA"],
    ["plan", "RECIPE", "--data", "DATA"],
    ["collect", "RECIPE", "--data", "DATA"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_refuses_a_store_of_another_layout(
    command: list[str],
    store: Store,
    tiny_recipe: Path,
    tiny_data: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    mark = store.root / "store.json"
    mark.write_text(json.dumps({"birdflow": "store", "layout": LAYOUT + 1}))
    known = {"RECIPE": str(tiny_recipe), "DATA": str(tiny_data)}
    arguments = [known.get(word, word) for word in command]
    assert main([*arguments, "--store", str(store.root)]) == 1
    assert capsys.readouterr().err == (
        f"birdflow: {store.root} has store layout {LAYOUT + 1}, this birdflow reads {LAYOUT}: "
        "use another location, or the birdflow that made it\n"
    )
    assert [path.name for path in store.root.iterdir()] == ["store.json"]


def test_it_starts_without_torch_and_prefect(store: Store, steps: list[Step]) -> None:
    code = (
        "import sys; from flows.cli import main; main(sys.argv[1:]); "
        "assert not {'torch', 'prefect'} & set(sys.modules)"
    )
    command = [sys.executable, "-c", code, "store", "ls", "--store", store.root]
    subprocess.run(command, check=True, capture_output=True)


def test_gc_keeps_a_real_run_and_drops_results_with_their_artifacts(
    whole_run: Any,
    tiny_data: Path,
    tiny_recipe: Path,
    tmp_path: Path,
    say: Callable[..., list[str]],
    store: Store,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.rmtree(store.root)
    shutil.copytree(whole_run.store, store.root)
    whole, results = entries(store), sorted((store.root / RESULTS).iterdir())
    say("gc", "--keep-runs", "1", "--yes")
    assert entries(store) == whole
    assert sorted((store.root / RESULTS).iterdir()) == results
    known = (tiny_recipe, "--data", tiny_data, "--store", store.root, "--out", tmp_path / "out")
    assert main(["run", *map(str, known)]) == 0
    assert ", 0 to run" in capsys.readouterr().out
    for path in (store.root / FOLDER).glob("*.json"):
        record = json.loads(path.read_text())
        first = [step for step in record["steps"] if step[1] == "catalog"]
        path.write_text(json.dumps(record | {"steps": first}))
    say("gc", "--yes")
    assert [entry.ref.stage for entry in entries(store)] == ["catalog"]
    (left,) = (store.root / RESULTS).iterdir()
    assert left.name.startswith("catalog-")


def test_a_store_at_a_url_says_what_is_over_there_and_what_is_here(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BIRDFLOW_CACHE_DIR", str(tmp_path / "cache"))
    url = f"file://{tmp_path}/remote"
    step = Step("mel", 1, "mel train_audio/0000")
    open_store(url).make(step, write)
    monkeypatch.setenv("BIRDFLOW_CACHE_DIR", str(tmp_path / "another"))

    def say(*arguments: str) -> str:
        code = main(["store", *arguments, "--store", url])
        return " ".join(f"{code} {capsys.readouterr()}".split())

    assert f"remote {url} 1 artifacts" in say("ls")
    assert "mel train_audio/0000" in say("show", "mel/")
    assert f"mel/{step.key[:12]} is not on this machine" in say("verify", "mel/")
    assert "is no store" in " ".join(
        f"{main(['status', '--store', f'{url}/typo'])} {capsys.readouterr()}".split()
    )
