"""Many recordings at once: what fails stops no other, and what came of it is told."""

from typing import Any

import pytest

from birdcore.archives import folder as collection
from birdcore.archives.client import ArchiveError
from birdcore.archives.download import fetch, fetch_all
from birdcore.archives.folder import collected, failures
from birdcore.archives.partial import held
from tests.support.archive import Fault


def test_a_list_is_fetched_and_what_came_of_it_is_told(site: Any) -> None:
    (site.shelf / "audio" / "XC7.mp3").write_bytes(b"noise" * 999)
    there = fetch(site.client, site.record(2), site.folder)
    records = [site.record(n) for n in (1, 2, 9, 7, 1, 3)]
    said: list[tuple[int, int, str]] = []
    haul = fetch_all(site.client, records, site.folder, lambda *what: said.append(what))
    assert said == [(n, 5, f"XC{i}") for n, i in enumerate((1, 2, 9, 7, 3), 1)]
    assert [f.id for f in haul.fetched] == [1, 3]
    assert haul.there == (there,)
    assert [(f.id, f.permanent) for f in haul.unusable] == [(9, False), (7, False)]
    assert haul.metrics == {
        "fetched": 2,
        "there": 1,
        "unusable": {"XC9": haul.unusable[0].reason, "XC7": haul.unusable[1].reason},
        "bytes": len(site.original(1)) + len(site.original(3)),
    }
    assert set(failures(site.folder)) == {7, 9}


def test_one_that_fails_in_passing_stops_no_other_and_is_told_at_the_end(site: Any) -> None:
    records = [site.record(n) for n in (1, 2, 3)]
    site.faults.add(*[Fault("503", "/1/*")] * 4, *[Fault("html", "/2/*")] * 4)
    with pytest.raises(
        ArchiveError, match=r"^2 of 3 recordings could not be fetched; the first: XC1: .*503"
    ):
        fetch_all(site.client, records, site.folder)
    assert list(collected(site.folder)) == [3]
    assert not failures(site.folder)[1].permanent
    assert "a page (text/html)" in failures(site.folder)[2].reason
    asked = len(site.statuses)
    assert len(fetch_all(site.client, records, site.folder).fetched) == 2
    assert len(site.statuses) == asked + 2


def test_an_archive_that_is_down_is_left_alone(site: Any) -> None:
    records = [site.record(n) for n in (11, 12, 13, 14, 1)]
    site.faults.add(*[Fault("503")] * 99)
    with pytest.raises(ArchiveError, match=r"^3 of 5 recordings could not be fetched; the first"):
        fetch_all(site.impatient(), records, site.folder)
    assert len(site.statuses) == 3


def test_recordings_that_always_fail_keep_nobody_from_the_others(site: Any) -> None:
    records = [site.record(n) for n in (11, 12, 13, 1, 2)]
    site.faults.add(*[Fault("503", f"/{n}/*") for n in (11, 12, 13)] * 9)
    for _ in range(2):
        with pytest.raises(ArchiveError, match=r"^3 of 5 recordings could not be fetched"):
            fetch_all(site.impatient(), records, site.folder)
    assert list(collected(site.folder)) == [1, 2]


def test_what_another_is_at_comes_last(site: Any) -> None:
    collection.set_up(site.folder)
    said: list[str] = []
    other = held(site.folder, 1)

    def progress(done: int, total: int, text: str) -> None:
        said.append(text)
        if done == 2:
            other.__exit__(None, None, None)

    other.__enter__()
    fetch_all(site.client, [site.record(n) for n in (1, 2, 3)], site.folder, progress)
    assert said == ["XC2", "XC3", "XC1"]
