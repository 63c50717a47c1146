"""A store that others write to as well: what they put there harms nothing outside of it."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from birdcore.store import gc, store, transfer
from birdcore.store.artifact import MANIFEST, Artifact, Metrics, Ref, Step
from birdcore.store.files import Irregular
from birdcore.store.format import StoreError
from birdcore.store.inventory import damage, entries, works
from birdcore.store.location import open_store
from birdcore.store.pins import pin
from birdcore.store.remote import RemoteError, open_remote
from birdcore.store.store import Job, Store

STEP = Step("stage", 1, "a step")


def stage(job: Job) -> Metrics:
    (job.folder / "sub").mkdir(exist_ok=True)
    (job.folder / "sub" / "file").write_text("content")
    return {"auc": float("nan")}


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder of the user's own, where links lead to."""
    folder = tmp_path / "home"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "file").write_text("content")
    (folder / ("a" * 64)).mkdir()
    (folder / ("a" * 64) / "thesis").write_text("years of work")
    return folder


@pytest.fixture
def own(outside: Path):  # type: ignore[no-untyped-def]
    before = snapshot(outside)
    yield outside
    assert snapshot(outside) == before


def snapshot(folder: Path) -> dict[str, str]:
    return {
        p.relative_to(folder).as_posix(): p.read_text() if p.is_file() else ""
        for p in folder.rglob("*")
    }


@pytest.fixture
def here(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_a_linked_artifact_is_not_there_and_makes_room(here: Store, own: Path) -> None:
    real = here.make(STEP, stage).folder
    real.rename(own.parent / "moved")
    real.symlink_to(own.parent / "moved")
    assert here.find(STEP.ref) is None
    with pytest.raises(StoreError, match="a link is not used here: remove it"):
        here.get(STEP.ref)
    assert damage(here, STEP.ref) == ["its manifest can't be read"]
    assert here.make(STEP, stage).folder == real
    assert not real.is_symlink()
    assert (own.parent / "moved" / MANIFEST).is_file()


@pytest.mark.parametrize("name", ["sub", "sub/file", MANIFEST])
@pytest.mark.parametrize("kind", ["link", "fifo"])
def test_an_artifact_with_a_link_or_fifo_in_it_is_made_again(
    here: Store, own: Path, name: str, kind: str
) -> None:
    path = here.make(STEP, stage) / name
    if path.is_dir():
        (path / "file").unlink()
        path.rmdir()
    else:
        path.unlink()
    if kind == "link":
        path.symlink_to(own / "sub" / "file" if name != "sub" else own / "sub")
    else:
        os.mkfifo(path)
    assert here.find(STEP.ref) is None
    assert damage(here, STEP.ref) != []
    assert here.find(here.make(STEP, stage).ref) is not None


@pytest.mark.parametrize("floor", ["work", "work/stage", "work/stage/KEY"])
@pytest.mark.parametrize("resumes", [False, True])
def test_a_linked_work_folder_is_refused_before_anything_is_written(
    here: Store, own: Path, floor: str, resumes: bool
) -> None:
    path = here.root / floor.replace("KEY", STEP.key)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(own)
    with pytest.raises(Irregular, match="remove it"):
        here.make(STEP, stage, resumes=resumes)
    assert not here.is_being_made(STEP.ref)
    assert works(here) == [] or floor.endswith("KEY")


def test_links_in_a_work_folder_are_removed_or_refused(here: Store, own: Path) -> None:
    work = here.work(STEP.ref)
    work.mkdir(parents=True)
    (work / "sub").symlink_to(own / "sub")
    with pytest.raises(Irregular):
        here.make(STEP, stage, resumes=True)
    assert here.make(STEP, stage).folder.joinpath("sub", "file").read_text() == "content"


def test_stage_that_makes_a_link_publishes_nothing(here: Store, own: Path) -> None:
    with pytest.raises(Irregular):
        here.make(STEP, lambda job: (job.folder / "a").symlink_to(own / "sub" / "file") or {})
    assert here.find(STEP.ref) is None


def test_gc_and_damage_stay_in_the_store(here: Store, own: Path) -> None:
    here.make(STEP, stage)
    pin(here, STEP.ref)
    (here.root / "other").symlink_to(own)  # holds a folder that is called by a key
    (here.root / "stage" / ("b" * 64)).symlink_to(own / ("a" * 64))
    (here.root / "odd \x1b[2J" / ("c" * 64)).mkdir(parents=True)
    listed = [entry.ref for entry in entries(here)]
    assert listed == sorted([STEP.ref, Ref("stage", "b" * 64)])
    trash = here.root / "work" / "trash"
    trash.mkdir(parents=True, exist_ok=True)
    (trash / "left").symlink_to(own)
    (here.root / "work" / "stage" / ("d" * 64)).symlink_to(own)
    os.mkfifo(here.root / "work" / "stage" / ("e" * 64))
    gc.collect(here)
    assert works(here) == []
    assert [entry.ref for entry in entries(here)] == [STEP.ref]
    assert not list(trash.iterdir())


def test_linked_trash_is_refused(here: Store, own: Path) -> None:
    here.make(STEP, stage)
    pin(here, STEP.ref)
    (here.root / "stage" / ("b" * 64)).mkdir()
    (here.root / "work").mkdir(exist_ok=True)
    trash = here.root / "work" / "trash"
    if trash.exists():
        trash.rmdir()
    trash.symlink_to(own)
    with pytest.raises(Irregular):
        gc.collect(here)


def test_lock_refuses_a_link(here: Store, own: Path) -> None:
    (here.root / "work").mkdir(exist_ok=True)
    (here.root / "work" / "shards.lock").symlink_to(own / "new")
    with pytest.raises(Irregular), here.lock("shards"):
        pass
    (here.root / "shards.parquet").symlink_to(own / "sub" / "file")
    with pytest.raises(Irregular):
        here.read_shared("shards.parquet")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], Store]:
    def named(name: str) -> Store:
        monkeypatch.setenv("BIRDFLOW_CACHE_DIR", str(tmp_path / name))
        open_remote.cache_clear()
        return open_store(f"file://{tmp_path}/remote")

    return named


Machine = Callable[[str], Store]
Harm = Callable[[dict[str, Any]], object]
HARMS: dict[str, Harm] = {
    "climbs": lambda m: m["files"][0].update(name="../../../../stolen"),
    "absolute": lambda m: m["files"][0].update(name="/tmp/stolen"),
    "no sha": lambda m: m["files"][0].update(sha256="../../../home"),
    "another": lambda m: m.update(key="b" * 64),
    "of types": lambda m: m.update(files=3),
    "its own name": lambda m: m["files"][0].update(name=MANIFEST),
}


@pytest.mark.parametrize("harm", HARMS)
def test_a_hostile_manifest_over_there_is_refused_with_its_reason(
    machine: Machine, own: Path, harm: str
) -> None:
    one = machine("one")
    one.make(STEP, stage)
    path = own.parent / "remote" / "stage" / STEP.key / MANIFEST
    fields = json.loads(path.read_text())
    HARMS[harm](fields)
    path.write_text(json.dumps(fields))
    two = machine("two")
    assert two.find(STEP.ref) is None
    with pytest.raises(StoreError, match=r"the manifest of stage/\w{12} .*run again"):
        two.get(STEP.ref)
    assert not two.path(STEP.ref).exists()
    two.make(STEP, stage)
    assert machine("three").get(STEP.ref).metrics.keys() == {"auc"}


def test_fetch_stops_at_the_manifest_size(
    machine: Machine, own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "PIECE", 1000)
    one = machine("one")
    (file,) = one.make(STEP, stage).manifest.files
    path = own.parent / "remote" / "stage" / STEP.key / file.sha256 / file.name
    path.write_bytes(b"content" + b"x" * 1_000_000)
    two = machine("two")
    written: list[int] = []
    real = store.remove

    def measured(incoming: Path) -> None:
        written.extend(p.stat().st_size for p in incoming.rglob("file"))
        real(incoming)

    monkeypatch.setattr(store, "remove", measured)
    with pytest.raises(RemoteError, match="missing or damaged"):
        two.get(STEP.ref)
    assert written == [0]


@pytest.mark.parametrize("what", ["link", "fifo", "folder link"])
def test_fetch_opens_ordinary_files_only(machine: Machine, own: Path, what: str) -> None:
    one = machine("one")
    (file,) = one.make(STEP, stage).manifest.files
    path = own.parent / "remote" / "stage" / STEP.key / file.sha256 / file.name
    path.unlink()
    if what == "folder link":
        path.parent.rmdir()
        path.parent.symlink_to(own / "sub")
    elif what == "link":
        path.symlink_to(own / "sub" / "file")
    else:
        os.mkfifo(path)
    with pytest.raises(RemoteError, match="missing or damaged"):
        machine("two").get(STEP.ref)


def test_send_refuses_a_link(machine: Machine, own: Path) -> None:
    one = machine("one")
    (own.parent / "remote" / "stage").symlink_to(own)
    with pytest.raises(Irregular):
        one.make(STEP, stage)


def test_get_gives_up_on_an_ever_changing_manifest(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine("one").make(STEP, stage)
    two = machine("two")
    real, asked = store.remote_manifest, []

    def changing(*given: Any) -> Any:
        manifest = real(*given)
        asked.append(manifest)
        object.__setattr__(manifest, "made_at", f"time {len(asked)}")
        return manifest

    monkeypatch.setattr(store, "remote_manifest", changing)
    with pytest.raises(StoreError, match="another whenever it is fetched"):
        two.get(STEP.ref)


def test_artifact_with_nan_metrics_is_fetched_once(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine("one").make(STEP, stage)
    two = machine("two")
    fetched = []
    real = store.fetch
    monkeypatch.setattr(store, "fetch", lambda *given: fetched.append(1) or real(*given))
    assert isinstance(two.get(STEP.ref), Artifact)
    assert isinstance(two.get(STEP.ref), Artifact)
    assert fetched == [1]
