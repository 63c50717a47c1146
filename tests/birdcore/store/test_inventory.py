"""What lies in a store is said as it is, also where it is damaged or half made."""

import threading
from pathlib import Path

import pytest

from birdcore.store.artifact import MANIFEST, Metrics, Ref, Step
from birdcore.store.files import CHECKPOINTS
from birdcore.store.inventory import damage, entries, measure, trash_bytes, works
from birdcore.store.store import Job, Store

STEPS = [Step("mel", 1, "mel 0000"), Step("clean", 1, "clean 0000"), Step("mel", 2, "mel 0001")]


def write(job: Job) -> Metrics:
    (job.folder / "sub").mkdir()
    (job.folder / "sub" / "file").write_text("f" * 1000)
    (job.folder / "other").write_text(job.step.name)
    return {}


@pytest.fixture
def made(store: Store) -> list[Ref]:
    return sorted(store.make(step, write).ref for step in STEPS)


def test_entries_list_artifacts_by_stage_and_key(store: Store, made: list[Ref]) -> None:
    found = entries(store)
    assert [entry.ref for entry in found] == made
    for entry in found:
        manifest = store.get(entry.ref).manifest
        assert (entry.name, entry.made_at) == (manifest.name, manifest.made_at)
        assert entry.files == 3
        size = (store.path(entry.ref) / MANIFEST).stat().st_size
        assert entry.bytes == 1000 + len(manifest.name) + size


def test_entry_without_manifest_has_no_name(store: Store, made: list[Ref]) -> None:
    (store.path(made[0]) / MANIFEST).unlink()
    first = entries(store)[0]
    assert (first.ref, first.name, first.made_at, first.files) == (made[0], "", "", 2)


def test_work_is_live_while_its_process_runs(store: Store, made: list[Ref]) -> None:
    half, go = threading.Event(), threading.Event()

    def slow(job: Job) -> Metrics:
        (job.folder / "half").write_text("h" * 10)
        half.set()
        assert go.wait(60)
        return {}

    step = Step("train", 1, "train a")
    thread = threading.Thread(target=lambda: store.make(step, slow))
    thread.start()
    try:
        assert half.wait(60)
        (live,) = works(store)
        assert (live.ref, live.bytes, live.live, live.checkpoint) == (step.ref, 10, True, False)
    finally:
        go.set()
        thread.join()
    assert works(store) == []


def test_work_tells_whether_it_has_a_checkpoint(store: Store) -> None:
    step = Step("train", 1, "train a")

    def dies(job: Job) -> Metrics:
        (job.folder / CHECKPOINTS.replace("*", "1")).write_text("half")
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError):
        store.make(step, dies, resumes=True)
    (left,) = works(store)
    assert (left.ref, left.bytes, left.live, left.checkpoint) == (step.ref, 4, False, True)


def test_trash_bytes_counts_discarded_artifacts(store: Store, made: list[Ref]) -> None:
    size = measure(store.path(made[0]))[1]
    store.discard(store.path(made[0]))
    assert [entry.ref for entry in entries(store)] == made[1:]
    assert trash_bytes(store) == size


def spoil(path: Path, how: str) -> None:
    content = path.read_bytes()
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes(
            {"cut": content[:-1], "flipped": bytes([content[0] ^ 1]) + content[1:]}[how]
        )


@pytest.mark.parametrize(
    ("name", "how", "said"),
    [
        ("sub/file", "gone", "sub/file is missing or cut"),
        ("other", "cut", "other is missing or cut"),
        ("other", "flipped", "other is not what it was when it was made"),
        (MANIFEST, "gone", "its manifest can't be read"),
        (MANIFEST, "cut", "its manifest can't be read"),
    ],
)
def test_damage_detects_a_flipped_byte(
    store: Store, made: list[Ref], name: str, how: str, said: str
) -> None:
    assert [damage(store, ref) for ref in made] == [[], [], []]
    path = store.path(made[1]) / name
    spoil(path, how)
    if (name, how) == (MANIFEST, "cut"):
        spoil(path, "cut")  # the first byte to go was the last line's end
    assert [damage(store, ref) for ref in made] == [[], [said], []]


def test_damage_is_empty_for_a_removed_artifact(store: Store, made: list[Ref]) -> None:
    store.discard(store.path(made[0]))
    assert damage(store, made[0]) == []


def test_file_in_place_of_a_work_folder_is_no_work(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    (store.root / "work").mkdir()
    (store.root / "work" / "mel").write_text("a file where a folder should be")
    assert not store.is_being_made(Ref("mel", "a" * 64))
