"""Folders and files of this account alone."""

import os
from pathlib import Path

import pytest

from birdcore.store import private
from birdcore.store.private import NotPrivateError, open_private, private_folder, write_private


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_private_folder_closes_existing_files(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "prefect"
    folder.mkdir(parents=True, mode=0o755)
    (folder / "prefect.db").write_text("x")
    (folder / "prefect.db").chmod(0o664)
    (folder / "results").mkdir()
    assert private_folder(folder) == folder
    assert mode(folder) == 0o700
    assert mode(folder / "prefect.db") == 0o600


def test_private_files_follow_no_link(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o755)
    (tmp_path / "file").write_text("kept")
    (tmp_path / "link").symlink_to("elsewhere")
    with pytest.raises(NotPrivateError, match="is a link"):
        private_folder(tmp_path / "link")
    assert mode(tmp_path / "elsewhere") == 0o755
    folder = private_folder(tmp_path / "ours")
    (folder / "lock").symlink_to(tmp_path / "file")
    with pytest.raises(OSError, match="symbolic link"):
        open_private(folder / "lock")


def test_private_files_refuse_another_account(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = private_folder(tmp_path / "theirs")
    write_private(folder / "file", "x")
    nobody = os.getuid() + 1
    monkeypatch.setattr(private.os, "getuid", lambda: nobody)
    with pytest.raises(NotPrivateError, match="another account"):
        private_folder(folder)
    with pytest.raises(NotPrivateError, match="another account"):
        open_private(folder / "file")


def test_private_files_ignore_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        write_private(tmp_path / "login", "one")
        write_private(tmp_path / "login", "two")
        os.close(open_private(tmp_path / "lock"))
    finally:
        os.umask(before)
    assert (tmp_path / "login").read_text() == "two"
    assert [mode(path) for path in sorted(tmp_path.iterdir())] == [0o600, 0o600]
