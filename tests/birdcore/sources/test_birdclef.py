import os
import shutil
from pathlib import Path

import pytest

from birdcore.audio.trim import Override
from birdcore.csv_table import TableError
from birdcore.sources.birdclef import scan
from birdcore.sources.birdclef_layout import LAYOUTS
from birdcore.store import digests
from birdcore.store.files import file_sha256
from birdcore.store.store import Store


@pytest.fixture(autouse=True)
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that were written a moment ago count as settled."""
    monkeypatch.setattr(digests, "SETTLED_NS", -(10**9))


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files whose content was read."""
    paths: list[Path] = []

    def reading(path: Path) -> str:
        paths.append(path)
        return file_sha256(path)

    monkeypatch.setattr(digests, "file_sha256", reading)
    return paths


def test_every_audio_file_is_found_with_its_content(data: Path, store: Store) -> None:
    source = scan(data, store)
    assert {kind: len(files) for kind, files in source.audio.items()} == {
        "train_audio": 9,
        "train_soundscapes": 2,
        "test_soundscapes": 2,
    }
    for kind in LAYOUTS[0].folders:
        for file in source.audio[kind]:
            path = data / file.path
            assert file.path.startswith(f"{kind}/")
            assert (file.bytes, file.sha256) == (path.stat().st_size, file_sha256(path))
    assert set(source.tables) == {"train.csv", "taxonomy.csv", "sample_submission.csv"}
    assert source.overrides == {}
    assert len(source.labels) == 3


def test_real_recordings_are_found(shared_data: Path, store: Store) -> None:
    source = scan(shared_data / "birdclef-mini", store)
    assert [len(source.audio[kind]) for kind in LAYOUTS[0].folders] == [148, 48, 24]
    assert set(source.groups.values()) == {"Aves"}
    assert set(source.groups) == {file.path for file in source.audio["train_audio"]}


def test_hidden_files_other_files_and_folders_are_no_audio(data: Path, store: Store) -> None:
    audio = data / "train_audio"
    (audio / "._XC1.ogg").write_text("a Mac was here")
    (audio / "notes.txt").write_text("notes")
    (audio / "folder.ogg").mkdir()
    (audio / "nowhere.ogg").symlink_to(data / "not there")
    (audio / "LOUD.OGG").write_text("text named .ogg: still a recording, to be rejected")
    paths = {f.path for f in scan(data, store).audio["train_audio"]}
    assert len(paths) == 10
    assert "train_audio/LOUD.OGG" in paths


def test_the_second_scan_reads_what_is_new_or_changed_only(
    data: Path, store: Store, read: list[Path]
) -> None:
    first = scan(data, store)
    assert len(read) == 9 + 2 + 2 + 3
    read.clear()
    assert scan(data, store) == first
    assert read == []
    changed = data / first.audio["train_audio"][0].path
    added = data / "test_soundscapes" / "new.ogg"
    changed.write_bytes(changed.read_bytes() + b"\0")
    added.write_bytes(b"new")
    second = scan(data, store)
    assert sorted(read) == sorted([changed, added])
    assert second.audio["train_audio"][0].sha256 == file_sha256(changed)


def test_a_file_of_the_same_size_and_another_time_is_read(
    data: Path, store: Store, read: list[Path]
) -> None:
    path = data / scan(data, store).audio["train_audio"][0].path
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(0, 1))
    read.clear()
    assert scan(data, store).audio["train_audio"][0].sha256 == file_sha256(path)
    assert read == [path]


def test_two_folders_share_a_store(data: Path, store: Store, read: list[Path]) -> None:
    other = Path(shutil.copytree(data, data.with_name("other")))
    one, two = scan(data, store), scan(other, store)
    assert one.audio == two.audio
    assert one.root != two.root
    read.clear()
    scan(data, store)
    assert read == []


@pytest.mark.parametrize("content", [b"", b"no parquet", b"PAR1 cut"])
def test_damaged_digests_are_made_again(data: Path, store: Store, content: bytes) -> None:
    first = scan(data, store)
    (store.root / "digests.parquet").write_bytes(content)
    assert scan(data, store) == first


def test_overrides_are_read_by_recording(data: Path, store: Store) -> None:
    name = scan(data, store).audio["train_audio"][0].path
    (data / "overrides.csv").write_text(f"recording,action,from,to\n{name},cut,1,2\n")
    assert scan(data, store).overrides == {name: (Override("cut", 1, 2),)}


def test_a_folder_without_recordings_or_at_all_is_refused(data: Path, store: Store) -> None:
    with pytest.raises(TableError, match="there is no such data folder"):
        scan(data / "elsewhere", store)
    shutil.rmtree(data / "train_audio")
    with pytest.raises(TableError, match=r"no audio files in train_audio/ \(suffixes .*\.aif, "):
        scan(data, store)


def test_soundscapes_may_be_missing(data: Path, store: Store) -> None:
    shutil.rmtree(data / "train_soundscapes")
    shutil.rmtree(data / "test_soundscapes")
    source = scan(data, store)
    assert source.audio["train_soundscapes"] == source.audio["test_soundscapes"] == ()


def test_a_file_that_may_not_be_read_stops_nothing_and_is_looked_at_again(
    data: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked = sorted((data / "train_audio").rglob("*.ogg"))[0]

    def refuse(path: Path) -> str:
        if path == locked:
            raise PermissionError(13, "Permission denied")
        return file_sha256(path)

    monkeypatch.setattr(digests, "file_sha256", refuse)
    hidden = {f.path: f.sha256 for f in scan(data, store).audio["train_audio"]}
    monkeypatch.undo()
    seen = {f.path: f.sha256 for f in scan(data, store).audio["train_audio"]}
    name = locked.relative_to(data).as_posix()
    assert seen[name] == file_sha256(locked) != hidden[name]
    assert {k: v for k, v in seen.items() if k != name} == {
        k: v for k, v in hidden.items() if k != name
    }


def test_tables_and_folder_that_do_not_fit_each_other_are_refused(data: Path, store: Store) -> None:
    table = (data / "train.csv").read_text()
    other = table.replace("plawhi/", "a/").replace("swefin/", "a/").replace("ratrob/", "a/")
    (data / "train.csv").write_text(other)
    says = r"no row fits a file .* row names 'a/\w+\.ogg', the first file is '\w+/\w+\.ogg'"
    with pytest.raises(TableError, match=says):
        scan(data, store)
    (data / "train.csv").write_text(table)
    (data / "sample_submission.csv").write_text("row_id,robin\ns_5,0\n")
    with pytest.raises(TableError, match=r"no label of it is a class: .* class is 'robin'"):
        scan(data, store)


def test_a_name_that_is_not_utf8_stops_nothing(data: Path, store: Store) -> None:
    for folder in LAYOUTS[0].folders:
        Path(os.fsdecode(os.fsencode(data / folder) + b"/\xe9.ogg")).touch()
    source = scan(data, store)
    assert [len(source.audio[kind]) for kind in LAYOUTS[0].folders] == [9, 2, 2]
    assert [p.where for p in source.problems] == [
        rf"{folder}/\xe9.ogg" for folder in LAYOUTS[0].folders
    ]
