"""The work on a folder: it is resumed, shared and appended to, with the same tables in the end."""

import threading
from pathlib import Path

import pytest

from birdcore.detection.table import SCHEMA, FileRow, RecorderInfo
from birdcore.detection.work import Group, Work, divide, open_work
from birdcore.store.locks import lock_file
from tests.birdcore.detection.test_writers import result

FILES = {f"{number:03d}.wav": 10 for number in range(40)}
SETTINGS = {"model": "m", "threshold": 0.5}
ROOT = Path("/recordings")


def analyse(work: Work, group: Group) -> None:
    results = [
        result(name, 9.0, [(1.0, 2.0, 0, 0.75)] if int(name[:3]) % 3 else [])
        for name in group.files[1:]
    ]
    bad = FileRow(group.files[0], 0.0, 0, 0, RecorderInfo(), "m", 0.5, reason="empty file")
    rows = [bad, *(row for row, _ in results)]
    work.publish(group, rows, [SCHEMA.empty_table(), *(table for _, table in results)])


def tables(out: Path) -> dict[str, bytes]:
    files = (path for path in out.rglob("*") if path.is_file() and ".detect" not in path.parts)
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in files}


def all_at_once(out: Path) -> dict[str, bytes]:
    work = open_work(out, ROOT, FILES, SETTINGS)
    for group in work.pending():
        analyse(work, group)
    assert work.finish(["csv", "parquet", "audacity"])
    return tables(out)


def test_stopped_anywhere_it_ends_with_the_same_tables(tmp_path: Path) -> None:
    expected = all_at_once(tmp_path / "whole")
    assert len(expected) == 43
    out = tmp_path / "stopped"
    for _ in range(3):
        work = open_work(out, ROOT, FILES, SETTINGS)
        for group in work.pending():
            analyse(work, group)
            break  # killed
        assert work.finish(["csv"]) == (not list(work.pending()))
    assert work.finish(["csv", "parquet", "audacity"])
    assert tables(out) == expected


def test_processes_share_groups_and_wait_for_each_other(tmp_path: Path) -> None:
    expected = all_at_once(tmp_path / "whole")
    out = tmp_path / "shared"
    works = [open_work(out, ROOT, FILES, SETTINGS) for _ in range(2)]
    first, second = works
    taken = first.pending()
    group = next(taken)
    done: list[str] = []

    def others() -> None:
        for other in second.pending():
            done.append(other.name)
            analyse(second, other)

    thread = threading.Thread(target=others)
    thread.start()
    while len(done) < 2:
        thread.join(0.01)
    assert group.name not in done
    analyse(first, group)
    assert list(taken) == []
    thread.join()
    assert done == ["0000-00001", "0000-00002"]
    assert second.finish(["csv", "parquet", "audacity"])
    assert tables(out) == expected


def test_group_of_a_killed_process_is_done_by_another(tmp_path: Path) -> None:
    work = open_work(tmp_path, ROOT, {"000.wav": 1}, SETTINGS)
    with lock_file(work.folder / "locks" / "0000-00000"):
        pass  # it died with the lock
    assert next(work.pending()).files == ("000.wav",)


def test_new_files_are_appended(tmp_path: Path) -> None:
    early = dict(list(FILES.items())[20:])
    for files in (early, FILES):
        work = open_work(tmp_path, ROOT, files, SETTINGS)
        for group in work.pending():
            analyse(work, group)
        assert work.finish(["csv"])
    names = [row.file for row, _ in work.results()]
    assert names == [*early, *list(FILES)[:20]]
    assert (tmp_path / "files.csv").read_text().count("\n") == 41


def test_other_settings_are_refused_and_named(tmp_path: Path) -> None:
    open_work(tmp_path, ROOT, FILES, SETTINGS)
    with pytest.raises(ValueError, match=r"other settings \(threshold; threshold was 0.5, now 0.6"):
        open_work(tmp_path, ROOT, FILES, SETTINGS | {"threshold": 0.6})


def test_groups_end_at_sixteen_files_or_at_many_bytes() -> None:
    assert [len(group) for group in divide(FILES)] == [16, 16, 8]
    assert list(divide({"b": 1, "a": 1 << 30})) == [["a"], ["b"]]
