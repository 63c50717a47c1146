"""Partials: one holder at a time, however it ends, and none that are of no use."""

import os
import threading
from pathlib import Path

import pytest

from birdcore.archives.folder import (
    FETCHED,
    PARTIAL,
    RECORDINGS,
    Failed,
    Fetched,
    note_failed,
    note_fetched,
    set_up,
)
from birdcore.archives.partial import Origin, held, sweep

ORIGIN = Origin("https://a.example/1/download", '"tag"', 10)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    set_up(tmp_path)
    return tmp_path


def half(folder: Path, number: int, content: bytes = b"12345") -> None:
    with held(folder, number) as partial:
        partial.append(content)
        partial.set_origin(ORIGIN)


def left(folder: Path) -> set[str]:
    return {path.name for path in (folder / PARTIAL).iterdir()}


def test_what_was_written_is_found_by_the_next_holder(folder: Path) -> None:
    half(folder, 1)
    with held(folder, 1) as partial:
        assert (partial.size, partial.origin()) == (5, ORIGIN)
        partial.append(b"678")
        assert partial.path.read_bytes() == b"12345678"
        partial.restart()
        assert (partial.size, partial.origin()) == (0, None)
        partial.append(b"x")
        assert partial.path.read_bytes() == b"x"
        partial.remove()
    assert left(folder) == set()


def test_doubt_forgets_the_length_or_all_where_no_part_can_be_asked_for(folder: Path) -> None:
    half(folder, 1)
    with held(folder, 1) as partial:
        partial.doubt()
        assert (partial.size, partial.origin()) == (5, Origin(ORIGIN.url, '"tag"', None))
        partial.set_origin(Origin(ORIGIN.url, "", 5))
        partial.doubt()
        assert (partial.size, partial.origin()) == (0, None)


def test_one_holds_it_at_a_time(folder: Path) -> None:
    with held(folder, 1), pytest.raises(BlockingIOError), held(folder, 1, wait=False):
        pass
    with held(folder, 1), held(folder, 2, wait=False):
        pass


@pytest.mark.parametrize("publish", [True, False])
def test_who_waited_does_not_get_what_was_published_or_removed(folder: Path, publish: bool) -> None:
    got: list[int] = []

    def wait() -> None:
        with held(folder, 1) as partial:
            got.append(os.stat(partial.path).st_ino - os.fstat(partial.file.fileno()).st_ino)
            partial.append(b"mine")

    waiter = threading.Thread(target=wait)
    with held(folder, 1) as partial:
        partial.append(b"whole")
        waiter.start()
        waiter.join(0.1)  # most likely it waits by now
        if publish:
            partial.path.rename(folder / RECORDINGS / "XC1.mp3")
        partial.remove()
    waiter.join()
    assert got == [0]
    assert (folder / PARTIAL / "XC1.part").read_bytes() == b"mine"
    if publish:
        assert (folder / RECORDINGS / "XC1.mp3").read_bytes() == b"whole"


def test_the_sweep_keeps_what_can_be_gone_on_with(folder: Path) -> None:
    for number in range(1, 7):
        half(folder, number)
    (folder / RECORDINGS / "XC2.mp3").write_bytes(b"abc")
    note_fetched(folder, Fetched(2, "XC2.mp3", "5a" * 32, 3, "", ""))
    note_failed(folder, Failed(3, "gone", True, ""))
    note_failed(folder, Failed(4, "cut", False, ""))
    (folder / PARTIAL / "XC5.json").unlink()
    (folder / PARTIAL / "XC6.part").unlink()
    (folder / PARTIAL / "XC7.part").touch()
    (folder / PARTIAL / "notes.txt").touch()
    with held(folder, 8):
        assert sweep(folder) == 7
        assert left(folder) == {
            "XC1.part", "XC1.json", "XC4.part", "XC4.json", "XC8.part", "notes.txt",
        }  # fmt: skip
    assert sweep(folder) == 1
    assert sweep(folder) == 0


def test_the_sweep_takes_only_old_notes_that_were_being_written(folder: Path) -> None:
    old, new = (folder / FETCHED / f".XC{n}.json.1-1" for n in (1, 2))
    for path in (old, new):
        path.touch()
    os.utime(old, (0, 0))
    assert sweep(folder) == 1
    assert not old.exists()
    assert new.exists()


def test_a_torn_note_of_a_partial_goes_once_nobody_holds_it(folder: Path) -> None:
    half(folder, 1)
    for number in (1, 2):
        (folder / PARTIAL / f".XC{number}.json.7-7").touch()
    with held(folder, 1), held(folder, 2):
        assert sweep(folder) == 0
    assert sweep(folder) == 3  # and the empty partial that was held
    assert left(folder) == {"XC1.part", "XC1.json"}


def test_a_folder_without_partials_is_swept_at_once(tmp_path: Path) -> None:
    assert sweep(tmp_path / "none") == 0
    assert not (tmp_path / "none").exists()


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    set_up(tmp_path)
    own = tmp_path / "own"
    own.write_text("own")
    (tmp_path / "partial" / "XC1.part").symlink_to(own)
    with pytest.raises(OSError, match="symbolic link"), held(tmp_path, 1) as partial:
        partial.restart()
    assert own.read_text() == "own"
