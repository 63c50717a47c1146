"""The work on a folder: it is resumed, shared and appended to, with the same tables in the end."""

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from birdcore.detection.table import SCHEMA, FileRow, RecorderInfo
from birdcore.detection.work import Claim, Work, divide, open_work
from birdcore.store.locks import lock_file
from tests.birdcore.detection.test_writers import result

FILES = {f"{number:03d}.wav": 10 for number in range(40)}
SETTINGS = {"model": "m", "threshold": 0.5}
ROOT = Path("/recordings")


def analyse(work: Work, claim: Claim) -> None:
    results = [
        result(name, 9.0, [(1.0, 2.0, 0, 0.75)] if int(name[:3]) % 3 else [])
        for name in claim.group.files[1:]
    ]
    bad = FileRow(claim.group.files[0], 0.0, 0, 0, RecorderInfo(), "m", 0.5, reason="empty file")
    work.publish(claim, [(bad, SCHEMA.empty_table()), *results])


def tables(out: Path) -> dict[str, bytes]:
    files = (path for path in out.rglob("*") if path.is_file() and ".detect" not in path.parts)
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in files}


def analyse_all(work: Work) -> None:
    with work.claims() as claims:
        for claim in claims:
            analyse(work, claim)


def all_at_once(out: Path) -> dict[str, bytes]:
    work = open_work(out, ROOT, FILES, SETTINGS)
    analyse_all(work)
    assert not work.wait_for_others()
    assert work.finish(["csv", "parquet", "audacity"])
    return tables(out)


def test_stopped_anywhere_it_ends_with_the_same_tables(tmp_path: Path) -> None:
    expected = all_at_once(tmp_path / "whole")
    assert len(expected) == 43
    out = tmp_path / "stopped"
    for done in range(3):
        work = open_work(out, ROOT, FILES, SETTINGS)
        with work.claims() as claims:
            claimed = [next(claims) for _ in range(3 - done)]
            analyse(work, claimed[0])  # and killed with the others at hand
        assert work.finish(["csv"]) == (done == 2)
    assert work.finish(["parquet", "audacity"])
    assert tables(out) == expected


def test_processes_share_groups_and_wait_for_each_other(tmp_path: Path) -> None:
    expected = all_at_once(tmp_path / "whole")
    out = tmp_path / "shared"
    first, second = (open_work(out, ROOT, FILES, SETTINGS) for _ in range(2))
    done: list[str] = []

    def others() -> None:
        with second.claims() as claims:
            for claim in claims:
                analyse(second, claim)
                done.append(claim.group.name)
        assert not second.wait_for_others()
        done.append("all")

    thread = threading.Thread(target=others)
    with first.claims() as claims:
        mine = next(claims)
        thread.start()
        while len(done) < 2:
            thread.join(0.01)
        assert done == ["0000-00001", "0000-00002"]
        assert list(claims) == []
        thread.join(0.05)
        assert thread.is_alive()
        analyse(first, mine)
    thread.join()
    assert done[2:] == ["all"]
    assert second.finish(["csv", "parquet", "audacity"])
    assert tables(out) == expected


def test_group_of_a_killed_process_is_done_by_another(tmp_path: Path) -> None:
    work = open_work(tmp_path, ROOT, {"000.wav": 1}, SETTINGS)
    with lock_file(work.folder / "locks" / "0000-00000"), work.claims() as claims:
        assert list(claims) == []
    assert work.wait_for_others()  # it died with the lock
    with work.claims() as claims:
        assert next(claims).group.files == ("000.wav",)


def test_tables_of_processes_that_end_together_are_written_once(tmp_path: Path) -> None:
    all_at_once(tmp_path)
    (tmp_path / "detections.csv").unlink()
    late = open_work(tmp_path, ROOT, FILES, SETTINGS)
    together = replace(late, opened=late.opened - 3600)
    assert together.finish(["csv"])
    assert not (tmp_path / "detections.csv").exists()
    assert late.finish(["csv"])
    assert (tmp_path / "detections.csv").exists()


def test_formats_of_an_earlier_run_go_on(tmp_path: Path) -> None:
    early = dict(list(FILES.items())[20:])
    for files, rtype, split in ((early, "csv", False), (FILES, "kaleidoscope", True)):
        work = open_work(tmp_path, ROOT, files, SETTINGS)
        analyse_all(work)
        assert work.finish([rtype], split_tables=split)
    csv = (tmp_path / "detections.csv").read_text()
    assert csv.count("\n") == 1 + sum(row.detections for row, _ in work.results())
    assert len(list((tmp_path / "tables").iterdir())) == 40


def test_new_files_are_appended(tmp_path: Path) -> None:
    early = dict(list(FILES.items())[20:])
    for files in (early, FILES):
        work = open_work(tmp_path, ROOT, files, SETTINGS)
        analyse_all(work)
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
