"""Locks on files and folders, between processes and within one."""

import subprocess
import sys
from pathlib import Path

import pytest

from birdcore.store.locks import is_locked, lock_file, lock_folder

HOLD = """
import sys, time
from pathlib import Path
from birdcore.store.locks import lock_file
with lock_file(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_lock_file_ends_with_a_killed_holder(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    holder = subprocess.Popen([sys.executable, "-c", HOLD, path], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    assert is_locked(path)
    with lock_file(path, wait=False) as ours:
        assert not ours
    holder.kill()
    holder.wait()
    holder.stdout.close()
    assert not is_locked(path)
    with lock_file(path, wait=False) as ours:
        assert ours


def test_lock_folder_is_not_ours_once_it_is_renamed(tmp_path: Path) -> None:
    work = tmp_path / "work" / "key"
    with lock_folder(work) as ours:
        assert ours
        assert is_locked(work)
        with lock_folder(work, wait=False) as other:
            assert not other
        work.rename(tmp_path / "final")
    assert not is_locked(work)


def test_lock_follows_no_link(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to("elsewhere")
    with pytest.raises(NotADirectoryError), lock_folder(tmp_path / "link"):
        pass
    assert not is_locked(tmp_path / "link")
    with lock_file(tmp_path / "link") as ours:  # the link gives way to a file
        assert ours
        assert (tmp_path / "link").is_file()
    assert not list((tmp_path / "elsewhere").iterdir())
