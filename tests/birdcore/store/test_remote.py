"""The remote of a store, on a folder and on an S3 server on loopback."""

import json
from pathlib import Path
from typing import Any

import pytest

from birdcore.sources.shards import shards
from birdcore.sources.source import SourceFile, Subset
from birdcore.store import remote, store
from birdcore.store.artifact import MANIFEST, Metrics, Step
from birdcore.store.format import StoreError
from birdcore.store.location import local_folder, open_store
from birdcore.store.remote import RemoteError, RemoteUnavailable, open_remote
from birdcore.store.store import Job, Store
from birdcore.store.transfer import remote_refs

STEP = Step("stage", 1, "a step", {"rows": 2})
OTHER = Step("stage", 1, "another step", {"rows": 3})

made: list[str] = []


def stage(job: Job) -> Metrics:
    made.append(job.step.name)
    (job.folder / "sub").mkdir(exist_ok=True)
    (job.folder / "half").write_text("h" * 1000)
    (job.folder / "sub" / "whole").write_text(job.step.name)
    (job.folder / "empty").touch()
    return {"rows": job.config["rows"]}


@pytest.fixture(autouse=True)
def nothing_made() -> None:
    made.clear()


@pytest.fixture(params=["file", "s3"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "file":
        return f"file://{tmp_path}/remote"
    return f"s3://birds/{tmp_path.name}?{request.getfixturevalue('s3')}"


@pytest.fixture
def machine(url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):  # type: ignore[no-untyped-def]
    """The store as another machine has it: the same remote, a folder of its own."""

    def named(name: str) -> Store:
        monkeypatch.setenv("BIRDFLOW_CACHE_DIR", str(tmp_path / name))
        open_remote.cache_clear()
        return open_store(url)

    return named


def test_artifact_of_one_machine_is_read_by_another(machine) -> None:  # type: ignore[no-untyped-def]
    one = machine("one")
    ours = one.make(STEP, stage)
    two = machine("two")
    assert two.root != one.root
    found = two.find(STEP.ref)
    assert found is not None
    assert not found.folder.exists()  # to know that it is there costs no bytes
    assert two.get(STEP.ref).manifest == ours.manifest
    assert {path.relative_to(two.root): path.read_bytes() for path in files(two)} == {
        path.relative_to(one.root): path.read_bytes() for path in files(one)
    }
    assert two.make(STEP, stage).metrics == {"rows": 2}
    assert made == [STEP.name]


def test_local_artifact_is_sent_to_a_new_remote(
    machine,  # type: ignore[no-untyped-def]
) -> None:
    one = machine("one")
    Store(one.root).make(STEP, stage)
    assert one.find(STEP.ref) is None
    one.make(STEP, stage)
    assert machine("two").get(STEP.ref).metrics == {"rows": 2}
    assert made == [STEP.name]


def test_refreshed_artifact_replaces_fetched_copies(machine) -> None:  # type: ignore[no-untyped-def]
    machine("one").make(STEP, stage)
    two = machine("two")
    two.get(STEP.ref)
    one = machine("one")
    one.make(STEP, lambda job: (job.folder / "new").write_text("n") and {"rows": 9}, refresh=True)
    assert two.get(STEP.ref).metrics == {"rows": 9}
    assert [path.name for path in files(two)] == [MANIFEST, "new"]


@pytest.mark.parametrize("harm", ["gone", "damaged"])
def test_lost_remote_file_removes_its_artifact(machine, harm: str) -> None:  # type: ignore[no-untyped-def]
    one = machine("one")
    manifest = one.make(STEP, stage).manifest
    two = machine("two")
    (half,) = (file for file in manifest.files if file.name == "half")
    parts = (STEP.stage, STEP.key, half.sha256, half.name)
    if harm == "gone":
        two.remote.files.delete_file(two.remote.path(*parts))
    else:
        two.remote.write(b"x" * 1000, *parts)
    with pytest.raises(RemoteError, match=r"half of stage/.* missing or damaged .* made anew"):
        two.get(STEP.ref)
    assert two.find(STEP.ref) is None
    assert not two.path(STEP.ref).exists()
    assert not two.work(STEP.ref).exists()
    two.make(STEP, stage)
    assert two.get(STEP.ref).metrics == {"rows": 2}
    assert machine("three").get(STEP.ref).metrics == {"rows": 2}


def test_unsent_artifact_is_sent_at_the_next_try(
    machine,  # type: ignore[no-untyped-def]
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def counted(job: Job) -> Metrics:
        return {**stage(job), "time": len(made)}

    one = machine("one")
    one.make(STEP, counted)

    def away(*given: object) -> None:
        raise RemoteUnavailable("no network")

    with monkeypatch.context() as patch:
        patch.setattr(store, "send", away)
        with pytest.raises(RemoteUnavailable):
            one.make(STEP, counted, refresh=True)
    assert one.get(STEP.ref).metrics["time"] == 1
    assert made == [STEP.name] * 2
    newer = one.make(STEP, counted, refresh=True).manifest
    assert made == [STEP.name] * 2
    assert newer.metrics["time"] == 2
    assert machine("two").get(STEP.ref).manifest == newer


def test_reader_during_a_refresh_gets_the_old_artifact(
    machine,  # type: ignore[no-untyped-def]
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = machine("one")
    one.make(STEP, stage)
    sent, real = [], store.send

    def read_meanwhile(*given: Any) -> None:
        sent.append(one.get(STEP.ref).metrics)  # the old one, or it would wait for us for ever
        real(*given)

    monkeypatch.setattr(store, "send", read_meanwhile)
    one.make(STEP, lambda job: (job.folder / "new").write_text("n") and {"rows": 9}, refresh=True)
    assert sent == [{"rows": 2}]
    assert one.get(STEP.ref).metrics == {"rows": 9}
    assert machine("two").get(STEP.ref).metrics == {"rows": 9}


def test_incomplete_remote_artifact_is_not_found(machine) -> None:  # type: ignore[no-untyped-def]
    one = machine("one")
    one.make(STEP, stage)
    one.remote.write(b'{"stage": "stage", "ke', STEP.stage, STEP.key, MANIFEST)
    assert one.find(STEP.ref) is None
    with pytest.raises(StoreError, match="run again"):
        one.get(STEP.ref)


def test_remote_refs_lists_all_artifacts(machine) -> None:  # type: ignore[no-untyped-def]
    one = machine("one")
    assert remote_refs(one.remote) == []
    for step in (STEP, OTHER):
        one.make(step, stage)
    two = machine("two")
    assert remote_refs(two.remote) == sorted([STEP.ref, OTHER.ref])
    told = two.manifest(OTHER.ref)
    assert told is not None
    assert told.name == OTHER.name


def test_machines_share_the_ledger_of_shards(machine) -> None:  # type: ignore[no-untyped-def]
    files = [SourceFile(f"{at}.ogg", 1, str(at)) for at in range(5)]
    first = shards(
        [Subset("train_audio", "labelled", tuple(files[:3]))], machine("one"), 2, keep=True
    )
    again = shards([Subset("train_audio", "labelled", tuple(files))], machine("two"), 2, keep=True)
    assert [one.files for one in first["train_audio"]] == [tuple(files[:2]), tuple(files[2:3])]
    assert [one.files for one in again["train_audio"]][:2] == [
        one.files for one in first["train_audio"]
    ]


def test_opening_without_make_begins_no_store(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BIRDFLOW_CACHE_DIR", str(tmp_path / "cache"))
    with pytest.raises(RemoteError, match="is no store"):
        open_store(url, make=False)


def test_remote_of_another_layout_is_refused(machine, url: str) -> None:  # type: ignore[no-untyped-def]
    machine("one").remote.write(json.dumps({"layout": 99}).encode(), "store.json")
    with pytest.raises(StoreError, match="layout 99"):
        machine("two")


def test_renamed_variable_is_refused_with_its_new_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIRDFLOW_NEAR", "cache")
    with pytest.raises(RemoteError, match="BIRDFLOW_NEAR is now BIRDFLOW_CACHE_DIR"):
        open_store("s3://birds/store")


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("s3://key:secret@birds/x", "not in the URL"),
        ("s3://key:se/cret@birds/x", "not in the URL"),
        ("ftp://birds/x", "can't be a store"),
        ("s3://", "can't be a store"),
    ],
)
def test_invalid_url_is_refused(location: str, reason: str) -> None:
    with pytest.raises(RemoteError, match=reason) as refused:
        open_store(location)
    assert "secret" not in str(refused.value)


def test_missing_bucket_is_a_remote_error(
    s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BIRDFLOW_CACHE_DIR", str(tmp_path))
    with pytest.raises(RemoteError, match="refuses access"):
        open_store(f"s3://no-birds/x?{s3}")


def test_unreachable_server_is_remote_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "for-loopback")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "for-loopback")
    monkeypatch.setenv("BIRDFLOW_CACHE_DIR", str(tmp_path))
    with pytest.raises(RemoteUnavailable, match="can't be reached"):
        open_store("s3://birds/x?scheme=http&endpoint_override=127.0.0.1:9&region=us-east-1")


def test_unknown_region_is_remote_unavailable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Offline:
        @staticmethod
        def from_uri(url: str) -> None:
            raise OSError(f"When resolving region of {url}: AWS Error NETWORK_CONNECTION")

    monkeypatch.setattr(remote, "FileSystem", Offline)
    with pytest.raises(RemoteUnavailable, match=r"s3://birds/offline can't be reached: .*region"):
        open_remote("s3://birds/offline")


def test_local_folder_is_unique_for_each_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BIRDFLOW_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    one, two = local_folder("s3://birds/a/b?region=x"), local_folder("s3://birds/a-b?region=x")
    assert one.parent == Path("/cache/birdflow")
    assert one.name.startswith("birds-a-b-")
    assert one != two
    assert local_folder("s3://birds/a/b/?region=x") == one
    assert local_folder("a/store") == Path("a/store")
    with pytest.raises(RemoteError, match="not in the URL"):
        local_folder("s3://key:secret@birds/x")


def files(of: Store) -> list[Path]:
    """Of the one artifact of a store."""
    return sorted(path for path in of.path(STEP.ref).rglob("*") if path.is_file())
