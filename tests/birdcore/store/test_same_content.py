"""Copies are told from other files without reading all of them."""

from pathlib import Path

import pytest

from birdcore.store import same_content
from birdcore.store.files import file_sha256
from birdcore.store.same_content import PROBED, SameContent


def found(*paths: Path) -> list[str]:
    digests = SameContent().digests(paths)
    return [digests[path].sha256 for path in paths]


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_copies_are_equal_and_others_are_not(tmp_path: Path) -> None:
    one = write(tmp_path / "one", b"song" * PROBED)
    copy = write(tmp_path / "copy", b"song" * PROBED)
    other = write(tmp_path / "other", b"tune" * PROBED)
    longer = write(tmp_path / "longer", b"song" * PROBED + b"s")
    digests = found(one, copy, other, longer)
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3


def test_a_difference_between_what_is_probed_is_found(tmp_path: Path) -> None:
    content = bytearray(8 * PROBED)
    one = write(tmp_path / "one", content)
    content[2 * PROBED] = 1
    other = write(tmp_path / "other", content)
    assert len(set(found(one, other))) == 2


def test_empty_files_are_no_copies_of_each_other(tmp_path: Path) -> None:
    assert len(set(found(write(tmp_path / "a", b""), write(tmp_path / "b", b"")))) == 2


def test_only_what_may_be_equal_is_read_in_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []

    def counted(path: Path) -> str:
        read.append(path)
        return file_sha256(path)

    monkeypatch.setattr(same_content, "file_sha256", counted)
    paths = [write(tmp_path / str(n), bytes([n]) * 5 * PROBED) for n in range(4)]
    paths += [write(tmp_path / "copy", paths[0].read_bytes()), write(tmp_path / "big", b"1")]
    found(*paths)
    assert set(read) == {paths[0], paths[4]}
