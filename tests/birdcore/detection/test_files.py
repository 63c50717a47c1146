"""Which recordings are found below what a user names."""

import os
from pathlib import Path

import pytest

from birdcore.detection.files import find_recordings


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """A disk of recordings; find_recordings reads no sound."""
    for name in ("a.wav", "site 1/b.FLAC", "site 1/deep/c.mp3", "site 1/.hidden/d.wav", ".e.wav"):
        path = tmp_path / "disk" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"12345")
    (tmp_path / "disk" / "notes.txt").write_text("rain")
    return tmp_path / "disk"


def test_recordings_of_folders_below_are_found(disk: Path) -> None:
    files = find_recordings([disk])
    assert files.root == disk
    assert files.sizes == {"a.wav": 5, "site 1/b.FLAC": 5, "site 1/deep/c.mp3": 5}
    assert [p.problem for p in files.passed_over] == ["hidden file", "hidden folder"]


def test_folders_are_named_in_any_way(disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(disk / "site 1")
    for path in (Path("."), Path("../site 1"), Path("../site 1/"), disk / "site 1"):
        files = find_recordings([path])
        assert (files.root, list(files.sizes)) == (disk / "site 1", ["b.FLAC", "deep/c.mp3"])


def test_files_and_folders_together_have_names_below_one_folder(disk: Path) -> None:
    files = find_recordings([disk / "a.wav", disk / "site 1" / "deep", disk / "a.wav"])
    assert files.root == disk
    assert list(files.sizes) == ["a.wav", "site 1/deep/c.mp3"]


def test_output_folder_among_recordings_is_left_out(disk: Path) -> None:
    assert list(find_recordings([disk], leave_out=disk / "site 1").sizes) == ["a.wav"]


def test_link_has_its_own_name(disk: Path) -> None:
    (disk / "site 1" / "link.wav").symlink_to(disk / "a.wav")
    assert list(find_recordings([disk / "site 1" / "link.wav"]).sizes) == ["link.wav"]
    (disk.parent / "other").symlink_to(disk)
    assert find_recordings([disk.parent / "other"]).root == disk


def test_what_is_no_recording_is_refused(disk: Path) -> None:
    with pytest.raises(ValueError, match="nowhere is neither a file nor a folder"):
        find_recordings([disk / "nowhere"])
    (disk / "empty").mkdir()
    with pytest.raises(ValueError, match="empty: there is no recording"):
        find_recordings([disk / "empty"])
    bad = os.fsdecode(os.fsencode(disk) + b"/\xff.wav")
    Path(bad).write_bytes(b"1")
    with pytest.raises(ValueError, match="is no UTF-8 name: rename it"):
        find_recordings([Path(bad)])
