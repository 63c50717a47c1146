"""Recordings from the archive on loopback: each once, whole, and byte for byte."""

import threading
import traceback
from dataclasses import replace
from typing import Any

import pytest

from birdcore.archives.client import ArchiveError, open_archive
from birdcore.archives.download import Unusable, fetch
from birdcore.archives.folder import collected, failures, find, recording_path
from birdcore.store.files import file_sha256
from tests.support.archive import KINDS, Fault


@pytest.mark.parametrize(("number", "name"), [(1, "XC1.mp3"), (2, "XC2.flac"), (3, "XC3.wav")])
def test_a_recording_is_fetched_once_byte_for_byte(site: Any, number: int, name: str) -> None:
    fetched = fetch(site.client, site.record(number), site.folder)
    path = recording_path(site.folder, fetched)
    assert path.read_bytes() == site.original(number)
    assert path == site.folder / "recordings" / name
    assert fetched.sha256 == file_sha256(path)
    assert fetched.bytes == path.stat().st_size
    assert fetched.url == site.record(number).file_url
    assert fetch(site.client, site.record(number), site.folder) == fetched
    assert collected(site.folder) == {number: fetched}
    assert site.statuses == [200]
    assert site.left() == set()


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("repeat", "grow")])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_no_fault_in_passing_harms_a_recording(site: Any, kind: str, number: int) -> None:
    site.faults.add(Fault(kind, retry_after="0", drip_s=0.1))
    fetched = fetch(site.client, site.record(number), site.folder)
    assert recording_path(site.folder, fetched).read_bytes() == site.original(number)
    assert len(site.faults.given) == 1
    assert failures(site.folder) == {}
    assert site.left() == set()


@pytest.mark.parametrize("note", [True, False])
def test_a_damaged_recording_is_fetched_again(site: Any, note: bool) -> None:
    fetched = fetch(site.client, site.record(2), site.folder)
    recording_path(site.folder, fetched).write_bytes(site.original(2)[:1000])
    if not note:
        (site.folder / "fetched" / "XC2.json").unlink()
    again = fetch(site.client, site.record(2), site.folder)
    assert recording_path(site.folder, again).read_bytes() == site.original(2)
    assert site.statuses == [200, 200]


def test_two_at_the_same_recording_fetch_it_once(site: Any) -> None:
    site.faults.add(Fault("drip", drip_s=0.3))
    got: list[object] = []

    def one() -> None:
        with open_archive(site.served.url, site.client.key, lambda: None) as client:
            got.append(fetch(client, site.record(1), site.folder))

    threads = [threading.Thread(target=one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == [find(site.folder, 1)] * 4
    assert site.statuses == [200]


def test_the_key_is_in_nothing_that_stays_or_is_said(site: Any) -> None:
    said: list[str] = []
    site.faults.add(*[Fault("reset", "/1/*")] * 4, *[Fault("html", "/2/*")] * 4)
    for number in (1, 2, 3, 9):
        try:
            fetch(site.client, site.record(number), site.folder)
        except (ArchiveError, Unusable):
            said.append(traceback.format_exc())  # with all that is chained to it
    assert len(said) == 3
    files = [path for path in site.folder.rglob("*") if path.is_file()]
    assert files
    said += [str(path) + path.read_bytes().decode("latin-1") for path in files]
    assert not any(site.client.key in text for text in said)


def test_the_address_that_is_noted_has_no_query(site: Any) -> None:
    record = replace(site.record(1), file_url=f"{site.record(1).file_url}?token=secret")
    assert fetch(site.client, record, site.folder).url == site.record(1).file_url
