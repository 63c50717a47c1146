import os
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from birdcore.store import digests as module
from birdcore.store.digests import Seen, digests
from birdcore.store.files import file_sha256


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SETTLED_NS", -(10**9))


def now(cache: Path, *paths: Path) -> list[str]:
    found = digests(paths, cache)
    return [found[path].sha256 for path in paths]


def true(*paths: Path) -> list[str]:
    return [file_sha256(path) for path in paths]


def write(path: Path, content: bytes) -> Path:
    """A file of a fixed time of change: what archives leave."""
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (315532800, 315532800))
    return path


@pytest.mark.usefixtures("settled")
def test_digests_follow_files_that_swap_names(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    a, b, c = (write(tmp_path / f"{name}.wav", name.encode()) for name in "abc")
    assert now(cache, a, b, c) == true(a, b, c)
    for old, new in ((a, "t"), (b, "a.wav"), (c, "b.wav"), (tmp_path / "t", "c.wav")):
        old.rename(tmp_path / new)
    assert now(cache, a, b, c) == true(a, b, c)


@pytest.mark.usefixtures("settled")
def test_digests_follow_folders_that_swap_names(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    a, b = (write(tmp_path / name / "x.wav", name.encode()) for name in "ab")
    assert now(cache, a, b) == true(a, b)
    for old, new in (("a", "t"), ("b", "a"), ("t", "b")):
        (tmp_path / old).rename(tmp_path / new)
    assert now(cache, a, b) == true(a, b)


@pytest.mark.usefixtures("settled")
def test_digest_of_file_with_restored_mtime_is_new(tmp_path: Path) -> None:
    cache, a, b = tmp_path / "cache", tmp_path / "a", tmp_path / "b"
    write(a, b"one")
    write(b, b"two")
    assert now(cache, a) == true(a)
    shutil.copy2(b, a)  # the same inode, size and time of modification
    assert now(cache, a) == true(a)


def test_file_changed_a_moment_ago_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, path = tmp_path / "cache", write(tmp_path / "a", b"one")
    fixed = module._seen(path)
    monkeypatch.setattr(module, "_seen", lambda path: fixed)  # a clock that stands still
    assert now(cache, path) == true(path)
    path.write_bytes(b"two")
    assert now(cache, path) == true(path)


@pytest.mark.parametrize(
    ("seen", "told"),
    [
        (Seen(1, 10**18, 10**18, 7, 1), True),
        (Seen(1, 10**18, 10**18, 0, 1), False),  # no inodes
        (Seen(1, 10**18, 0, 7, 1), False),  # no times
        (Seen(1, 10**18, 2 * 10**18, 7, 1), False),  # from the future
        (Seen(1, 2 * 10**18 - 10**9, 10**18, 7, 1), False),
    ],
)
def test_detects_changes_needs_inode_and_settled_times(seen: Seen, told: bool) -> None:
    assert seen.detects_changes(2 * 10**18) == told


@pytest.mark.usefixtures("settled")
def test_file_changed_while_read_is_not_cached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, path = tmp_path / "cache", write(tmp_path / "a", b"one")

    def reading(path: Path) -> str:
        sha = file_sha256(path)
        path.write_bytes(b"more than before")
        return sha

    monkeypatch.setattr(module, "file_sha256", reading)
    digests([path], cache)
    monkeypatch.undo()
    assert pq.read_table(cache)["path"].to_pylist() == []
    assert now(cache, path) == true(path)


def parquet(**columns: object) -> bytes:
    file = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), file)
    return bytes(file.getvalue().to_pybytes())


@pytest.mark.parametrize(
    "content",
    [b"", b"PAR1", b"[" * 1000, parquet(a=[1]), parquet(path=["x"], sha256=[["nested"]])],
    ids=["nothing", "magic alone", "no parquet", "other columns", "columns that lack"],
)
def test_damaged_cache_is_ignored(tmp_path: Path, content: bytes) -> None:
    cache, a = tmp_path / "cache", write(tmp_path / "a", b"one")
    cache.write_bytes(content)
    assert now(cache, a) == true(a)


@pytest.mark.usefixtures("settled")
def test_cache_of_other_types_is_ignored(tmp_path: Path) -> None:
    cache, a = tmp_path / "cache", write(tmp_path / "a", b"one")
    assert now(cache, a) == true(a)
    columns = {name: [["x"]] for name in pq.read_table(cache).column_names}
    cache.write_bytes(parquet(**columns))
    assert now(cache, a) == true(a)
