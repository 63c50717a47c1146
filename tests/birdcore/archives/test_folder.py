"""A collection's notes: what is taken for there, and what is not."""

import json
import os
from pathlib import Path

import pytest

from birdcore.archives.folder import (
    FAILED,
    FETCHED,
    RECORDINGS,
    Failed,
    Fetched,
    collected,
    failure,
    failures,
    find,
    note_failed,
    note_fetched,
    recording_name,
    recording_path,
    set_up,
)

WHEN = "2026-01-02T03:04:05+00:00"


def there(folder: Path, number: int, content: bytes = b"abc", suffix: str = ".mp3") -> Fetched:
    name = recording_name(Path("collection"), number, suffix)
    (folder / RECORDINGS / name).write_bytes(content)
    note = Fetched(number, name, "5a" * 32, len(content), "https://a.example/1/download", WHEN)
    note_fetched(folder, note)
    return note


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    set_up(tmp_path / "collection")
    return tmp_path / "collection"


def test_what_was_noted_is_there_by_id(folder: Path) -> None:
    notes = [there(folder, 20), there(folder, 3, suffix=".audio"), there(folder, 100)]
    assert collected(folder) == {note.id: note for note in notes}
    assert list(collected(folder)) == [3, 20, 100]
    assert find(folder, 3) == notes[1]
    assert recording_path(folder, notes[1]).read_bytes() == b"abc"
    assert find(folder, 4) is None


def test_a_folder_that_is_not_there_is_an_empty_collection(tmp_path: Path) -> None:
    folder = tmp_path / "none"
    assert collected(folder) == failures(folder) == {}
    assert find(folder, 1) is None
    assert not folder.exists()


@pytest.mark.parametrize("content", [b"", b"ab", b"abcd"])
def test_a_file_of_another_size_is_not_taken_for_there(folder: Path, content: bytes) -> None:
    note = there(folder, 1)
    recording_path(folder, note).write_bytes(content)
    assert collected(folder) == {}
    assert find(folder, 1) is None


def test_a_file_that_is_gone_is_not_there(folder: Path) -> None:
    recording_path(folder, there(folder, 1)).unlink()
    assert collected(folder) == {}
    assert find(folder, 1) is None


@pytest.mark.parametrize(
    "change",
    [
        {"name": "../../XC1.mp3"},
        {"name": "XC1.exe"},
        {"name": "XC2.mp3"},
        {"id": 2, "name": "XC2.mp3"},
        {"unknown": 1},
    ],
)
def test_a_note_that_is_not_ours_is_none(folder: Path, change: dict[str, object]) -> None:
    there(folder, 1)
    path = folder / FETCHED / "XC1.json"
    (folder / RECORDINGS / "XC2.mp3").write_bytes(b"abc")
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert collected(folder) == {}
    assert find(folder, 1) is None


def test_a_torn_note_is_none(folder: Path) -> None:
    there(folder, 1)
    path = folder / FETCHED / "XC1.json"
    path.write_bytes(path.read_bytes()[:20])
    path.with_name(".XC1.json.77-78").write_text("{}")
    assert collected(folder) == {}


def test_a_failure_is_over_once_the_recording_is_there(folder: Path) -> None:
    failed = [Failed(n, "it is not there", n == 1, WHEN) for n in (2, 1)]
    for note in failed:
        note_failed(folder, note)
    assert failures(folder) == {1: failed[1], 2: failed[0]}
    assert failure(folder, 1) == failed[1]
    there(folder, 1)
    assert failures(folder) == {2: failed[0]}
    assert not (folder / FAILED / "XC1.json").exists()
    note_failed(folder, failed[1])  # by a process that had not seen it
    assert list(failures(folder)) == [2]


@pytest.mark.parametrize("suffix", [".exe", "/../x.mp3", ""])
def test_only_known_suffixes_name_a_file(suffix: str) -> None:
    with pytest.raises(AssertionError):
        recording_name(Path("collection"), 1, suffix)


@pytest.mark.parametrize(
    "content",
    [
        '{"id": 1, "name": ["XC1.mp3"], "sha256": "", "bytes": 1, "url": "", "when": ""}',
        '{"id": "1", "name": "XC1.mp3", "sha256": "", "bytes": 1, "url": "", "when": ""}',
        '{"id": 1, "name": "XC1.mp3", "sha256": "", "bytes": "1", "url": "", "when": ""}',
        '{"id": 1, "name": "../XC1.mp3", "sha256": "", "bytes": 1, "url": "", "when": ""}',
        '{"a":' * 9999,
        "[" * 99_999,
    ],
)  # fmt: skip
def test_a_note_of_wrong_types_is_none(tmp_path: Path, content: str) -> None:
    set_up(tmp_path)
    (tmp_path / "recordings" / "XC1.mp3").write_text("1")
    (tmp_path / "fetched" / "XC1.json").write_text(content)
    assert find(tmp_path, 1) is None
    assert collected(tmp_path) == {}


@pytest.mark.parametrize("kind", ["link", "fifo"])
def test_a_link_or_fifo_is_no_note(tmp_path: Path, kind: str) -> None:
    set_up(tmp_path)
    (tmp_path / "other").write_text("{}")
    path = tmp_path / "fetched" / "XC1.json"
    path.symlink_to(tmp_path / "other") if kind == "link" else os.mkfifo(path)
    assert find(tmp_path, 1) is None
    assert collected(tmp_path) == {}
