import os
from pathlib import Path

import pytest

from birdcore.store.files import (
    Irregular,
    empty,
    read_regular,
    refuse_links,
    regular_bytes,
    regular_files,
    remove,
)


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder of somebody's own, to which links lead."""
    folder = tmp_path / "outside"
    (folder / "sub").mkdir(parents=True)
    (folder / "own").write_text("own")
    (folder / "sub" / "own").write_text("own")
    return folder


@pytest.fixture
def folder(tmp_path: Path, outside: Path) -> Path:
    folder = tmp_path / "folder"
    (folder / "sub").mkdir(parents=True)
    (folder / "file").write_text("four")
    (folder / "sub" / "file").write_text("12")
    (folder / "to folder").symlink_to(outside)
    (folder / "to file").symlink_to(outside / "own")
    (folder / "to nothing").symlink_to(folder / "nothing")
    (folder / "to itself").symlink_to(folder)
    os.mkfifo(folder / "fifo")
    return folder


ODD = ("to folder", "to file", "to nothing", "to itself", "fifo")


@pytest.mark.parametrize("name", ODD)
def test_links_and_fifos_are_refused(folder: Path, name: str) -> None:
    assert read_regular(folder / "file", 4) == b"four"
    assert regular_bytes(folder, "sub/file") == 2
    with pytest.raises(Irregular, match="remove it"):
        read_regular(folder / name, 4)
    with pytest.raises(Irregular, match="remove it"):
        regular_bytes(folder, name)
    with pytest.raises(Irregular, match="remove it"):
        regular_bytes(folder, f"{name}/own")
    with pytest.raises(Irregular, match="remove it"):
        refuse_links(folder, folder / name / "own")


def test_read_regular_stops_at_the_limit(folder: Path) -> None:
    with pytest.raises(ValueError, match="more than 3 bytes"):
        read_regular(folder / "file", 3)


@pytest.mark.parametrize("name", ODD)
def test_regular_files_refuses_links_and_fifos(folder: Path, name: str) -> None:
    for other in ODD:
        if other != name:
            (folder / other).unlink()
    with pytest.raises(Irregular):
        list(regular_files(folder))
    (folder / name).unlink()
    assert list(regular_files(folder)) == [folder / "file", folder / "sub" / "file"]


def test_refuse_links_accepts_missing_paths(folder: Path) -> None:
    refuse_links(folder, folder / "sub" / "new" / "newer")


@pytest.mark.parametrize("name", ODD)
def test_remove_follows_no_link(folder: Path, outside: Path, name: str) -> None:
    remove(folder / name)
    remove(folder / name)
    assert not os.path.lexists(folder / name)
    empty(folder)
    assert not list(folder.iterdir())
    assert sorted(p.name for p in outside.rglob("*")) == ["own", "own", "sub"]
