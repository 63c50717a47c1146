import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

import birdcore
from birdcore.store.artifact import MANIFEST, Metrics, Ref, Step
from birdcore.store.files import file_sha256, write_text
from birdcore.store.format import LAYOUT, StoreError
from birdcore.store.inventory import damage
from birdcore.store.location import open_store
from birdcore.store.store import Job, Store

STEP = Step(
    stage="mel",
    version=1,
    name="mel train_audio/0000",
    config={"n_mels": 128, "scale": {"ceiling_db": 35.0}, "train": (0, 1)},
    inputs={"clean": (Ref("clean", "a" * 64),), "models": (Ref("train", "b"), Ref("train", "c"))},
    files={"train_audio/a.ogg": "1" * 64, "train_audio/b.ogg": "2" * 64},
    root="/data",
)
# The stage of a process of its own: it says "half" when half of its work is written.
STAGE = """
import sys, time
from pathlib import Path
from birdcore.store.artifact import Step
from birdcore.store.store import Store

def run(job):
    with Path(sys.argv[2]).open("a") as log:
        log.write("ran\\n")
    (job.folder / "half").write_text("h" * 1000)
    print("half", flush=True)
    while not Path(sys.argv[3]).exists():
        time.sleep(0.01)
    (job.folder / "whole").write_text("w" * 1000)
    return {"rows": 2}

print("begins", flush=True)
artifact = Store(Path(sys.argv[1])).make(Step("stage", 1, "a step"), run)
print(artifact.metrics["rows"], flush=True)
"""
SMALL = Step("stage", 1, "a step")


def small(job: Job) -> Metrics:
    (job.folder / "sub").mkdir(exist_ok=True)
    (job.folder / "half").write_text("h" * 1000)
    (job.folder / "sub" / "whole").write_text("w" * 1000)
    return {"rows": 2}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@contextmanager
def process(*arguments: str | Path) -> Iterator[subprocess.Popen[str]]:
    """A Python process with birdcore at hand; it does not outlive the test."""
    environment = os.environ | {"PYTHONPATH": str(Path(birdcore.__file__).parents[1])}
    with subprocess.Popen(
        [sys.executable, "-c", *map(str, arguments)],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as running:
        try:
            yield running
        finally:
            running.kill()


def wait_for(running: subprocess.Popen[str], text: str) -> None:
    assert running.stdout is not None
    assert running.stdout.readline().strip() == text


@pytest.mark.parametrize(
    "other",
    [
        replace(STEP, stage="clean"),
        replace(STEP, version=2),
        replace(STEP, config={**STEP.config, "n_mels": 96}),
        replace(STEP, config={**STEP.config, "scale": {"ceiling_db": 45.0}}),
        replace(STEP, config={**STEP.config, "new": None}),
        replace(STEP, inputs={**STEP.inputs, "clean": (Ref("clean", "d"),)}),
        replace(STEP, inputs={**STEP.inputs, "clean": (Ref("mel", "a" * 64),)}),
        replace(STEP, inputs={**STEP.inputs, "more": (Ref("clean", "a" * 64),)}),
        replace(STEP, files={**STEP.files, "train_audio/a.ogg": "3" * 64}),
        replace(STEP, files={**STEP.files, "train_audio/c.ogg": "3" * 64}),
        replace(STEP, files={"train_audio/a.ogg": "1" * 64}),
    ],
)
def test_a_key_depends_on_stage_version_config_inputs_and_content(other: Step) -> None:
    assert other.key != STEP.key


def test_key_ignores_name_and_root() -> None:
    backwards = replace(
        STEP,
        name="another name",
        root="/elsewhere",
        config=dict(reversed(STEP.config.items())),
        inputs=dict(reversed(STEP.inputs.items())),
        files=dict(reversed(STEP.files.items())),
    )
    assert backwards.key == STEP.key
    assert replace(STEP, config={**STEP.config, "train": [0, 1]}).key == STEP.key


def test_a_key_is_the_same_in_another_process() -> None:
    code = f"from birdcore.store.artifact import Ref, Step; print(({STEP!r}).key)"
    with process(code) as other:
        assert other.communicate()[0].strip() == STEP.key


def test_key_refuses_nan() -> None:
    with pytest.raises(ValueError, match="JSON"):
        _ = replace(STEP, config={"top_db": float("inf")}).key


def test_what_was_made_is_found_with_its_manifest(store: Store) -> None:
    step = replace(STEP, root="/secret")
    made = store.make(step, small)
    found = store.find(step.ref)
    assert found is not None
    assert found.folder == made.folder == store.root / "mel" / step.key
    assert [(f.name, f.bytes) for f in found.manifest.files] == [
        ("half", 1000),
        ("sub/whole", 1000),
    ]
    assert found.manifest.files[0].sha256 == file_sha256(made / "half")
    assert found.metrics == {"rows": 2}
    assert found.manifest.inputs["models"] == ["train/b", "train/c"]
    assert found.manifest.sources == step.files
    # Compared as a reader sees both: lists for tuples.
    assert found.manifest.config == json.loads(json.dumps(step.config))
    assert "/secret" not in (found / MANIFEST).read_text()
    assert not (store.root / "work" / "mel" / step.key).exists()


def test_a_made_artifact_is_not_made_again(store: Store) -> None:
    store.make(SMALL, small)
    again = store.make(SMALL, _never)
    assert again.metrics == {"rows": 2}


def test_refresh_makes_it_again_and_replaces_it(store: Store) -> None:
    store.make(SMALL, small)
    again = store.make(SMALL, lambda job: {"rows": 3}, refresh=True)
    assert again.metrics == {"rows": 3}
    found = store.get(SMALL.ref)
    assert found.metrics == {"rows": 3}
    assert not (found / "half").exists()
    assert list((store.root / "work" / "trash").iterdir()) == []


@pytest.mark.parametrize("harm", ["remove", "cut", "no manifest", "cut manifest", "odd manifest"])
def test_damaged_artifact_is_made_again(store: Store, harm: str) -> None:
    whole = store.make(SMALL, small) / "sub" / "whole"
    manifest = whole.parents[1] / MANIFEST
    if harm == "remove":
        whole.unlink()
    elif harm == "cut":
        whole.write_text("w" * 999)
    elif harm == "no manifest":
        manifest.unlink()
    elif harm == "cut manifest":
        manifest.write_text(manifest.read_text()[:-20])
    else:
        manifest.write_text("[]")
    assert store.find(SMALL.ref) is None
    with pytest.raises(StoreError, match=r"stage/\w{12} is not in the store .*: run again"):
        store.get(SMALL.ref)
    made = store.make(SMALL, small)
    assert whole.stat().st_size == 1000
    assert store.find(SMALL.ref) == made


def test_an_artifact_of_another_key_under_the_name_is_not_there(store: Store) -> None:
    made = store.make(SMALL, small)
    other = replace(SMALL, version=2)
    made.folder.rename(store.path(other.ref))
    assert store.find(other.ref) is None


def test_damage_names_the_file_with_a_flipped_byte(store: Store) -> None:
    made = store.make(SMALL, small)
    assert damage(store, SMALL.ref) == []
    whole = made / "sub" / "whole"
    whole.write_text("w" * 500 + "v" + "w" * 499)
    assert store.find(SMALL.ref) is not None  # sizes alone do not tell
    assert damage(store, SMALL.ref) == ["sub/whole is not what it was when it was made"]


def test_a_failed_stage_leaves_nothing_under_the_final_name(store: Store) -> None:
    def fails(job: Job) -> Metrics:
        small(job)
        raise ValueError("no good")

    with pytest.raises(ValueError, match="no good"):
        store.make(SMALL, fails)
    assert not store.path(SMALL.ref).exists()
    assert store.make(SMALL, small).metrics == {"rows": 2}


def test_metrics_that_are_no_json_publish_nothing(store: Store) -> None:
    with pytest.raises(TypeError):
        store.make(SMALL, lambda job: {"rows": object()})
    assert not store.path(SMALL.ref).exists()


@pytest.mark.parametrize("resumes", [True, False])
def test_killed_stage_starts_again_or_resumes(store: Store, tmp_path: Path, resumes: bool) -> None:
    with process(STAGE, store.root, tmp_path / "log", tmp_path / "never") as killed:
        wait_for(killed, "begins")
        wait_for(killed, "half")
        os.kill(killed.pid, signal.SIGKILL)
        assert killed.wait() == -signal.SIGKILL
    assert store.find(SMALL.ref) is None
    assert not store.path(SMALL.ref).exists()
    left: list[str] = []

    def look(job: Job) -> Metrics:
        left.extend(p.name for p in job.folder.iterdir())
        return small(job)

    assert store.make(SMALL, look, resumes=resumes).metrics == {"rows": 2}
    assert left == (["half"] if resumes else [])
    assert damage(store, SMALL.ref) == []


def test_two_processes_that_make_the_same_run_it_once_and_both_get_it(
    store: Store, tmp_path: Path
) -> None:
    log, go = tmp_path / "log", tmp_path / "go"
    with process(STAGE, store.root, log, go) as first:
        wait_for(first, "begins")
        wait_for(first, "half")
        with process(STAGE, store.root, log, go) as second:
            wait_for(second, "begins")
            go.touch()
            assert first.communicate()[0].strip() == "2"
            assert second.communicate()[0].strip() == "2"
    assert log.read_text() == "ran\n"
    assert not (store.root / "work" / "stage" / SMALL.key).exists()


def test_many_that_make_the_same_steps_at_once_run_each_once(tmp_path: Path) -> None:
    ran: list[str] = []

    def run(job: Job) -> Metrics:
        ran.append(job.step.key)
        return small(job)

    steps = [replace(SMALL, version=version) for version in range(30)]
    wanted = [step for step in steps for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        # Each opens the store by itself, which is new: that must not be taken for foreign.
        root = tmp_path / "store"
        made = list(pool.map(lambda step: Store(root).make(step, run).ref, wanted))
    assert made == [step.ref for step in wanted]
    assert sorted(ran) == sorted(step.key for step in steps)


def test_a_lock_ends_with_a_killed_holder(store: Store) -> None:
    code = (
        "import sys, time; from pathlib import Path; from birdcore.store.store import Store\n"
        "with Store(Path(sys.argv[1])).lock('ledger'):\n    print('held', flush=True)\n"
        "    time.sleep(1000)"
    )
    with process(code, store.root) as holder:
        wait_for(holder, "held")
        holder.kill()
        holder.wait()
    with store.lock("ledger"):
        pass


def test_job_gives_inputs_and_sources_of_its_step(store: Store) -> None:
    before = [store.make(replace(SMALL, version=v), small) for v in (1, 2)]
    step = Step(
        "next", 1, "next", {"a": 1}, {"one": (before[0].ref,), "all": tuple(b.ref for b in before)},
        {"train_audio/a.ogg": "1"}, "/data",
    )  # fmt: skip
    job = Job(step, store, store.root, lambda done, total, text: None)
    assert job.config == {"a": 1}
    assert job.input("one") == before[0]
    assert job.inputs("all") == before
    assert job.inputs("none") == []
    assert job.source("train_audio/a.ogg") == Path("/data/train_audio/a.ogg")
    with pytest.raises(AssertionError):
        job.source("train_audio/b.ogg")


def test_store_opens_an_existing_folder(tmp_path: Path) -> None:
    made = Store(tmp_path / "a" / "store").make(SMALL, small)
    (tmp_path / "a").rename(tmp_path / "b")
    again = Store(tmp_path / "b" / "store").find(made.ref)
    assert again is not None
    assert again.manifest == made.manifest


def test_store_refuses_a_folder_of_other_files(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(StoreError, match=r"holds files but no store\.json: name an empty folder"):
        Store(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


def test_store_refuses_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    with pytest.raises(StoreError, match="is a file: name a folder"):
        Store(tmp_path / "file")


def test_an_empty_folder_and_one_where_prefect_was_first_become_stores(tmp_path: Path) -> None:
    (tmp_path / "prefect").mkdir()
    Store(tmp_path)
    assert (tmp_path / "store.json").is_file()


def test_another_layout_is_refused(store: Store) -> None:
    write_text(store.root / "store.json", json.dumps({"birdflow": "store", "layout": LAYOUT + 1}))
    with pytest.raises(StoreError, match=f"has store layout {LAYOUT + 1}, this birdflow reads"):
        Store(store.root)


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"{}", b"5", b"\xff\xfe", b"[" * 100_000])
def test_a_mark_that_can_not_be_read_is_refused(store: Store, text: bytes) -> None:
    (store.root / "store.json").write_bytes(text)
    with pytest.raises(StoreError, match=r"store\.json can't be read"):
        Store(store.root)


def test_write_text_is_atomic(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "before")
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "\ud800")
    assert path.read_text() == "before"


def _never(job: Job) -> Metrics:
    raise AssertionError("it is in the store")


def test_a_preview_of_a_store_that_is_not_there_makes_nothing(tmp_path: Path) -> None:
    store = open_store(tmp_path / "none", preview=True)
    with store.lock("digests"):
        assert store.find(Ref("clean", "0" * 64)) is None
    url = (tmp_path / "remote").as_uri()
    assert open_store(url, preview=True).find(Ref("clean", "0" * 64)) is None
    assert list(tmp_path.iterdir()) == []


def test_a_preview_refuses_a_folder_of_other_files(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(StoreError, match="holds files"):
        open_store(tmp_path, preview=True)
